"""The environments of one shard as workers hold them: swimmers, whose state travels, and any of gymnasium's.

Both are a ``VecEnv`` of Stable-Baselines3 with two verbs more: ``state``, and ``restore``, which goes on from a state.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from wormwood.envs.bodies import Body
from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv
from wormwood.envs.randomness import EpisodeStreams, shifted_streams, stream
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input
from wormwood.launch.distribute.observations import Observation, map_arrays

__all__ = ["GymnasiumRecipe", "GymnasiumVecEnv", "Maker", "Recipe", "SwimmerRecipe", "makers_of", "recipe_of"]

State = dict[str, Any]
Maker = Callable[[], gymnasium.Env[Any, Any]]
"""Builds one environment."""


class Recipe(Protocol):
    """How a worker builds the environments of some rows."""

    def build(self, first: int, count: int) -> Any:
        """Build environments ``first`` to ``first + count - 1``."""

    def for_workers(self) -> Recipe:
        """Return how a worker of many builds them, which has one core for itself."""


@dataclass(frozen=True)
class SwimmerRecipe:
    """Builds swimmers."""

    body: Body
    task: Task
    streams: EpisodeStreams
    threads: int
    """On which they are stepped in this process; the same numbers come out of a worker's one."""

    def build(self, first: int, count: int) -> SwimmerVecEnv:
        streams = shifted_streams(self.streams, first=first)
        return SwimmerVecEnv(self.body, count, task=self.task, streams=streams, threads=self.threads)

    def for_workers(self) -> SwimmerRecipe:
        return dataclasses.replace(self, threads=1)


@dataclass(frozen=True)
class GymnasiumRecipe:
    """Builds environments of gymnasium."""

    makers: tuple[Maker, ...]

    def build(self, first: int, count: int) -> GymnasiumVecEnv:
        return GymnasiumVecEnv(self.makers[first : first + count], first)

    def for_workers(self) -> GymnasiumRecipe:
        return self


class _Replayable(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that is a function of a seed, the number of its episode and the actions since."""

    def __init__(self, environment: gymnasium.Env[Any, Any], row: int) -> None:
        super().__init__(environment)
        self.row, self.run_seed, self.episode = row, 0, -1
        self.played: list[Any] = []

    @classmethod
    def of(cls, make: Maker, row: int) -> _Replayable:
        """Build one."""
        return cls(make(), row)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.episode += 1
        self.played = []
        reset_seed = int(stream(self.run_seed, "reset", self.row, self.episode).integers(2**31))
        return self.env.reset(seed=reset_seed, options=options)

    def step(self, action: Any) -> Any:
        self.played.append(np.array(action))
        return self.env.step(action)

    def stands_at(self, run_seed: int, episode: int, played: NDArray[Any]) -> bool:
        """Return whether this is where the environment is."""
        current = self.run_seed, self.episode, len(self.played)
        return current == (run_seed, episode, len(played)) and all(map(np.array_equal, self.played, played))


class GymnasiumVecEnv(DummyVecEnv):
    """Environments of gymnasium, which are played again from the start of their episode where another worker had them.

    Where that leads to another observation, as it may for those with randomness of their own, the episode is given up
    and the next one begins.
    """

    def __init__(self, makers: Sequence[Maker], first: int) -> None:
        """Build the environments, numbered from ``first`` in the run that they belong to."""
        super().__init__([partial(_Replayable.of, make, row) for row, make in enumerate(makers, start=first)])

    def state(self) -> State:
        """Return what the environments are a function of, and the observation that it leads to."""
        return {
            "run_seed": self._replayable(0).run_seed,
            "episodes": [self._replayable(row).episode for row in range(self.num_envs)],
            "actions": [np.array(self._replayable(row).played) for row in range(self.num_envs)],
            "observation": self._obs_from_buf(),
        }

    def restore(self, state: State) -> Observation:
        """Go on from ``state``, or begin the run of ``state["run_seed"]`` where that is all there is.

        Returns:
            The observations; where an episode was given up, those of the next one.
        """
        for row in range(self.num_envs):
            environment = self._replayable(row)
            if "episodes" not in state:
                environment.run_seed, environment.episode = state["run_seed"], -1
                self._save_obs(row, environment.reset()[0])
                continue
            episode, played = state["episodes"][row], state["actions"][row]
            if not environment.stands_at(state["run_seed"], episode, played):
                environment.run_seed, environment.episode = state["run_seed"], episode - 1
                expected = map_arrays(lambda values, row=row: values[row], state["observation"])
                self._save_obs(row, _replay(environment, played, expected))
        return self._obs_from_buf()

    def _replayable(self, row: int) -> _Replayable:
        environment = self.envs[row]
        assert isinstance(environment, _Replayable)
        return environment


def _replay(environment: _Replayable, played: Sequence[Any], expected: Observation) -> Observation:
    """Play an episode's actions again; return the observation at the end, or of the next episode if it is another."""
    reached, _ = environment.reset()
    for action in played:
        reached, _, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            return environment.reset()[0]
    same = map_arrays(lambda one, two: np.array_equal(np.asarray(one, dtype=two.dtype), two), reached, expected)
    if not (all(same.values()) if isinstance(same, dict) else same):
        return environment.reset()[0]
    return reached


@dataclass(frozen=True)
class _SpecMaker:
    """Builds an environment from gymnasium's own description of it."""

    spec: EnvSpec
    monitored: bool

    def __call__(self) -> gymnasium.Env[Any, Any]:
        environment = gymnasium.make(self.spec)
        return Monitor(environment) if self.monitored else environment


def makers_of(env: VecEnv, make: Maker | None) -> tuple[Maker, ...]:
    """Return how to build each of the single environments of a vector.

    Raises:
        BadInput: gymnasium does not know how one was made, and ``make`` does not say it.
    """
    if make is not None:
        return (make,) * env.num_envs
    monitored = env.env_is_wrapped(Monitor)
    specs = env.get_attr("spec") if env.has_attr("spec") else [None] * env.num_envs
    return tuple(_SpecMaker(_plain(spec), is_monitored) for spec, is_monitored in zip(specs, monitored, strict=True))


def _plain(spec: EnvSpec | None) -> EnvSpec:
    """Return a description without Stable-Baselines3's Monitor, of which gymnasium cannot make another."""
    where, expected = "distribute", "environments of gymnasium.make, or make=, a function that builds one"
    if spec is None:
        raise bad_input("environment", where=where, expected=expected, got="one that gymnasium did not make")
    wrappers = tuple(each for each in spec.additional_wrappers if each.name != Monitor.__name__)
    for wrapper in wrappers:
        if wrapper.kwargs is None:
            raise bad_input("wrapper that gymnasium cannot repeat", where=where, expected=expected, got=wrapper.name)
    plain = copy.copy(spec)
    plain.additional_wrappers = wrappers
    return plain


def recipe_of(env: VecEnv, make: Maker | None) -> Recipe:
    """Return how workers build environments as those of ``env``; ``make`` as in ``makers_of``, and errors."""
    if isinstance(env, SwimmerVecEnv):
        return SwimmerRecipe(env.body, env.task, env.streams, env.threads)
    return GymnasiumRecipe(makers_of(env, make))
