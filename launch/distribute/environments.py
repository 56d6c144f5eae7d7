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

import cloudpickle
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
from wormwood.launch.distribute.observations import Observation, equal, map_arrays
from wormwood.launch.distribute.unchanged import require_unchanged

__all__ = ["Change", "GymnasiumRecipe", "GymnasiumVecEnv", "Maker", "Recipe", "SwimmerRecipe", "makers_of", "recipe_of"]

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
        for make in self.makers:
            entry = make.spec.entry_point if isinstance(make, _SpecMaker) else None
            if isinstance(entry, str) and entry.startswith("__main__:"):
                expected = "a class, or make=: the __main__ of a worker is not your script"
                raise bad_input("entry_point", where="distribute", expected=expected, got=entry)
        return self


@dataclass(frozen=True)
class Change:
    """A call of ``set_attr`` or ``env_method`` on one environment, and where it stood then."""

    call: bytes
    """Method or attribute, and its arguments, by cloudpickle."""
    episode: int
    """-1 is before the first."""
    step: int
    """Actions of that episode before it."""

    def apply(self, environment: gymnasium.Env[Any, Any]) -> None:
        """Do the same to another environment, as Stable-Baselines3 does it."""
        name, arguments, keywords = cloudpickle.loads(self.call)
        if name is None:
            setattr(environment, *arguments)
        else:
            environment.get_wrapper_attr(name)(*arguments, **keywords)


