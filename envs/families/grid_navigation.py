"""GridNavi: find a hidden goal on a grid, and go back to it in the episodes that follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.families.interfaces import Dynamics, FamilyTask, InnerStep, check_whole, plain_layout
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.specs import ActionSpace

__all__ = ["FOUND", "GOALS", "MOVES", "SEARCH_COST", "SIZE", "GridNavigation"]

SIZE = 5
"""Cells to each side; every episode starts at (0, 0)."""
GOALS = tuple((x, y) for x in range(SIZE) for y in range(SIZE) if max(x, y) > 1)
"""The cells that can be the goal."""
MOVES = np.array([(0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)])
"""What each action adds to the place: stay, up, right, down, left. Moves into a wall stay."""
FOUND, SEARCH_COST = 1.0, -0.1


@dataclass(frozen=True)
class GridNavigation:
    """A 5×5 grid with a hidden goal: +1 for each step that ends on it, else -0.1.

    The task of Zintgraf et al. 2020 (VariBAD, arXiv:1910.08348): the goal is uniform over the 21 cells at least two
    steps or a diagonal and more away from the start, and stays for the whole trial. The observation is the place,
    one-hot over the 25 cells.
    """

    steps: int = 15
    """Steps of an episode."""

    name = "gridnavi"

    def __post_init__(self) -> None:
        """Check the options."""
        check_whole(self, "steps", 1, 10_000)

    @property
    def label(self) -> str:
        return self.name

    @property
    def layout(self) -> ObservationLayout:
        return plain_layout(SIZE * SIZE)

    @property
    def actions(self) -> ActionSpace:
        return ActionSpace(choices=(len(MOVES),))

    @property
    def held_out(self) -> GridNavigation:
        return self

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw the goal's x and y ``[2]``."""
        return np.array(GOALS[rng.integers(len(GOALS))], dtype=np.float64)

    def sample(self, rng: np.random.Generator) -> FamilyTask:
        return FamilyTask(self, tuple(self.draw(rng).tolist()))

    def dynamics(self, count: int) -> Dynamics:
        return _Grids(self.steps, count)


class _Grids:
    """N grids."""

    def __init__(self, steps: int, count: int) -> None:
        self._steps = steps
        self._places, self._goals = np.zeros((count, 2), dtype=np.int64), np.zeros((count, 2))
        self._still, self._nothing = np.zeros(count, dtype=bool), np.full(count, np.nan)

    @property
    def observation(self) -> Floats:
        cell = self._places[:, 0] * SIZE + self._places[:, 1]
        one_hot: Floats = (cell[:, None] == np.arange(SIZE * SIZE)).astype(np.float64)
        return one_hot

    def begin(self, rows: NDArray[np.intp], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._goals = tasks
        self._places[rows] = 0

    def step(self, action: NDArray[Any], steps: NDArray[np.int64]) -> InnerStep:
        self._places = np.clip(self._places + MOVES[action[:, 0]], 0, SIZE - 1)
        reward = np.where((self._places == self._goals).all(axis=1), FOUND, SEARCH_COST)
        observation = self.observation
        self._places[(steps + 1) % self._steps == 0] = 0
        return InnerStep(observation, reward, self._still, self._nothing)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"place": self._places.copy()}

    def restore(self, state: dict[str, NDArray[Any]], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._goals, self._places = tasks, np.array(state["place"])
