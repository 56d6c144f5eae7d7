"""Exploration noise: what turns a policy's mean action into the action it takes."""

from __future__ import annotations

import numpy as np

from wormwood.agents.interfaces import Arrays, Floats

__all__ = ["gaussian_action"]


def gaussian_action(mean: Floats, std: float | Floats, rng: np.random.Generator) -> tuple[Floats, Arrays]:
    """Draw actions from a normal distribution around the policy's.

    Args:
        mean: ``[.., J]`` actions.
        std: standard deviation, one for all or one for each of J joints.
        rng: source of the noise.

    Returns:
        The actions, and ``log_prob [..]``, the logarithm of the density they were drawn with:
        ``Σ_j -(z_j² + log 2π) / 2 - log std_j``.
    """
    noise = rng.standard_normal(mean.shape)
    log_prob = np.sum(-0.5 * (noise**2 + np.log(2 * np.pi)) - np.log(std), axis=-1)
    return mean + std * noise, {"log_prob": log_prob}
