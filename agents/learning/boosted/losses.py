"""Derivatives of policy losses by the logarithm of each action's probability. Losses are sums over transitions."""

from __future__ import annotations

import numpy as np

from wormwood.agents.policies.interfaces import Floats

__all__ = ["LARGEST_WEIGHT", "a2c_gradient", "awr_gradient", "clip_rows", "ppo_gradient", "ppo_loss"]

LARGEST_WEIGHT = 20.0
"""Of an action in advantage-weighted regression."""


def ppo_loss(log_prob: Floats, old_log_prob: Floats, advantage: Floats, clip_range: float) -> Floats:
    """Return ``[n]`` losses ``-min(r A, clip(r, 1 - c, 1 + c) A)`` with the ratio r of new to old probability."""
    ratio = np.exp(log_prob - old_log_prob)
    return -np.minimum(ratio * advantage, np.clip(ratio, 1.0 - clip_range, 1.0 + clip_range) * advantage)


def ppo_gradient(log_prob: Floats, old_log_prob: Floats, advantage: Floats, clip_range: float) -> Floats:
    """Return ``[n]`` derivatives of ``-min(r A, clip(r, 1 - c, 1 + c) A)`` with the ratio r of new to old probability.

    It is ``-r A``, and 0 where the clipped term is the smaller (Schulman et al. 2017, equation 7).
    """
    ratio = np.exp(log_prob - old_log_prob)
    clipped = np.where(advantage > 0, ratio > 1.0 + clip_range, ratio < 1.0 - clip_range)
    return np.where(clipped, 0.0, -ratio * advantage)


def a2c_gradient(advantage: Floats) -> Floats:
    """Return ``[n]`` derivatives of ``-A log p`` (Mnih et al. 2016)."""
    return -advantage


def awr_gradient(advantage: Floats, temperature: float) -> Floats:
    """Return ``[n]`` derivatives of ``-exp(A / β) log p`` (Peng et al. 2019), with weights of at most 20."""
    return -np.exp(np.minimum(advantage / temperature, np.log(LARGEST_WEIGHT)))


def clip_rows(gradients: Floats, longest: float) -> Floats:
    """Scale the rows ``[n, P]`` that are longer than ``longest`` down to it."""
    lengths = np.sqrt(np.einsum("np,np->n", gradients, gradients))
    scale: Floats = np.minimum(1.0, longest / np.maximum(lengths, longest))
    return gradients * scale[:, None]
