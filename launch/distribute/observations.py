"""Observations of Stable-Baselines3, arrays or dictionaries of them, and what wrappers make of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from wormwood.errors import bad_input

__all__ = ["Filter", "Normalize", "Observation", "equal", "filters_of", "map_arrays", "stack", "wrappers_of"]

Observation = Any
"""``[N, ...]``, or a dictionary of such arrays."""
Filter = Callable[[Observation], Observation]
"""What a wrapper makes of the observations ``[N, ...]`` below it."""


def map_arrays(function: Callable[..., Any], *observations: Observation) -> Observation:
    """Apply a function to the arrays of observations, key by key where they are dictionaries."""
    if isinstance(observations[0], dict):
        return {key: function(*(each[key] for each in observations)) for key in observations[0]}
    return function(*observations)


def equal(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which numbers of two arrays of one shape are the same; not a number is the same as not a number."""
    same: NDArray[np.bool_] = np.asarray(one == two)
    if one.dtype.kind in "fc":
        same |= np.isnan(one) & np.isnan(two)
    return same


def stack(observations: Sequence[Observation]) -> Observation:
    """Stack T observations ``[N, ...]`` to ``[T, N, ...]``."""
    return map_arrays(lambda *arrays: np.stack(arrays), *observations)


def wrappers_of(env: VecEnv) -> tuple[list[VecEnvWrapper], VecEnv]:
    """Return the wrappers of environments, the outermost first, and what is below them.

    Raises:
        BadInput: one of them may change observations in a way that workers cannot repeat.
    """
    known = (VecMonitor, VecCheckNan, VecNormalize, VecTransposeImage)
    wrappers: list[VecEnvWrapper] = []
    while isinstance(env, VecEnvWrapper):
        if not isinstance(env, known):
            expected = f"one of {', '.join(each.__name__ for each in known)}; others can wrap single environments"
            raise bad_input("wrapper", where="distribute", expected=expected, got=type(env).__name__)
        wrappers.append(env)
        env = env.venv
    return wrappers, env


def filters_of(wrappers: Sequence[VecEnvWrapper]) -> list[Filter]:
    """Return what wrappers, the outermost first, make of observations as they are now, in the order of application."""
    filters: list[Filter] = []
    for wrapper in reversed(wrappers):
        if isinstance(wrapper, VecNormalize) and wrapper.norm_obs:
            filters.append(Normalize(wrapper))
        elif isinstance(wrapper, VecTransposeImage) and not wrapper.skip:
            keys = getattr(wrapper, "image_space_keys", None)
            filters.append(_Transpose(keys))
    return filters


class Normalize:
    """Standardises by the statistics that a ``VecNormalize`` has now."""

    def __init__(self, wrapper: VecNormalize) -> None:
        """Take a copy of what matters."""
        self._statistics: Any = copy.deepcopy(wrapper.obs_rms)
        self._epsilon, self._clip = wrapper.epsilon, wrapper.clip_obs

    def __call__(self, observation: Observation) -> Observation:
        """Return the observations, of which those that have statistics are standardised."""
        if isinstance(observation, dict):
            standard = {
                key: self._standard(observation[key], statistics) for key, statistics in self._statistics.items()
            }
            return {**observation, **standard}
        return self._standard(observation, self._statistics)

    def _standard(self, values: NDArray[Any], statistics: Any) -> NDArray[np.float32]:
        deviation = np.sqrt(statistics.var + self._epsilon)
        standard = np.clip((values - statistics.mean) / deviation, -self._clip, self._clip)
        return np.asarray(standard, dtype=np.float32)


class _Transpose:
    """Puts the channels of images ``[N, H, W, C]`` first, or of those among them that have these keys."""

    def __init__(self, keys: Sequence[str] | None) -> None:
        self._keys = keys

    def __call__(self, observation: Observation) -> Observation:
        if self._keys is None:
            return np.moveaxis(observation, -1, 1)
        return {**observation, **{key: np.moveaxis(observation[key], -1, 1) for key in self._keys}}
