"""Few-shot classification: classes that were never seen, one or a few examples of each, then questions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.few_shot.trials import Floats32, TrialBatch, trial_stream
from wormwood.errors import bad_input

__all__ = ["ClassSource", "Classification", "ImageClasses", "PrototypeClasses"]


class ClassSource(Protocol):
    """Where classes and their examples come from."""

    @property
    def size(self) -> int:
        """Numbers in an example."""

    def draw(self, rng: np.random.Generator, *, batch: int, ways: int, examples: int, held_out: bool) -> Floats32:
        """Return examples ``[batch, ways, examples, size]`` of different classes."""


@dataclass(frozen=True)
class PrototypeClasses:
    """Classes without end: each has a prototype from N(centre, spread²), and examples around it."""

    size: int = 8
    """Numbers in an example."""
    noise: float = 0.3
    """Standard deviation of examples around their prototype."""
    spread: float = 1.0
    """Standard deviation of the prototypes. The smaller, the closer together classes are."""
    centre: float = 0.0
    """Mean of every number of the prototypes."""

    def draw(self, rng: np.random.Generator, *, batch: int, ways: int, examples: int, held_out: bool) -> Floats32:
        """Return examples of new classes; held-out ones come from a stream of their own."""
        prototypes = self.centre + self.spread * rng.standard_normal((batch, ways, 1, self.size))
        drawn = prototypes + self.noise * rng.standard_normal((batch, ways, examples, self.size))
        return drawn.astype(np.float32)


@dataclass(frozen=True)
class ImageClasses:
    """A fixed set of classes, some of them held out."""

    images: list[Floats32] = field(repr=False)
    """For each class, its examples ``[M, size]``."""
    held_out: int
    """The last so many classes are never trained on."""
    name: str = "images"

    def __post_init__(self) -> None:
        if not 0 < self.held_out < len(self.images):
            expected = f"at least 1 and fewer than the {len(self.images)} classes"
            raise bad_input("held-out classes", where=f"few-shot {self.name}", expected=expected, got=self.held_out)

    @property
    def size(self) -> int:
        """Numbers in an image."""
        return int(self.images[0].shape[1])

    def draw(self, rng: np.random.Generator, *, batch: int, ways: int, examples: int, held_out: bool) -> Floats32:
        """Return different images of different classes.

        Raises:
            BadInput: there are not so many classes, or not so many images of one.
        """
        split = len(self.images) - self.held_out
        classes = self.images[split:] if held_out else self.images[:split]
        fewest = min(len(images) for images in classes)
        for what, wanted, there in (("ways", ways, len(classes)), ("shots and queries", examples, fewest)):
            if wanted > there:
                raise bad_input(what, where=f"few-shot {self.name}", expected=f"at most {there}", got=wanted)
        drawn = np.empty((batch, ways, examples, self.size), np.float32)
        for trial in range(batch):
            for way, chosen in enumerate(rng.choice(len(classes), ways, replace=False)):
                images = classes[chosen]
                drawn[trial, way] = images[rng.choice(len(images), examples, replace=False)]
        return drawn


@dataclass(frozen=True)
class Classification:
    """Examples in any order, each with its label one step later; then questions: which label has this one?

    Inputs are the example, the one-hot label of the example before (zeros if that was a question), and a flag that
    asks. So whatever answers must have kept the example until its label came (Santoro et al. 2016). Labels are dealt
    anew in every trial, so that only the trial tells which is which. Chance is ``1 / ways``.
    """

    source: ClassSource
    ways: int = 2
    """Classes in a trial."""
    shots: int = 1
    """Examples of each."""
    queries: int = 1
    """Questions after them."""
    gap: int = 0
    """Empty steps between examples and questions. The longer, the less a network remembers that has not learned to."""
    loss: Literal["classification", "regression"] = "classification"

    def __post_init__(self) -> None:
        for name, least in (("ways", 2), ("shots", 1), ("queries", 1), ("gap", 0)):
            if getattr(self, name) < least:
                where, value = "few-shot classification", getattr(self, name)
                raise bad_input(name, where=where, expected=f"at least {least}", got=value)

    @property
    def inputs(self) -> int:
        """Numbers in an input."""
        return self.source.size + self.ways + 1

    @property
    def outputs(self) -> int:
        """Classes."""
        return self.ways

    @property
    def context_size(self) -> int:
        """Numbers in the summary: for each label the mean of its examples so far, and whether there was one."""
        return self.ways * (self.source.size + 1)

    @property
    def steps(self) -> int:
        """Of a trial."""
        return self.ways * self.shots + self.gap + self.queries

    def sample(self, seed: int, index: int, batch: int, *, held_out: bool = False) -> TrialBatch:
        """Return batch ``index``; see ``FewShotTask``."""
        rng = trial_stream(seed, index, held_out)
        ways, shots, queries, size = self.ways, self.shots, self.queries, self.source.size
        drawn = self.source.draw(rng, batch=batch, ways=ways, examples=shots + queries, held_out=held_out)
        supports, trial = ways * shots, np.arange(batch)
        order = rng.permuted(np.tile(np.arange(supports), (batch, 1)), axis=1).T
        asked = rng.integers(ways, size=(queries, batch))
        labels = np.concatenate([order // shots, asked])
        examples = np.concatenate([order % shots, np.tile(shots + np.arange(queries)[:, None], (1, batch))])
        images = drawn[trial, labels, examples]
        codes = np.eye(ways, dtype=np.float32)[labels]
        codes[supports:] = 0
        # The steps of the gap come after the last example; their class is of no matter.
        images, codes, labels = (_with_gap(array, supports, self.gap) for array in (images, codes, labels))
        inputs = np.zeros((self.steps, batch, self.inputs), np.float32)
        inputs[:, :, :size] = images
        inputs[1:, :, size:-1] = codes[:-1]
        inputs[supports + self.gap :, :, -1] = 1
        weights = inputs[:, :, -1].copy()
        return TrialBatch(inputs, labels, weights, self._summary(inputs[:, :, :size], codes))

    def _summary(self, examples: Floats32, codes: Floats32) -> Floats32:
        steps, batch, _ = codes.shape
        with_one = np.concatenate([examples, np.ones((steps, batch, 1), np.float32)], axis=2)
        sums = np.zeros((steps + 1, batch, self.ways, with_one.shape[2]), np.float32)
        np.cumsum(codes[:, :, :, None] * with_one[:, :, None, :], axis=0, out=sums[1:])
        counts = sums[..., -1:]
        return (sums / np.maximum(counts, 1)).reshape(steps + 1, batch, -1).astype(np.float32)


def _with_gap(array: NDArray[Any], at: int, steps: int) -> NDArray[Any]:
    """Return a time-major array with so many steps of zeros put in before step ``at``."""
    return np.concatenate([array[:at], np.zeros((steps, *array.shape[1:]), array.dtype), array[at:]])
