"""Random Markov decision processes with tables of transitions and rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from wormwood.envs.families.counters import uniforms
from wormwood.envs.families.interfaces import Dynamics, FamilyTask, InnerStep, check_whole, plain_layout
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.specs import ActionSpace

__all__ = ["TabularMDP", "tables"]


@dataclass(frozen=True)
class TabularMDP:
    """S states and A actions, drawn for each task; every episode starts in state 0.

    Transitions are ``P(· | s, a) ~ Dirichlet(1, …, 1)``, a reward is normal with deviation 1 about a mean
    ``r(s, a) ~ N(1, 1)`` (the MDPs of Osband et al. 2013, arXiv:1306.0940, as Duan et al. 2016 use them). The
    observation is the state, one-hot.
    """

    states: int = 10
    """Number of states."""
    choices: int = 5
    """Number of actions."""
    steps: int = 10
    """Steps of an episode."""

    name = "tabular-mdp"

    def __post_init__(self) -> None:
        """Check the options."""
        check_whole(self, "states", 1, 100)
        check_whole(self, "choices", 2, 100)
        check_whole(self, "steps", 1, 10_000)

    @property
    def label(self) -> str:
        return f"{self.name}-{self.states}-{self.choices}"

    @property
    def layout(self) -> ObservationLayout:
        return plain_layout(self.states)

    @property
    def actions(self) -> ActionSpace:
        return ActionSpace(choices=(self.choices,))

    @property
    def held_out(self) -> TabularMDP:
        return self

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw mean rewards ``[S, A]`` and transitions ``[S, A, S]``, flat and one after the other."""
        rewards = rng.normal(1.0, 1.0, (self.states, self.choices))
        # Dirichlet(1, …, 1) is exponential draws over their sum.
        weights = rng.standard_exponential((self.states, self.choices, self.states))
        return np.concatenate([rewards.ravel(), (weights / weights.sum(axis=2, keepdims=True)).ravel()])

    def sample(self, rng: np.random.Generator) -> FamilyTask:
        return FamilyTask(self, tuple(self.draw(rng).tolist()))

    def dynamics(self, count: int) -> Dynamics:
        return _Tables(self, count)


def tables(family: TabularMDP, tasks: Floats) -> tuple[Floats, Floats]:
    """Return the mean rewards ``[N, S, A]`` and transitions ``[N, S, A, S]`` of tasks ``[N, P]``."""
    states, choices = family.states, family.choices
    rewards, transitions = np.split(tasks, [states * choices], axis=1)
    return rewards.reshape(-1, states, choices), transitions.reshape(-1, states, choices, states)


class _Tables:
    """N processes."""

    def __init__(self, family: TabularMDP, count: int) -> None:
        self._family, self._rows = family, np.arange(count)
        self._states = np.zeros(count, dtype=np.int64)
        self._place(np.zeros((count, family.states * family.choices * (family.states + 1))), np.zeros(count, np.uint64))
        self._still, self._nothing = np.zeros(count, dtype=bool), np.full(count, np.nan)

    def _place(self, tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._rewards, self._transitions = tables(self._family, tasks)
        self._keys = keys

    @property
    def observation(self) -> Floats:
        one_hot: Floats = (self._states[:, None] == np.arange(self._family.states)).astype(np.float64)
        return one_hot

    def begin(self, rows: NDArray[np.intp], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._place(tasks, keys)
        self._states[rows] = 0

    def step(self, action: NDArray[Any], steps: NDArray[np.int64]) -> InnerStep:
        moved, noise = uniforms(self._keys, steps)
        chosen = self._rows, self._states, action[:, 0]
        reward = self._rewards[chosen] + ndtri(noise)
        below = np.cumsum(self._transitions[chosen], axis=1)
        # The last state takes the rest, so that rounding of the sums never leads out of the table.
        self._states = np.sum(moved[:, None] >= below[:, :-1], axis=1)
        observation = self.observation
        self._states[(steps + 1) % self._family.steps == 0] = 0
        return InnerStep(observation, reward, self._still, self._nothing)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"state": self._states.copy()}

    def restore(self, state: dict[str, NDArray[Any]], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._place(tasks, keys)
        self._states = np.array(state["state"])
