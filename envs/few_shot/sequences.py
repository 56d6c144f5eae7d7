"""Delayed recall and copy: how far apart may showing and asking be?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from wormwood.envs.few_shot.trials import TrialBatch, trial_stream
from wormwood.errors import bad_input

__all__ = ["Copy", "Recall"]


@dataclass(frozen=True)
class Copy:
    """A sequence of symbols is shown, then nothing for a while, then the sequence is asked for, symbol by symbol.

    Inputs are the symbol's one-hot code and a flag that asks. Chance is ``1 / symbols``.
    """

    length: int = 3
    """Symbols in the sequence."""
    delay: int = 0
    """Empty steps between."""
    symbols: int = 4
    loss: Literal["classification", "regression"] = "classification"

    def __post_init__(self) -> None:
        for name, value, least in (("length", self.length, 1), ("delay", self.delay, 0), ("symbols", self.symbols, 2)):
            if value < least:
                raise bad_input(name, where="few-shot copy", expected=f"at least {least}", got=value)

    @property
    def inputs(self) -> int:
        """Numbers in an input."""
        return self.symbols + 1

    @property
    def outputs(self) -> int:
        """Classes."""
        return self.symbols

    @property
    def context_size(self) -> int:
        """Numbers in the summary: the codes of the symbols that were shown, each in its place."""
        return self.length * self.symbols

    @property
    def steps(self) -> int:
        """Of a trial."""
        return 2 * self.length + self.delay

    def sample(self, seed: int, index: int, batch: int, *, held_out: bool = False) -> TrialBatch:
        """Return batch ``index``; see ``FewShotTask``."""
        symbols = trial_stream(seed, index, held_out).integers(self.symbols, size=(self.length, batch))
        codes = np.eye(self.symbols, dtype=np.float32)[symbols]
        steps, asked = self.steps, self.length + self.delay
        inputs = np.zeros((steps, batch, self.inputs), np.float32)
        inputs[: self.length, :, :-1] = codes
        inputs[asked:, :, -1] = 1
        targets, weights = np.zeros((steps, batch), np.int64), np.zeros((steps, batch), np.float32)
        targets[asked:], weights[asked:] = symbols, 1
        context = np.zeros((steps + 1, batch, self.length, self.symbols), np.float32)
        for position in range(self.length):
            context[position + 1 :, :, position] = codes[position]
        return TrialBatch(inputs, targets, weights, context.reshape(steps + 1, batch, -1))


class Recall(Copy):
    """One symbol is shown, and asked for ``delay`` steps later."""

    def __init__(self, delay: int = 10, symbols: int = 4) -> None:
        super().__init__(length=1, delay=delay - 1, symbols=symbols)
