"""Trials for Stable-Baselines3: many side by side as one ``VecEnv``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from wormwood.agents.stable_baselines3.spaces import sb3_spaces
from wormwood.envs.faces.common import LARGEST_SEED, whole_number
from wormwood.envs.families.trials import TrialSpec, trial_from_name
from wormwood.envs.randomness import EpisodeStreams, evaluation_streams, training_streams
from wormwood.errors import bad_input

__all__ = ["TrialVecEnv", "make_trials"]


def make_trials(
    family: str,
    count: int,
    *,
    episodes: int,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    is_held_out: bool = False,
) -> TrialVecEnv:
    """Build trials to train on, or to judge on.

    ``RecurrentPPO("MlpLstmPolicy", make_trials("bandit", 64, episodes=10), n_steps=10).learn(100_000)`` does RL².

    Args:
        family: a name of ``wormwood.envs.families.table.FAMILIES``.
        count: trials side by side.
        episodes: inner episodes of each.
        options: the family's own, such as ``{"arms": 10}``.
        seed: of all tasks and all else.
        is_held_out: play the tasks of ``held_out_tasks``, which training never draws.

    Raises:
        BadInput: there is no such family, or a number is wrong.
    """
    spec = trial_from_name(family, options, episodes)
    whole_number("seed", seed, minimum=0, maximum=LARGEST_SEED)
    if is_held_out:
        return TrialVecEnv(spec.held_out, count, streams=evaluation_streams(seed))
    return TrialVecEnv(spec, count, streams=training_streams(seed))


class TrialVecEnv(VecEnv):
    """N trials for Stable-Baselines3; what it calls an episode is one whole trial.

    A trial that is over is over for good: infos say ``TimeLimit.truncated: False``, so that no algorithm adds an
    estimate of what would follow. ``episode``, as from a ``Monitor``, holds the return and length of the whole trial,
    and ``inner_returns`` that of each of its episodes.
    """

    def __init__(self, spec: TrialSpec, count: int, *, streams: EpisodeStreams) -> None:
        """Build ``count`` environments on the tasks that ``streams`` gives.

        Raises:
            BadInput: ``count`` is not a whole number of at least 1.
        """
        self.spec = spec
        count = whole_number("number of environments", count, minimum=1)
        self._trials = spec.simulate(count, streams=streams)
        super().__init__(count, *sb3_spaces(spec))
        self._has_begun = False
        self._actions: NDArray[Any] = np.zeros(0)
        self._returns = np.zeros((count, spec.episodes))
        self._began = time.time()

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Start again from the first trials of a seed at the next reset; None changes nothing.

        Raises:
            BadInput: the seed is not a whole number from 0 to 2⁶⁴ - 1.
        """
        if seed is not None:
            seed = whole_number("seed", seed, minimum=0, maximum=LARGEST_SEED)
            self._trials.streams, self._has_begun = training_streams(seed), False
        return [seed] * self.num_envs

    def reset(self) -> NDArray[np.float32]:
        """Start the next trial in each environment and return the observations ``[N, D]``."""
        observation = self._trials.next_trials() if self._has_begun else self._trials.reset()
        self._has_begun = True
        self._returns[:] = 0.0
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return observation.astype(np.float32)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions ``[N]`` or ``[N, A]`` of the next ``step_wait``."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Advance by one step; trials that end are followed by the next ones.

        Returns:
            Observations ``[N, D]``, rewards and dones ``[N]``, and one info for each environment.
        """
        rows, inner, number = np.arange(self.num_envs), self._trials.inner_episode, self._trials.steps + 1
        action = np.asarray(self._actions).reshape(self.num_envs, self.spec.actions.size)
        step = self._trials.step(self.spec.actions.clip(action))
        self._returns[rows, inner] += step.reward
        infos: list[dict[str, Any]] = [{"inner_episode": episode} for episode in inner.tolist()]
        for row in np.flatnonzero(step.done):
            infos[row] |= self._end_of_trial(step.final_observation[row], int(row), length=int(number[row]))
        self._returns[step.done] = 0.0
        return step.observation.astype(np.float32), step.reward.astype(np.float32), step.done, infos

    def _end_of_trial(self, final_observation: NDArray[Any], row: int, *, length: int) -> dict[str, Any]:
        returns = self._returns[row]
        seconds = round(time.time() - self._began, 6)
        return {
            "TimeLimit.truncated": False,
            "terminal_observation": final_observation.astype(np.float32),
            "inner_returns": returns.copy(),
            "episode": {"r": round(float(returns.sum()), 6), "l": length, "t": seconds},
        }

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return ``task`` or ``inner_episode`` of some environments."""
        known = {
            "task": lambda: self._trials.tasks,
            "inner_episode": self._trials.inner_episode.tolist,
            "render_mode": lambda: [None] * self.num_envs,
            "spec": lambda: [None] * self.num_envs,
        }
        if attr_name not in known:
            raise AttributeError(f"trials have no attribute {attr_name!r}, but {', '.join(known)}")
        values = known[attr_name]()
        return [values[row] for row in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: a trial has nothing to set.

        Raises:
            BadInput: always.
        """
        raise bad_input("attribute", where="trials", expected="none: they have nothing to set", got=attr_name)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: single trials have no methods.

        Raises:
            BadInput: always.
        """
        raise bad_input("method", where="trials", expected="none: single trials have no methods", got=method_name)

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return True for ``Monitor``, whose episode infos these environments give, and False for other wrappers."""
        return [issubclass(Monitor, wrapper_class) for _ in self._get_indices(indices)]
