"""Environments as Stable-Baselines3's spaces tell them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from torch import Tensor

from wormwood.envs.bodies import Body, load_body
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["body_of", "check_clock", "check_spaces", "from_start", "in_space", "sb3_spaces"]


def sb3_spaces(spec: EnvironmentSpec) -> tuple[Space[Any], Space[Any]]:
    """Return the spaces of flat observations and of actions as Stable-Baselines3 takes them."""
    actions = spec.actions
    observation = Box(-np.inf, np.inf, (spec.layout.size,), dtype=np.float32)
    if len(actions.choices) == 1:
        return observation, Discrete(actions.choices[0])
    if actions.choices:
        return observation, MultiDiscrete(list(actions.choices))
    return observation, Box(np.array(actions.low, np.float32), np.array(actions.high, np.float32), dtype=np.float32)


def in_space(space: Space[Any], actions: Tensor) -> Tensor:
    """Return actions ``[N, ...]`` as the space has them: numbers of its dtype, choices from its start on.

    Whole numbers are rounded and kept within the bounds; others are left for SB3 to clip.
    """
    if isinstance(space, Discrete | MultiDiscrete):
        return actions + _start(space, actions)
    if np.issubdtype(space.dtype, np.integer):
        whole = actions.round().cpu().numpy().reshape(len(actions), *(space.shape or ()))
        bounded = np.clip(whole, space.low, space.high).astype(space.dtype)  # type: ignore[attr-defined]
        return torch.as_tensor(bounded, device=actions.device).reshape(actions.shape)
    return actions.to(torch.as_tensor(np.zeros(0, space.dtype)).dtype)


def from_start(space: Space[Any], actions: Tensor) -> Tensor:
    """Return actions ``[N, ...]`` of a space with choices counted from 0; others as they are."""
    return actions - _start(space, actions) if isinstance(space, Discrete | MultiDiscrete) else actions


def _start(space: Discrete | MultiDiscrete, actions: Tensor) -> Tensor:
    return torch.as_tensor(np.asarray(space.start).ravel(), dtype=actions.dtype, device=actions.device)


def check_spaces(spec: EnvironmentSpec, observation_space: Space[Any], action_space: Space[Any]) -> None:
    """Compare spaces with those of an environment.

    Raises:
        BadInput: they are others.
    """
    expected = sb3_spaces(spec)
    for what, space, given in zip(("observation", "action"), expected, (observation_space, action_space), strict=True):
        if not isinstance(given, type(space)) or space.shape != given.shape:
            wanted = f"{space.shape} numbers" if isinstance(space, Box) else str(space)
            raise bad_input(f"{what} space", where="policy", expected=f"{wanted}, as {spec.name} has", got=given.shape)


def check_clock(observation: Any, spec: EnvironmentSpec) -> None:
    """Refuse observations that somebody has standardised: a circuit reads joints in units of their limits, and steps.

    Args:
        observation: ``[N, D]``, a tensor or an array.
        spec: what was observed; the clock counts whole control steps.

    Raises:
        BadInput: a clock is no whole number.
    """
    clock = spec.layout.clock
    if clock is None:
        return
    column = observation[..., clock]
    if not bool((column == column.round()).all()):
        expected = "whole control steps, as the task gives them: VecNormalize(..., norm_obs=False)"
        raise bad_input("clock", where="observation", expected=expected, got=float(column.reshape(-1)[0]))


def body_of(body: str | Body | None, action_space: Space[Any]) -> Body:
    """Return a body, by its name or file, or by default the swimmer with one joint for each action."""
    if isinstance(body, Body):
        return body
    joints = action_space.shape[0] if isinstance(action_space, Box) and action_space.shape else 1
    return load_body(body or f"swimmer-{joints + 1}")
