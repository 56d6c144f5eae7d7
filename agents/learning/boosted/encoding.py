"""Observations of any gymnasium space as rows of numbers and categories."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from wormwood.agents.policies.features import FlatFeatures
from wormwood.agents.policies.interfaces import Floats
from wormwood.errors import bad_input

__all__ = ["encode_observation", "encode_tensors", "feature_map_of_space"]


def feature_map_of_space(space: spaces.Space[Any]) -> FlatFeatures:
    """Return the feature map of what ``encode_observation`` gives: choices are categories, all else are numbers.

    Raises:
        BadInput: a part of the space is neither numbers nor choices.
    """
    kinds = _kinds(space)
    return FlatFeatures(tuple(range(len(kinds))), tuple(column for column, chosen in enumerate(kinds) if chosen))


def encode_observation(space: spaces.Space[Any], observation: Any) -> Floats:
    """Return a batch of observations as ``[N, D]``: the parts of a dictionary in the order of its keys.

    Args:
        space: of one observation.
        observation: arrays ``[N, …]``, or a dictionary or tuple of them; one-hot choices are not undone.
    """
    if isinstance(space, spaces.Dict):
        return np.hstack([encode_observation(part, observation[key]) for key, part in space.spaces.items()])
    if isinstance(space, spaces.Tuple):
        return np.hstack(
            [encode_observation(part, component) for part, component in zip(space.spaces, observation, strict=True)]
        )
    return np.asarray(observation, dtype=np.float64).reshape(len(observation), -1)


def encode_tensors(space: spaces.Space[Any], observation: Any) -> Floats:
    """Return a batch of observations, as SB3 keeps them in a tensor or a dictionary of them, as ``[N, D]``."""
    if isinstance(observation, dict):
        return encode_observation(space, {name: tensor.cpu().numpy() for name, tensor in observation.items()})
    return encode_observation(space, observation.cpu().numpy())


def _kinds(space: spaces.Space[Any]) -> list[bool]:
    """Tell for each column whether it is a category."""
    if isinstance(space, spaces.Dict):
        return [kind for part in space.spaces.values() for kind in _kinds(part)]
    if isinstance(space, spaces.Tuple):
        return [kind for part in space.spaces for kind in _kinds(part)]
    if isinstance(space, spaces.Discrete):
        return [True]
    if isinstance(space, spaces.MultiDiscrete):
        return [True] * space.nvec.size
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return [False] * int(np.prod(space.shape))
    raise bad_input("observation space", where="policy", expected="numbers or choices, or dictionaries", got=space)
