"""Any environment of gymnasium, by its id, behind the same interface as the swimmers.

Such an environment cannot hand out its state. It is a function of a seed and the actions since its last reset instead,
as gymnasium asks of every environment: so these are its state. Where they have to be, the actions are played again, and
the observation they lead to is compared.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from wormwood.configs.custom import is_custom, load_class
from wormwood.envs.gymnasium_spaces import action_space_of, flat_observation, layout_of, native_action
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.randomness import EpisodeStreams
from wormwood.envs.simulation import Step
from wormwood.envs.specs import ActionSpace
from wormwood.errors import BadInput, bad_input

__all__ = ["GymnasiumSpec", "ReplayedEnvironments", "foreign_names"]

WHERE = "configuration"

TIME_LIMIT, TERMINAL = 1, 3
"""Indices into ``wormwood.envs.simulation.ENDED_BY``."""


KNOWN_MODULES = frozenset(
    {
        "gymnasium",
        "gymnasium.wrappers",
        "minigrid",
        "minigrid.wrappers",
        "wormwood.envs",
        "wormwood.envs.minigrid_missions",
    }
)
"""Modules whose environments and wrappers do nothing to the machine, so that files may name them."""
OWN_PACKAGES = ("gymnasium", "wormwood")
"""Packages whose environments every process has."""
MODULE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


def foreign_names(environment: Any, wrappers: Any) -> list[str]:
    """Return those of an environment's id and its wrappers whose modules are none of ``KNOWN_MODULES``.

    Args:
        environment: what a file has for the id, whatever that is.
        wrappers: what it has for the wrappers.
    """
    around = wrappers if isinstance(wrappers, Iterable) and not isinstance(wrappers, str) else [wrappers]
    named = [name for name in (environment, *around) if isinstance(name, str) and ":" in name]
    return [name for name in named if name.partition(":")[0] not in KNOWN_MODULES]


@dataclass(frozen=True)
class GymnasiumSpec:
    """An environment of gymnasium. Observations are flattened; actions are clipped to their bounds."""

    id: str
    """What ``gymnasium.make`` takes, such as ``CartPole-v1``, or ``module:Name-v0``, which imports the module."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of ``gymnasium.make``, such as ``max_episode_steps``."""
    wrappers: tuple[str, ...] = ()
    """Wrappers, the innermost first, as ``module:Class``, such as ``minigrid.wrappers:ImgObsWrapper``."""

    def __post_init__(self) -> None:
        """Check that names have their form: what has not is imported by nobody.

        Raises:
            BadInput: one has not.
        """
        if not re.fullmatch(rf"({MODULE}:)?[^:\s]+", self.id):
            expected = "an id of gymnasium, such as CartPole-v1, or module:Name-v0"
            raise bad_input("environment", where=WHERE, expected=expected, got=self.id)
        for wrapper in self.wrappers:
            if not is_custom(wrapper):
                expected = "module:Class, such as gymnasium.wrappers:FlattenObservation"
                raise bad_input("environment_wrappers", where=WHERE, expected=expected, got=wrapper)

    def make(self) -> gymnasium.Env[Any, Any]:
        """Build one environment.

        Raises:
            BadInput: there is no such environment or wrapper, or it does not take these options.
        """
        environment = self._bare()
        for name in self.wrappers:
            environment = _wrapped(environment, name)
        return environment

    def _bare(self) -> gymnasium.Env[Any, Any]:
        for name, value in self.options.items():
            # What reads a device or a pipe may never come to an end.
            if isinstance(value, str) and os.path.exists(value) and not _is_plain(value):
                what, expected = f"environment_options.{name}", "a regular file"
                raise bad_input(what, where=WHERE, expected=expected, got=value)
        try:
            return gymnasium.make(self.id, **self.options)
        except BadInput:
            raise
        except (Exception, SystemExit) as error:
            raise self._refusal(error) from error

    def _refusal(self, error: BaseException) -> BadInput:
        """Say in one line why the environment cannot be built: by which of the options, if it is by one."""
        reason = _reason(error)
        for name in self.options if not isinstance(error, gymnasium.error.Error) else ():
            others = {other: value for other, value in self.options.items() if other != name}
            try:
                gymnasium.make(self.id, **others).close()
            except (Exception, SystemExit) as without:
                if _reason(without) == reason:
                    continue
            what = f"environment_options.{name} ({reason})"
            return bad_input(what, where=WHERE, expected=f"what {self.id} takes", got=self.options[name])
        expected = "an id that gymnasium knows, with options that it takes"
        what, names = f"environment ({reason})", () if self.id in gymnasium.registry else gymnasium.registry
        return bad_input(what, where=WHERE, expected=expected, got=self.id, nearest_to=names)

    def require_importable(self, modules: Collection[str] = ()) -> None:
        """Check that other processes find the environment, too.

        Args:
            modules: what they import besides.

        Raises:
            BadInput: it is registered in this process only, by a script or by a module that its id does not name.
        """
        module, _, name = self.id.rpartition(":")
        entry = gymnasium.registry[name].entry_point if name in gymnasium.registry else "gymnasium"
        origin = entry if isinstance(entry, str) else str(getattr(entry, "__module__", ""))
        imported = {*OWN_PACKAGES, *(name.partition(".")[0] for name in modules)} - {"__main__"}
        if module == "__main__" or not (module or re.split("[.:]", origin)[0] in imported):
            expected = f"module:{name}, whose module registers it where workers import it; or no workers"
            raise bad_input("environment", where="train with workers", expected=expected, got=self.id)

    @property
    def name(self) -> str:
        return f"environment {self.id}"

    @property
    def label(self) -> str:
        return self.id

    @functools.cached_property
    def _described(self) -> tuple[ObservationLayout, ActionSpace, int | None]:
        environment = self.make()
        try:
            limit = environment.spec.max_episode_steps if environment.spec else None
            limit = limit or getattr(environment.unwrapped, "max_steps", None)  # MiniGrid cuts its own episodes
            layout = layout_of(environment.observation_space, where=self.name)
            return layout, action_space_of(environment.action_space, where=self.name), limit
        finally:
            environment.close()

    @property
    def layout(self) -> ObservationLayout:
        return self._described[0]

    @property
    def actions(self) -> ActionSpace:
        return self._described[1]

    @property
    def horizon(self) -> int:
        limit = self._described[2]
        if limit is None:
            expected = "a time limit, such as environment_options.max_episode_steps=1000"
            raise bad_input("environment", where=WHERE, expected=expected, got=f"{self.id} without one")
        return limit

    def simulate(self, count: int, *, streams: EpisodeStreams, first: int = 0) -> ReplayedEnvironments:
        return ReplayedEnvironments(self, count, streams=streams, first=first)


