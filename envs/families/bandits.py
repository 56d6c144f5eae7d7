"""Bernoulli bandits: an episode is one pull of one of k arms, whose chances are drawn uniformly for each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.families.counters import uniforms
from wormwood.envs.families.interfaces import Dynamics, FamilyTask, InnerStep, check_whole, plain_layout
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.specs import ActionSpace

__all__ = ["BernoulliBandit"]

MOST_ARMS = 10_000


@dataclass(frozen=True)
class BernoulliBandit:
    """Arm i pays 1 with chance ``p_i ~ U[0, 1]``, else 0 (the bandits of Duan et al. 2016, arXiv:1611.02779).

    There is nothing to observe but what the trial adds: the last arm, what it paid, and that a pull has been made.
    """

    arms: int = 5
    """Arms to choose from."""

    name = "bandit"
    steps = 1

    def __post_init__(self) -> None:
        """Check the options."""
        check_whole(self, "arms", 2, MOST_ARMS)

    @property
    def label(self) -> str:
        return f"{self.name}-{self.arms}"

    @property
    def layout(self) -> ObservationLayout:
        return plain_layout(0)

    @property
    def actions(self) -> ActionSpace:
        return ActionSpace(choices=(self.arms,))

    @property
    def held_out(self) -> BernoulliBandit:
        return self

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw the chance of each arm ``[arms]``."""
        return rng.random(self.arms)

    def sample(self, rng: np.random.Generator) -> FamilyTask:
        return FamilyTask(self, tuple(self.draw(rng).tolist()))

    def dynamics(self, count: int) -> Dynamics:
        return _Pulls(count)


class _Pulls:
    """N bandits."""

    def __init__(self, count: int) -> None:
        self._rows = np.arange(count)
        self._tasks, self._keys = np.zeros((count, 0)), np.zeros(count, dtype=np.uint64)
        self._still, self._nothing = np.zeros(count, dtype=bool), np.full(count, np.nan)

    @property
    def observation(self) -> Floats:
        return np.zeros((len(self._rows), 0))

    def begin(self, rows: NDArray[np.intp], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._tasks, self._keys = tasks, keys

    def step(self, action: NDArray[Any], steps: NDArray[np.int64]) -> InnerStep:
        chance, (drawn, _) = self._tasks[self._rows, action[:, 0]], uniforms(self._keys, steps)
        return InnerStep(self.observation, (drawn < chance).astype(np.float64), self._still, self._nothing)

    def state(self) -> dict[str, NDArray[Any]]:
        return {}

    def restore(self, state: dict[str, NDArray[Any]], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._tasks, self._keys = tasks, keys
