"""Stable-Baselines3's replay buffer, filled with whole iterations, whose contents are saved once each."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer

from wormwood.agents.learning.interfaces import Transitions
from wormwood.agents.policies.interfaces import Arrays, Floats

__all__ = ["IterationReplay"]

_ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones")


class IterationReplay:
    """Writes iterations into a buffer, one after the other, and the oldest one's place once it is full.

    The state of each iteration never changes while it is remembered: checkpoints share it.
    """

    def __init__(self, buffer: ReplayBuffer, *, steps: int) -> None:
        """Take a buffer whose rows are a multiple of an iteration's ``steps``."""
        self._buffer, self._steps, self._written = buffer, steps, 0
        self._iterations = buffer.buffer_size // steps

    def add(self, experience: Transitions, action: Floats) -> None:
        """Remember an iteration ``[T, N, …]`` with actions as the actor gives them, in [-1, 1]."""
        following = np.concatenate([experience.observation[1:], experience.next_observation[None]])
        following[experience.truncated] = experience.final_observation
        values = (experience.observation, following, action, experience.reward, experience.terminated)
        for name, array in zip(_ARRAYS, values, strict=True):
            self._rows(name, self._written)[:] = array
        self._written += 1
        self._place()

    def state(self) -> Arrays:
        """Return what is remembered: ``segments/<iteration>/<array>``."""
        oldest = max(0, self._written - self._iterations)
        return {
            f"segments/{iteration:06d}/{name}": self._rows(name, iteration).copy()
            for iteration in range(oldest, self._written)
            for name in _ARRAYS
        } | {"written": np.array(self._written)}

    def restore(self, state: Arrays) -> None:
        """Remember what ``state`` returned, and nothing else."""
        self._written = int(state["written"])
        for name, values in state.items():
            if name.startswith("segments/"):
                _, iteration, array = name.split("/")
                self._rows(array, int(iteration))[:] = values
        self._place()

    def _rows(self, name: str, iteration: int) -> Floats:
        """Return the view of one array in which an iteration is kept."""
        first = iteration % self._iterations * self._steps
        rows: Floats = getattr(self._buffer, name)[first : first + self._steps]
        return rows

    def _place(self) -> None:
        """Tell the buffer how far it is filled: it samples from the rows before that."""
        self._buffer.pos = self._written % self._iterations * self._steps
        self._buffer.full = self._written >= self._iterations
