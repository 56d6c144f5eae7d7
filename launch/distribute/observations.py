"""Observations of Stable-Baselines3, arrays or dictionaries of them, and what wrappers make of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnv,
    VecEnvWrapper,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from wormwood.errors import bad_input

__all__ = [
    "Filter",
    "Normalize",
    "Observation",
    "Past",
    "equal",
    "filtered",
    "filters_of",
    "map_arrays",
    "memory_of",
    "remember",
    "stack",
    "wrappers_of",
]

KNOWN = (VecMonitor, VecCheckNan, VecNormalize, VecTransposeImage, VecFrameStack, VecExtractDictObs)
"""Wrappers whose observations are a function of those below them, in one episode."""

Observation = Any
"""``[N, ...]``, or a dictionary of such arrays."""
Filter = Callable[[Observation, NDArray[np.int64]], Observation]
"""What a wrapper makes of T observations ``[T, N, ...]`` below it, given how many came before each in its episode."""


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
    wrappers: list[VecEnvWrapper] = []
    while isinstance(env, VecEnvWrapper):
        if type(env) not in KNOWN:  # a subclass may show something else
            expected = f"one of {', '.join(each.__name__ for each in KNOWN)}; others can wrap single environments"
            raise bad_input("wrapper", where="distribute", expected=expected, got=type(env).__name__)
        wrappers.append(env)
        env = env.venv
    return wrappers, env


def filters_of(wrappers: Sequence[VecEnvWrapper]) -> tuple[Filter | None, ...]:
    """Return what each of the wrappers, the outermost first, makes of observations as it is now, the innermost first.

    None leaves them as they are.
    """
    return tuple(map(_filter_of, reversed(wrappers)))


def _filter_of(wrapper: VecEnvWrapper) -> Filter | None:
    if isinstance(wrapper, VecNormalize) and wrapper.norm_obs:
        return Normalize(wrapper)
    if isinstance(wrapper, VecTransposeImage) and not wrapper.skip:
        return _Transpose(getattr(wrapper, "image_space_keys", None))
    if isinstance(wrapper, VecExtractDictObs):
        return _Extract(wrapper.key)
    if isinstance(wrapper, VecFrameStack):
        return _Stack(wrapper.stacked_obs)
    return None


def memory_of(filters: Sequence[Filter | None]) -> int:
    """Return how many earlier observations of an episode filters look back at."""
    return sum(each.memory for each in filters if isinstance(each, _Stack))


def filtered(filters: Sequence[Filter | None], observation: Observation, age: NDArray[np.int64]) -> Observation:
    """Return what filters make of observations ``[T, N, ...]``, of which ``age [T, N]`` came before in their episode.

    The first ones lack what came before them.
    """
    for each in filters:
        if each is not None:
            observation = each(observation, age)
    return observation


@dataclass(frozen=True, eq=False)
class Past:
    """The observations before those of a rollout, as far back as filters look."""

    observation: Observation
    """``[H, N, ...]`` the newest last."""
    age: NDArray[np.int64]
    """``[N]`` how many of them belong to the episode that goes on."""

    @property
    def length(self) -> int:
        """H."""
        values = next(iter(self.observation.values())) if isinstance(self.observation, dict) else self.observation
        return len(values)

    @classmethod
    def none(cls, observation: Observation, length: int) -> Past:
        """Return that of an episode's first observations ``[N, ...]``."""
        first = next(iter(observation.values())) if isinstance(observation, dict) else observation
        zeros = map_arrays(lambda values: np.zeros((length, *values.shape), values.dtype), observation)
        return cls(zeros, np.zeros(len(first), np.int64))

    def forgotten(self, rows: NDArray[np.bool_]) -> Past:
        """Return the past of environments, of which those with ``rows [N]`` true have begun an episode."""
        return Past(self.observation, np.where(rows, 0, self.age))

    def seen(self, observation: Observation, filters: Sequence[Filter | None]) -> Observation:
        """Return what filters make of the observations ``[N, ...]`` that come next."""
        if not any(filters):
            return observation
        joined, age = self.joined(stack([observation]), np.zeros((0, len(self.age)), bool))
        return map_arrays(lambda values: values[-1], filtered(filters, joined, age))

    def joined(self, observation: Observation, dones: NDArray[np.bool_]) -> tuple[Observation, NDArray[np.int64]]:
        """Return the past and what follows, and how many observations came before each in its episode.

        Args:
            observation: ``[T, N, ...]``.
            dones: ``[T - 1, N]`` whether an episode ended between two of them.

        Returns:
            ``[H + T, N, ...]`` and ``[H + T, N]``; the past's own ages are right where they matter.
        """
        if not self.length:
            joined = observation
        else:
            joined = map_arrays(lambda *parts: np.concatenate(parts), self.observation, observation)
        ages = [np.maximum(self.age - back, 0) for back in range(self.length, -1, -1)]
        for done in dones:
            ages.append(np.where(done, 0, ages[-1] + 1))
        return joined, np.stack(ages)

    def after(self, observation: Observation, dones: NDArray[np.bool_]) -> Past:
        """Return the past of the last of the observations that follow; arguments as those of ``joined``."""
        joined, ages = self.joined(observation, dones)
        last = slice(-1 - self.length, -1)
        return Past(map_arrays(lambda values: values[last].copy(), joined), np.minimum(ages[-1], self.length))