def _is_plain(path: str) -> bool:
    return os.path.isfile(path) or os.path.isdir(path)


def _wrapped(environment: gymnasium.Env[Any, Any], name: str) -> gymnasium.Env[Any, Any]:
    """Put the wrapper ``module:Class`` around an environment.

    Raises:
        BadInput: it is no wrapper of gymnasium's kind, which nothing but is called, or it does not fit.
    """
    wrapper = load_class(name, what="wrapper", needs={}, where=WHERE)
    if not issubclass(wrapper, gymnasium.Wrapper):
        expected = "a subclass of gymnasium.Wrapper"
        raise bad_input(f"wrapper {name}", where=WHERE, expected=expected, got=wrapper)
    try:
        around: gymnasium.Env[Any, Any] = wrapper(environment)
    except BadInput:
        raise
    except (Exception, SystemExit) as error:
        what, expected = f"wrapper {name} ({_reason(error)})", "one that takes this environment and no more"
        raise bad_input(what, where=WHERE, expected=expected, got=environment) from error
    return around


def _reason(error: BaseException) -> str:
    """Say in one line what was raised; of a file that is not there, also the folder it was looked for in."""
    text = " ".join(str(error).split()).partition(" was raised from the environment creator")[0]
    if isinstance(error, OSError) and str(error.filename or "/")[:1] != "/":
        text += f", looked for in {Path.cwd()}"
    return text if isinstance(error, gymnasium.error.Error) else f"{type(error).__name__}: {text}"


