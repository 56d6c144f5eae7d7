"""Few-shot regression: some points of a sine, then questions about others (Finn et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from wormwood.envs.few_shot.trials import TrialBatch, trial_stream
from wormwood.errors import bad_input

__all__ = ["Sinusoids"]


@dataclass(frozen=True)
class Sinusoids:
    """``y = a sin(x + b)`` with a from U(0.1, 5), b from U(0, π) and x from U(-5, 5), in units of 5.

    Inputs are x, the y of the point before (0 if that was a question), and a flag that asks. Whatever always answers 0
    has a mean square error of 0.17 in these units.
    """

    shots: int = 5
    """Points that are shown."""
    queries: int = 1
    """Questions after them."""
    loss: Literal["classification", "regression"] = "regression"
    inputs: int = 3
    outputs: int = 1

    def __post_init__(self) -> None:
        for name, value in (("shots", self.shots), ("queries", self.queries)):
            if value < 1:
                raise bad_input(name, where="few-shot sinusoids", expected="at least 1", got=value)

    @property
    def context_size(self) -> int:
        """Numbers in the summary: the points so far, each in its place."""
        return 2 * self.shots

    @property
    def steps(self) -> int:
        """Of a trial."""
        return self.shots + self.queries

    def sample(self, seed: int, index: int, batch: int, *, held_out: bool = False) -> TrialBatch:
        """Return batch ``index``; see ``FewShotTask``. Held-out sines come from a stream of their own."""
        rng = trial_stream(seed, index, held_out)
        amplitude, phase = rng.uniform(0.1, 5, batch), rng.uniform(0, np.pi, batch)
        x = rng.uniform(-5, 5, (self.steps, batch))
        x, y = (x / 5).astype(np.float32), (amplitude * np.sin(x + phase) / 5).astype(np.float32)
        inputs = np.zeros((self.steps, batch, 3), np.float32)
        inputs[:, :, 0] = x
        inputs[1 : self.shots + 1, :, 1] = y[: self.shots]
        inputs[self.shots :, :, 2] = 1
        context = np.zeros((self.steps + 1, batch, self.shots, 2), np.float32)
        for shot in range(self.shots):
            context[shot + 1 :, :, shot, 0], context[shot + 1 :, :, shot, 1] = x[shot], y[shot]
        summary = context.reshape(self.steps + 1, batch, -1)
        return TrialBatch(inputs, y[:, :, None], inputs[:, :, 2].copy(), summary)