class Normalize:
    """Standardises by the statistics that a ``VecNormalize`` has now."""

    def __init__(self, wrapper: VecNormalize) -> None:
        """Take a copy of what matters."""
        self._statistics: Any = copy.deepcopy(wrapper.obs_rms)
        self._epsilon, self._clip = wrapper.epsilon, wrapper.clip_obs

    def __call__(self, observation: Observation, age: NDArray[np.int64]) -> Observation:
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
    """Puts the channels of images ``[T, N, H, W, C]`` first, or of those among them that have these keys."""

    def __init__(self, keys: Sequence[str] | None) -> None:
        self._keys = keys

    def __call__(self, observation: Observation, age: NDArray[np.int64]) -> Observation:
        if self._keys is None:
            return np.moveaxis(observation, -1, -3)
        return {**observation, **{key: np.moveaxis(observation[key], -1, -3) for key in self._keys}}


class _Extract:
    """Takes one of the arrays of a dictionary."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, observation: Observation, age: NDArray[np.int64]) -> Observation:
        return observation[self._key]


class _Stack:
    """Puts an observation behind those before it, with zeros in place of what was before the episode."""

    def __init__(self, stacked: StackedObservations[Any]) -> None:
        self.memory = stacked.n_stack - 1
        parts = getattr(stacked, "sub_stacked_observations", None)
        self._parts = None if parts is None else {key: _Stack(part) for key, part in parts.items()}
        if parts is None:
            self._axis, self._dtype = 2 if stacked.channels_first else -1, stacked.stacked_obs.dtype

    def __call__(self, observation: Observation, age: NDArray[np.int64]) -> Observation:
        if self._parts is not None:
            return {key: part(observation[key], age) for key, part in self._parts.items()}
        frames = [self._before(observation, age, steps) for steps in range(self.memory, -1, -1)]
        return np.concatenate(frames, axis=self._axis, dtype=self._dtype, casting="unsafe")

    @staticmethod
    def _before(values: NDArray[Any], age: NDArray[np.int64], steps: int) -> NDArray[Any]:
        """Return what was seen some steps before each of ``values [T, N, ...]``."""
        if not steps:
            return values
        earlier = np.zeros_like(values)
        known = age[steps:] >= steps
        earlier[steps:][known] = values[:-steps][known]
        return earlier


def remember(stacked: StackedObservations[Any], observation: Observation) -> None:
    """Let a wrapper that stacks frames stand where it showed ``observation [N, ...]``."""
    if isinstance(observation, dict):
        for key, part in stacked.sub_stacked_observations.items():
            remember(part, observation[key])
    else:
        stacked.stacked_obs = observation.copy()