class ReplayedEnvironments:
    """N environments of one id, whose state is the actions since their last reset. See ``BatchedEnvironment``."""

    def __init__(self, spec: GymnasiumSpec, count: int, *, streams: EpisodeStreams, first: int = 0) -> None:
        """Build ``count`` environments, numbered from ``first`` in the run that they belong to."""
        self.spec, self.count, self.first, self.streams = spec, count, first, streams
        self._environments = [spec.make() for _ in range(count)]
        self._episodes = np.full(count, -1, dtype=np.int64)
        self._played: list[list[NDArray[Any]]] = [[] for _ in range(count)]
        self._observation = np.zeros((count, spec.layout.size))

    @property
    def observation(self) -> Floats:
        return self._observation

    @property
    def steps(self) -> NDArray[np.int64]:
        return np.array([len(actions) for actions in self._played], dtype=np.int64)

    def reset(self) -> Floats:
        self._episodes[:] = -1
        self._observation = np.stack([self._begin(row) for row in range(self.count)])
        return self._observation

    def step(self, action: NDArray[Any]) -> Step:
        final, reward = np.empty_like(self._observation), np.empty(self.count)
        terminated, truncated = np.zeros(self.count, dtype=bool), np.zeros(self.count, dtype=bool)
        for row in range(len(action)):
            final[row], reward[row], terminated[row], truncated[row] = self._advance(row, action[row])
        truncated &= ~terminated
        observation = final
        if (ended := terminated | truncated).any():
            observation = final.copy()
            for over in np.flatnonzero(ended):
                observation[over] = self._begin(int(over))
        self._observation = observation
        ended_by = (TIME_LIMIT * truncated + TERMINAL * terminated).astype(np.int8)
        return Step(observation, reward, terminated, truncated, final, ended_by, np.full(self.count, np.nan))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the number of each episode, the actions since its start one after the other, and what they led to.

        These are ``episodes [N]``, ``steps [N]`` played, ``actions [sum(steps), size]`` and ``observation [N, D]``.
        """
        actions = [action for played in self._played for action in played]
        none = np.empty((0, self.spec.actions.size), dtype=self.spec.actions.dtype)
        return {
            "episodes": self._episodes.copy(),
            "steps": self.steps,
            "actions": np.concatenate([none, np.stack(actions)]) if actions else none,
            "observation": self._observation.copy(),
        }

    def restore(self, state: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        ends = np.cumsum(state["steps"])
        lost = np.zeros(self.count, dtype=bool)
        observation = np.array(state["observation"])
        for row, (start, end) in enumerate(zip(ends - state["steps"], ends, strict=True)):
            played, episode = state["actions"][start:end], int(state["episodes"][row])
            if self._stands_at(row, episode, played, observation[row]):
                continue
            lost[row] = not self._replay(row, episode, played, observation[row])
            if lost[row]:
                observation[row] = self._begin(row)
        self._observation = observation
        return lost

    def _stands_at(self, row: int, episode: int, played: NDArray[Any], observation: Floats) -> bool:
        return (
            self._episodes[row] == episode
            and len(self._played[row]) == len(played)
            and np.array_equal(self._observation[row], observation)
            and np.array_equal(self._played[row], played)
        )

    def _replay(self, row: int, episode: int, played: NDArray[Any], observation: Floats) -> bool:
        """Play an episode's actions again, and return whether they led to the same observation."""
        self._episodes[row] = episode - 1
        reached = self._begin(row)
        for action in played:
            reached, _, terminated, truncated = self._advance(row, action)
            if terminated or truncated:
                return False
        return bool(np.array_equal(reached, observation))

    def _begin(self, row: int) -> Floats:
        """Start the next episode of one environment."""
        self._episodes[row] += 1
        self._played[row] = []
        rng = self.streams("reset", self.first + row, int(self._episodes[row]))
        observation, _ = self._environments[row].reset(seed=int(rng.integers(2**31)))
        return self._flat(row, observation)

    def _advance(self, row: int, action: NDArray[Any]) -> tuple[Floats, float, bool, bool]:
        environment = self._environments[row]
        native = native_action(environment.action_space, action)
        observation, reward, terminated, truncated, _ = environment.step(native)
        self._played[row].append(np.array(action))
        return self._flat(row, observation), float(reward), bool(terminated), bool(truncated)

    def _flat(self, row: int, observation: Any) -> Floats:
        return flat_observation(self._environments[row].observation_space, observation, where=self.spec.name)
