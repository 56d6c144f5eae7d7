"""Were environments changed after they were made? Workers make theirs anew, and would play others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.spaces import Space
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from wormwood.errors import bad_input

__all__ = ["require_unchanged", "settings_of"]

Settings = dict[str, Any]
"""Plain values by their place, such as ``CartPoleEnv.gravity``."""
NO_SETTINGS = {"env", "spec", "render_mode", "metadata", "_np_random", "_np_random_seed", "_cached_spec"}
DEPTH = 4
"""Objects within objects that are looked into."""
PROBED_STEPS = 20


def require_unchanged(env: VecEnv, makers: Sequence[Callable[[], gymnasium.Env[Any, Any]]]) -> None:
    """Compare environments with freshly made ones: their attributes, and MuJoCo's models.

    What changes by itself is left out: what differs between two fresh ones, and what a few steps change.

    Args:
        env: N environments.
        makers: how workers make each of them.

    Raises:
        BadInput: an environment was changed after it was made; the message names the attribute.
    """
    fresh: _Fresh | None = None
    for row, make in enumerate(makers):
        if fresh is None or fresh.make != make:
            fresh = _Fresh(make)
        for name, value in _given(env, row, fresh):
            if not _same(fresh.settings.get(name), value):
                expected = "environments as they were made, or make=, a function that makes and changes one"
                got = f"{name} = {_shown(value)} in environment {row}, made with {_shown(fresh.settings.get(name))}"
                raise bad_input("environment", where="distribute", expected=expected, got=got)


class _Fresh:
    """An environment as workers make it, and which of its settings stay as they are."""

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]]) -> None:
        self.make = make
        environment, other = make(), make()
        self.settings, twin = settings_of(environment), settings_of(other)
        environment.reset(seed=0)
        environment.action_space.seed(0)
        for _ in range(PROBED_STEPS):
            _, _, terminated, truncated, _ = environment.step(environment.action_space.sample())
            if terminated or truncated:
                environment.reset()
        used = settings_of(environment)
        self.changing = {
            name
            for name in {*self.settings, *twin, *used}
            if not (_same(self.settings.get(name), twin.get(name)) and _same(self.settings.get(name), used.get(name)))
        }
        environment.close()
        other.close()


def _given(env: VecEnv, row: int, fresh: _Fresh) -> Iterator[tuple[str, Any]]:
    """Yield the settings of environment ``row`` that a fresh one has too, or that were added before its first reset."""
    if isinstance(env, DummyVecEnv):
        settings = settings_of(env.envs[row])
        untouched = not _was_reset(env.envs[row])
        for name, value in settings.items():
            if name not in fresh.changing and (name in fresh.settings or untouched):
                yield name, value
        return
    # In processes of their own, attributes can be asked for one by one.
    inner = {name.split(".")[1] for name in fresh.settings.keys() - fresh.changing}
    for attribute in sorted(inner):
        found: Settings = {}
        if env.has_attr(attribute):
            value = env.get_attr(attribute, indices=[row])[0]
            _collect(found, f".{attribute}", value, DEPTH, set())
        known = {name[name.index(".") :]: name for name in fresh.settings.keys() - fresh.changing}
        yield from ((known[place], value) for place, value in found.items() if place in known)


def _was_reset(environment: gymnasium.Env[Any, Any]) -> bool:
    return not environment.has_wrapper_attr("has_reset") or bool(environment.get_wrapper_attr("has_reset"))


def settings_of(environment: gymnasium.Env[Any, Any]) -> Settings:
    """Return the plain attributes of an environment and its wrappers, but Monitor, by class and name."""
    found: Settings = {}
    layer: Any = environment
    while True:
        if not isinstance(layer, Monitor):
            for name, value in vars(layer).items():
                if name not in NO_SETTINGS:
                    _collect(found, f"{type(layer).__name__}.{name}", value, DEPTH, set())
        if not isinstance(layer, gymnasium.Wrapper):
            return found
        layer = layer.env


def _collect(found: Settings, place: str, value: Any, depth: int, seen: set[int]) -> None:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic | np.ndarray | Space):
        found[place] = value
        return
    if depth == 0 or id(value) in seen:
        return
    seen.add(id(value))
    for name, part in _parts(value):
        _collect(found, f"{place}{name}", part, depth - 1, seen)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value is made of, with how it is written after the value's name."""
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, mujoco.MjModel | mujoco.MjOption):
        for name in dir(value):
            # A pickled model has another signature.
            part = None if name.startswith("_") or name == "signature" else getattr(value, name)
            if isinstance(part, int | float | np.ndarray | mujoco.MjOption):
                yield f".{name}", part
    elif type(value).__module__.split(".")[0] not in {"numpy", "mujoco", "pygame", "logging", "builtins", "torch"}:
        yield from ((f".{name}", part) for name, part in getattr(value, "__dict__", {}).items())


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        first, second = np.asarray(one), np.asarray(two)
        numbers = first.dtype.kind in "fc" and second.dtype.kind in "fc"
        return first.dtype == second.dtype and np.array_equal(first, second, equal_nan=numbers)
    return type(one) is type(two) and bool(one == two or (one != one and two != two))


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 30 else f"{text[:27]}..."