class _Replayable(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment that is a function of a seed, the number of its episode, the actions since, and its changes."""

    def __init__(self, make: Maker, row: int) -> None:
        super().__init__(make())
        self._make = make
        self.row, self.run_seed, self.episode = row, 0, -1
        self._actions, self._count = np.zeros(0), 0
        self.changes: list[Change] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.episode += 1
        self._count = 0
        reset_seed = int(stream(self.run_seed, "reset", self.row, self.episode).integers(2**31))
        # As in Stable-Baselines3, environments need not know options until there are any.
        return self.env.reset(seed=reset_seed, **({"options": options} if options else {}))

    def step(self, action: Any) -> Any:
        taken = np.asarray(action)
        if self._count == len(self._actions) or self._actions.shape[1:] != taken.shape:
            room = np.zeros((max(64, 2 * self._count), *taken.shape), taken.dtype)
            if self._count:
                room[: self._count] = self._actions
            self._actions = room
        self._actions[self._count] = taken
        self._count += 1
        return self.env.step(action)

    @property
    def played(self) -> NDArray[Any]:
        """``[T, ...]`` the actions since the last reset."""
        return self._actions[: self._count].copy()

    def stands_at(self, run_seed: int, episode: int, played: NDArray[Any], changes: Sequence[Change]) -> bool:
        """Return whether this is where the environment is, but for changes that were made here since."""
        current = self.run_seed, self.episode, self._count
        here = episode, len(played)
        return (
            current == (run_seed, *here)
            and self._knows(changes)
            and all((each.episode, each.step) == here for each in changes[len(self.changes) :])
            and (not len(played) or np.array_equal(self._actions[: self._count], played))
        )

    def change(self, changes: Sequence[Change]) -> None:
        """Make the first of these changes that were not made yet, as far as they go."""
        for each in changes[len(self.changes) :]:
            each.apply(self.env)
            self.changes.append(each)

    def begin(self, changes: Sequence[Change]) -> None:
        """Be an environment in which these changes were made, and no others."""
        if not self._knows(changes):
            self.env.close()
            self.env, self.changes = self._make(), []
        self.change(changes)

    def _knows(self, changes: Sequence[Change]) -> bool:
        return self.changes == list(changes[: len(self.changes)])


class GymnasiumVecEnv(DummyVecEnv):
    """Environments of gymnasium, which are played again from the start of their episode where another worker had them.

    Where that leads to another observation, as it may for those with randomness of their own, the episode is given up
    and the next one begins.
    """

    def __init__(self, makers: Sequence[Maker], first: int) -> None:
        """Build the environments, numbered from ``first`` in the run that they belong to."""
        super().__init__([partial(_Replayable, make, row) for row, make in enumerate(makers, start=first)])

    def state(self) -> State:
        """Return what the environments are a function of, and the observation that it leads to."""
        return {
            "run_seed": self._replayable(0).run_seed,
            "episodes": [self._replayable(row).episode for row in range(self.num_envs)],
            "actions": [self._replayable(row).played for row in range(self.num_envs)],
            "changes": [list(self._replayable(row).changes) for row in range(self.num_envs)],
            "observation": self._obs_from_buf(),
        }

    def restore(self, state: State) -> Observation:
        """Go on from ``state``, or begin the run of ``state["run_seed"]`` where that is all there is.

        Returns:
            The observations; where an episode was given up, those of the next one.
        """
        for row in range(self.num_envs):
            environment, changes = self._replayable(row), state["changes"][row] if "changes" in state else []
            if "episodes" not in state:
                environment.run_seed, environment.episode = state["run_seed"], -1
                environment.begin(changes)
                self._save_obs(row, environment.reset()[0])
                continue
            episode, played = state["episodes"][row], state["actions"][row]
            if not environment.stands_at(state["run_seed"], episode, played, changes):
                environment.run_seed, environment.episode = state["run_seed"], episode - 1
                expected = map_arrays(lambda values, row=row: values[row], state["observation"])
                self._save_obs(row, _replay(environment, played, changes, expected))
            environment.change(changes)
        return self._obs_from_buf()

    def _replayable(self, row: int) -> _Replayable:
        environment = self.envs[row]
        assert isinstance(environment, _Replayable)
        return environment


def _replay(
    environment: _Replayable, played: Sequence[Any], changes: Sequence[Change], expected: Observation
) -> Observation:
    """Play an episode's actions again, with what was changed before and between them.

    Returns:
        The observation at the end, or of the next episode if it is another.
    """
    episode = environment.episode + 1
    environment.begin([each for each in changes if each.episode < episode])
    reached, _ = environment.reset()
    over = False
    for step, action in enumerate(played):
        environment.change([each for each in changes if (each.episode, each.step) <= (episode, step)])
        reached, _, terminated, truncated, _ = environment.step(action)
        over = terminated or truncated
        if over:
            break
    environment.change(changes)
    same = map_arrays(lambda one, two: equal(np.asarray(one, dtype=two.dtype), two).all(), reached, expected)
    if over or not (all(same.values()) if isinstance(same, dict) else same):
        return environment.reset()[0]
    return reached


@dataclass(frozen=True)
class _SpecMaker:
    """Builds an environment from gymnasium's own description of it."""

    spec: EnvSpec
    monitored: bool
    keywords: tuple[str, ...] = ()
    """Of the infos that Monitor keeps of an episode."""

    def __call__(self) -> gymnasium.Env[Any, Any]:
        environment = gymnasium.make(self.spec)
        return Monitor(environment, info_keywords=self.keywords) if self.monitored else environment


def makers_of(env: VecEnv, make: Maker | None) -> tuple[Maker, ...]:
    """Return how to build each of the single environments of a vector.

    Raises:
        BadInput: gymnasium does not know how one was made, and ``make`` does not say it.
    """
    if make is not None:
        return (make,) * env.num_envs
    try:
        monitored = env.env_is_wrapped(Monitor)
        specs = env.get_attr("spec") if env.has_attr("spec") else [None] * env.num_envs
        keywords = (
            env.get_attr("info_keywords") if all(monitored) and env.has_attr("info_keywords") else [()] * len(specs)
        )
    except (NotImplementedError, AttributeError) as error:
        expected = "a DummyVecEnv, a SubprocVecEnv or make_swimmers"
        raise bad_input("environments", where="distribute", expected=expected, got=type(env).__name__) from error
    makers = tuple(map(_SpecMaker, map(_plain, specs), monitored, keywords))
    require_unchanged(env, makers)
    return makers


def _plain(spec: EnvSpec | None) -> EnvSpec:
    """Return a description without Stable-Baselines3's Monitor, of which gymnasium cannot make another."""
    where, expected = "distribute", "environments of gymnasium.make, or make=, a function that builds one"
    if spec is None:
        raise bad_input("environment", where=where, expected=expected, got="one that gymnasium did not make")
    if not callable(spec.entry_point) and ":" not in str(spec.entry_point):
        raise bad_input(
            "environment", where=where, expected=expected, got=f"{spec.id} with entry_point {spec.entry_point}"
        )
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
