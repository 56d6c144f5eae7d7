"""What a few-shot task is: where its trials come from, and the arrays of a batch of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.randomness import stream

__all__ = ["FewShotTask", "Floats32", "TrialBatch", "trial_stream"]

Floats32 = NDArray[np.float32]


@dataclass(frozen=True)
class TrialBatch:
    """B trials of T steps, time-major."""

    inputs: Floats32
    """``[T, B, I]``"""
    targets: NDArray[Any]
    """``[T, B]`` right classes, or ``[T, B, O]`` right values."""
    weights: Floats32
    """``[T, B]`` 1 where an answer is asked for, else 0."""
    context: Floats32
    """``[T + 1, B, C]`` a summary of what was shown before each step, and at the end: never of what comes."""


class FewShotTask(Protocol):
    """Draws trials."""

    @property
    def loss(self) -> Literal["classification", "regression"]:
        """Whether targets are classes or values."""

    @property
    def inputs(self) -> int:
        """Numbers in an input."""

    @property
    def outputs(self) -> int:
        """Classes, or numbers in a value."""

    @property
    def context_size(self) -> int:
        """Numbers in the summary of what was shown."""

    @property
    def steps(self) -> int:
        """Of each trial."""

    def sample(self, seed: int, index: int, batch: int, *, held_out: bool = False) -> TrialBatch:
        """Return batch ``index``: the same for equal arguments, whatever was drawn before.

        Args:
            seed: of all batches.
            index: number of the batch.
            batch: trials in it.
            held_out: draw from classes and streams that training never sees.
        """


def trial_stream(seed: int, index: int, held_out: bool) -> np.random.Generator:
    """Return the generator of one batch of trials."""
    return stream(seed, "evaluation" if held_out else "task", index)
