"""Trials: several episodes on one task, which learners see as one long episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.families.interfaces import FamilyTask, TaskFamily
from wormwood.envs.families.table import family_from_name
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.randomness import EpisodeStreams
from wormwood.envs.simulation import ENDED_BY, Step
from wormwood.envs.specs import ActionSpace
from wormwood.errors import bad_input

__all__ = ["LONGEST_TRIAL", "TrialEnvironments", "TrialSpec", "encode_action", "trial_from_name"]

LONGEST_TRIAL = 100_000
"""Steps of the longest trial."""
REWARD, DONE = -2, -1
"""Columns of the previous reward and of the flag that an inner episode has just ended."""
TIME_LIMIT, UNSTABLE = ENDED_BY.index("time limit"), ENDED_BY.index("unstable simulation")


@dataclass(frozen=True)
class TrialSpec:
    """Trials of ``episodes`` inner episodes on one task of a family.

    What rollouts call an episode is one whole trial. The observation is the inner one, then what came of the last
    step: the action (one-hot where it is choices), the reward, and 1 where that step ended an inner episode; all of
    these are 0 at the trial's start (the input of Duan et al. 2016, RL², arXiv:1611.02779). A trial ends by truncation.

    Raises:
        BadInput: ``episodes`` is not a whole number of at least 1, or the trial would be longer than 100 000 steps.
    """

    family: TaskFamily
    episodes: int

    def __post_init__(self) -> None:
        """Check the length."""
        where, most = f"trials of {self.family.label}", LONGEST_TRIAL // self.family.steps
        whole = isinstance(self.episodes, int) and not isinstance(self.episodes, bool)
        if not whole or not 1 <= self.episodes <= most:
            expected = (
                f"a whole number from 1 to {most} ({LONGEST_TRIAL} steps a trial, {self.family.steps} an episode)"
            )
            raise bad_input("trial_episodes", where=where, expected=expected, got=self.episodes)

    @property
    def name(self) -> str:
        return f"trials of {self.episodes} episodes of {self.family.label}"

    @property
    def label(self) -> str:
        return f"{self.family.label}-{self.episodes}"

    @property
    def layout(self) -> ObservationLayout:
        inner = self.family.layout
        return replace(inner, size=inner.size + self.actions.outputs + 2)

    @property
    def actions(self) -> ActionSpace:
        return self.family.actions

    @property
    def horizon(self) -> int:
        return self.episodes * self.family.steps

    @property
    def held_out(self) -> TrialSpec:
        """The same trials on the tasks to judge on; simulate them with ``evaluation_streams``."""
        return replace(self, family=self.family.held_out)

    def simulate(self, count: int, *, streams: EpisodeStreams, first: int = 0) -> TrialEnvironments:
        return TrialEnvironments(self, count, streams=streams, first=first)


def trial_from_name(name: str, options: Mapping[str, Any] | None, episodes: int) -> TrialSpec:
    """Return the trials of a family by its name, as configurations give them.

    Raises:
        BadInput: there is no such family, an option is wrong, or a trial would be too long.
    """
    return TrialSpec(family_from_name(name, options=options), episodes)


def encode_action(actions: ActionSpace, action: NDArray[Any]) -> Floats:
    """Return actions ``[N, size]`` as the next observation shows them ``[N, outputs]``: choices one-hot."""
    if not actions.choices:
        return np.asarray(action, dtype=np.float64)
    starts = np.concatenate([[0], np.cumsum(actions.choices)[:-1]])
    one_hot = np.zeros((len(action), actions.outputs))
    one_hot[np.arange(len(action))[:, None], action + starts] = 1.0
    return one_hot


class TrialEnvironments:
    """N trials side by side; a trial that ends is followed by one on a new task. See ``BatchedEnvironment``.

    The task of trial t of environment e is drawn from ``streams("task", e, t)``, and all else that happens in it from a
    key that ``streams("reset", e, t)`` gives: so no two trials of a run share a task's draw, and N environments play
    what each would alone.
    """

    def __init__(self, spec: TrialSpec, count: int, *, streams: EpisodeStreams, first: int = 0) -> None:
        """Build ``count`` environments, numbered from ``first`` in the run that they belong to."""
        self.spec, self.count, self.first, self.streams = spec, count, first, streams
        self._dynamics = spec.family.dynamics(count)
        self._steps = np.zeros(count, dtype=np.int64)
        self._trials = np.full(count, -1, dtype=np.int64)
        self._keys = np.zeros(count, dtype=np.uint64)
        self._tasks = np.zeros((count, 0))
        self._previous = np.zeros((count, spec.actions.outputs + 2))
        self._observation = np.zeros((count, spec.layout.size))

    @property
    def observation(self) -> Floats:
        return self._observation

    @property
    def steps(self) -> NDArray[np.int64]:
        return self._steps.copy()

    @property
    def inner_episode(self) -> NDArray[np.int64]:
        """``[N]`` which episode of its trial, from 0, the next step belongs to. Read it before ``step``."""
        return self._steps // self.spec.family.steps

    @property
    def tasks(self) -> list[FamilyTask]:
        """The task of each environment's running trial."""
        return [FamilyTask(self.spec.family, tuple(values)) for values in self._tasks.tolist()]

    def reset(self) -> Floats:
        self._trials[:] = -1
        return self.next_trials()

    def next_trials(self) -> Floats:
        """Start the next trial of each environment, on its own task, and return the observation ``[N, D]``."""
        self._begin(np.arange(self.count))
        self._observation = self._observe(self._dynamics.observation)
        return self._observation

    def step(self, action: NDArray[Any]) -> Step:
        inner = self._dynamics.step(action, self._steps)
        self._steps += 1
        self._previous[:, :REWARD] = encode_action(self.spec.actions, action)
        self._previous[:, REWARD] = inner.reward
        self._previous[:, DONE] = self._steps % self.spec.family.steps == 0
        diverged = inner.diverged
        truncated = (self._steps >= self.spec.horizon) & ~diverged
        ended = truncated | diverged
        final = observation = self._observe(self._dynamics.observation)
        if ended.any():
            final = observation.copy()
            final[ended] = self._observe(inner.observation)[ended]
            self._begin(np.flatnonzero(ended))
            observation = self._observe(self._dynamics.observation)
        self._observation = observation
        ended_by = (TIME_LIMIT * truncated + UNSTABLE * diverged).astype(np.int8)
        return Step(observation, inner.reward, diverged, truncated, final, ended_by, inner.speed)

    def state(self) -> dict[str, NDArray[Any]]:
        return {
            "steps": self._steps.copy(),
            "trials": self._trials.copy(),
            "keys": self._keys.copy(),
            "tasks": self._tasks.copy(),
            "previous": self._previous.copy(),
            **{f"inner_{name}": values for name, values in self._dynamics.state().items()},
        }

    def restore(self, state: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        self._steps, self._trials, self._keys, self._tasks, self._previous = (
            np.array(state[name]) for name in ("steps", "trials", "keys", "tasks", "previous")
        )
        inner = {name.removeprefix("inner_"): values for name, values in state.items() if name.startswith("inner_")}
        self._dynamics.restore(inner, self._tasks, self._keys)
        self._observation = self._observe(self._dynamics.observation)
        return np.zeros(self.count, dtype=bool)

    def _begin(self, rows: NDArray[np.intp]) -> None:
        """Start the next trial of some environments."""
        self._trials[rows] += 1
        self._steps[rows], self._previous[rows] = 0, 0.0
        keys = [
            (self.first + row, trial) for row, trial in zip(rows.tolist(), self._trials[rows].tolist(), strict=True)
        ]
        drawn = np.stack([self.spec.family.draw(self.streams("task", *key)) for key in keys])
        if not self._tasks.size:
            self._tasks = np.zeros((self.count, drawn.shape[1]))
        self._tasks[rows] = drawn
        self._keys[rows] = [self.streams("reset", *key).integers(2**64, dtype=np.uint64) for key in keys]
        self._dynamics.begin(rows, self._tasks, self._keys)

    def _observe(self, inner: Floats) -> Floats:
        return np.concatenate([inner, self._previous], axis=1)
