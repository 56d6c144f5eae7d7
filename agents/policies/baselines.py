"""Policies that need no weights: what any agent has to beat."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.envs.specs import ActionSpace

__all__ = ["UniformPolicy", "ZeroPolicy"]


class UniformPolicy:
    """Any action alike; drawn even when asked to be deterministic, from a generator of its own."""

    def __init__(self, actions: ActionSpace, rng: np.random.Generator) -> None:
        """Draw from ``rng``: numbers within their bounds, or within [-1, 1] where they have none, or alternatives."""
        self._actions, self._rng = actions, rng
        low, high = np.array(actions.low), np.array(actions.high)
        self._low, self._high = np.where(np.isfinite(low), low, -1.0), np.where(np.isfinite(high), high, 1.0)

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
