"""Policies that need no weights: what any agent has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.envs.specs import ActionSpace

__all__ = ["UniformPolicy", "ZeroPolicy"]

NO_BOUND = 1e300


class UniformPolicy:
    """Any action alike; drawn even when asked to be deterministic, from a generator of its own."""

    def __init__(self, actions: ActionSpace, rng: np.random.Generator) -> None:
        """Draw from ``rng``: numbers within their bounds, or alternatives.

        Numbers without bounds are drawn within [-1, 1], those with one within 2 of it.
        """
        self._actions, self._rng = actions, rng
        low, high = np.array(actions.low), np.array(actions.high)
        # Of the largest floats nothing can be drawn: they bound nothing.
        is_low, is_high = np.abs(low) < NO_BOUND, np.abs(high) < NO_BOUND
        self._low = np.where(is_low, low, np.where(is_high, high - 2.0, -1.0))
        self._high = np.where(is_high, high, self._low + 2.0)

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        """Return random actions ``[N, J]``, or choices ``[N, K]``; see ``Policy.act``."""
        shape = (len(observation), self._actions.size)
        if self._actions.choices:
            return self._rng.integers(self._actions.choices, size=shape), state, {}
        return self._rng.uniform(self._low, self._high, size=shape), state, {}


class ZeroPolicy:
    """No action at all, or the first alternative of each choice."""

    def __init__(self, actions: ActionSpace) -> None:
        """Act with zeros."""
        self._actions = actions

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        """Return zeros ``[N, J]``, or ``[N, K]`` for choices; see ``Policy.act``."""
        return np.zeros((len(observation), self._actions.size), dtype=self._actions.dtype), state, {}
