"""What recurrent agents minimise, as a function of each step's quantities."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ppo_loss"]


def ppo_loss(
    log_ratio: Tensor,
    advantage: Tensor,
    value_error: Tensor,
    entropy: Tensor,
    *,
    clip_range: float,
    value_coefficient: float,
    entropy_coefficient: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the mean of ``-min(ρ A, clip(ρ, 1 - c, 1 + c) A) + c_v e² - c_e H``, and its parts without graph.

    Schulman et al. 2017, https://arxiv.org/abs/1707.06347, equation 9. All tensors have one shape,
    ``[T, N]`` or ``[N]``; the loss and its parts are scalars.

    Args:
        log_ratio: logarithm of ρ, the new probability of each action by that with which it was drawn.
        advantage: A.
        value_error: e, the critic's value less its target.
        entropy: H.
        clip_range: c.
        value_coefficient: c_v.
        entropy_coefficient: c_e.
    """
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    policy_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    value_loss, mean_entropy = value_error.square().mean(), entropy.mean()
    loss = policy_loss + value_coefficient * value_loss - entropy_coefficient * mean_entropy
    parts = {
        "policy_loss": policy_loss,
        "value_loss": value_loss,
        "entropy": mean_entropy,
        "approx_kl": (ratio - 1 - log_ratio).mean(),
    }
    return loss, {name: part.detach() for name, part in parts.items()}
