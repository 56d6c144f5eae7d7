"""The spaces of gymnasium as rows of numbers: what is observed, flattened, and what is done, as environments take it.

Observations are laid out as ``gymnasium.spaces.flatten`` has them: numbers as they are, a choice as zeros and a one.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.specs import ActionSpace
from wormwood.errors import bad_input

__all__ = ["action_space_of", "flat_observation", "layout_of", "native_action"]

Space = spaces.Space[Any]

MOST_COLUMNS = 2**20
"""Numbers of an observation, or outputs of a policy: ten frames of an Atari screen are as many."""


def layout_of(space: Space, *, where: str) -> ObservationLayout:
    """Return the layout of flat observations.

    Raises:
        BadInput: the space cannot be flattened, or has no numbers or too many; ``where`` is the environment.
    """
    try:
        size = spaces.flatdim(space) if space.is_np_flattenable else None
    except NotImplementedError:  # a space of somebody's own
        size = None
    if size is None:
        expected = "one that can be flattened: no Graph, no Sequence and no space of one's own in it"
        raise bad_input("observation space", where=where, expected=expected, got=space)
    if not 1 <= size <= MOST_COLUMNS:
        expected = f"1 to {MOST_COLUMNS} numbers, each choice as zeros and a one"
        raise bad_input("observation space", where=where, expected=expected, got=f"{size} of {space}")
    return ObservationLayout(size=int(size), joints=slice(0, 0), velocities=slice(0, int(size)))


def action_space_of(space: Space, *, where: str) -> ActionSpace:
    """Return what an action is: numbers within bounds, or choices that count from 0.

    Raises:
        BadInput: the space is of another kind, or has no numbers or too many; ``where`` is the environment.
    """
    if isinstance(space, spaces.Box):
        actions = ActionSpace(tuple(map(float, space.low.ravel())), tuple(map(float, space.high.ravel())))
    elif isinstance(space, spaces.Discrete):
        actions = ActionSpace(choices=(int(space.n),))
    elif isinstance(space, spaces.MultiDiscrete):
        actions = ActionSpace(choices=tuple(map(int, space.nvec.ravel())))
    elif isinstance(space, spaces.MultiBinary):
        actions = ActionSpace(choices=(2,) * int(np.prod(space.shape)))
    else:
        raise bad_input("action space", where=where, expected="Box, Discrete, MultiDiscrete or MultiBinary", got=space)
    if not 1 <= actions.outputs <= MOST_COLUMNS:
        expected = f"1 to {MOST_COLUMNS} numbers or alternatives"
        raise bad_input("action space", where=where, expected=expected, got=f"{actions.outputs} of {space}")
    return actions


def native_action(space: Space, action: NDArray[Any]) -> Any:
    """Return one action ``[size]`` of ``action_space_of(space)`` as the environment takes it.

    Whole numbers are the nearest ones, so that a policy within the bounds reaches both ends. Numbers are finite, and
    the result is in the space whatever the action is.
    """
    if isinstance(space, spaces.Discrete):
        return space.dtype.type(int(action[0]) + int(space.start))
    shaped = np.asarray(action).reshape(space.shape)
    if isinstance(space, spaces.Box):
        return _numbers(space, np.asarray(shaped, dtype=np.float64))
    return (shaped.astype(np.int64) + np.asarray(getattr(space, "start", 0), dtype=np.int64)).astype(space.dtype)


def _numbers(space: spaces.Box, action: Floats) -> NDArray[Any]:
    if space.dtype.kind == "f":
        most = float(np.finfo(space.dtype).max)  # type: ignore[type-var]
        return np.asarray(np.clip(np.clip(action, -most, most), space.low, space.high), dtype=space.dtype)
    # The largest whole numbers of 64 bits are no floats: what is beyond them takes the bound itself.
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    inside = (action > low) & (action < high)
    whole = np.rint(np.where(inside, action, 0.0)).astype(space.dtype)
    return np.where(inside, whole, np.where(action >= high, space.high, space.low)).astype(space.dtype)


def flat_observation(space: Space, observation: Any, *, where: str) -> Floats:
    """Return one observation as ``[size]`` numbers: gymnasium's ``flatten``, but for what is outside the space.

    Raises:
        BadInput: it has another shape than the space, or no such choice; ``where`` is the environment.
    """
    try:
        return np.asarray(_flat(space, observation), dtype=np.float64)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        what = f"observation ({type(error).__name__}: {' '.join(str(error).split())})"
        raise bad_input(what, where=where, expected=f"one of {space}", got=observation) from error


@singledispatch
def _flat(space: Space, observation: Any) -> NDArray[Any]:
    """Return the numbers of one observation.

    Raises:
        LookupError, TypeError, ValueError, OverflowError: it is none of the space.
    """
    return np.asarray(spaces.flatten(space, observation))


@_flat.register
def _(space: spaces.Box, observation: Any) -> NDArray[Any]:
    return _as_kept(space, observation).ravel().astype(np.float64)


@_flat.register
def _(space: spaces.MultiBinary, observation: Any) -> NDArray[Any]:
    return _as_kept(space, observation).ravel()


def _as_kept(space: Space, observation: Any) -> NDArray[Any]:
    given = np.asarray(observation)
    if given.shape != space.shape:
        raise ValueError(f"shape {given.shape}")
    kept = given.astype(space.dtype)
    if kept.dtype != given.dtype and kept.dtype.kind in "iub" and not np.array_equal(kept, given):
        raise ValueError(f"values that {kept.dtype} does not have")
    return kept


@_flat.register
def _(space: spaces.Discrete, observation: Any) -> NDArray[Any]:
    return _one_hot(np.array([_whole(observation) - int(space.start)]), np.array([space.n]))


@_flat.register
def _(space: spaces.MultiDiscrete, observation: Any) -> NDArray[Any]:
    given = np.asarray(observation)
    if given.shape != space.shape:
        raise ValueError(f"shape {given.shape}")
    chosen = [_whole(value) for value in given.ravel()]
    # As 64 bits: the difference of two choices may have more than the space's own.
    return _one_hot(np.array(chosen, dtype=np.int64) - space.start.ravel().astype(np.int64), space.nvec.ravel())


def _whole(value: Any) -> int:
    whole = int(value)
    if whole != value:
        raise ValueError(f"{value!r} is no whole number")
    return whole


def _one_hot(chosen: NDArray[np.int64], counts: NDArray[Any]) -> NDArray[Any]:
    if not ((chosen >= 0) & (chosen < counts)).all():
        raise IndexError(f"no such choice as {chosen.tolist()}, counted from 0")
    counts = counts.astype(np.int64)
    row = np.zeros(int(counts.sum()))
    row[np.cumsum(counts) - counts + chosen] = 1.0
    return row


@_flat.register(spaces.Tuple)
def _(space: spaces.Tuple[Any], observation: Any) -> NDArray[Any]:
    parts = [_flat(part, value) for part, value in zip(space.spaces, observation, strict=True)]
    return np.concatenate([np.zeros(0), *parts])


@_flat.register
def _(space: spaces.Dict, observation: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0), *(_flat(part, observation[key]) for key, part in space.spaces.items())])


@_flat.register(spaces.OneOf)
def _(space: spaces.OneOf[Any], observation: Any) -> NDArray[Any]:
    number, value = observation
    if not 0 <= _whole(number) < len(space.spaces):
        raise IndexError(f"no such alternative as {number!r}")
    flat = _flat(space.spaces[number], value)
    row = np.zeros(spaces.flatdim(space))
    row[0], row[1 : 1 + len(flat)] = number, flat
    return row
