"""Advantages along trials."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Floats

__all__ = ["generalized_advantages"]


def generalized_advantages(
    r_t: Floats, v_t: Floats, v_end: Floats, done_t: NDArray[np.bool_], *, gamma: float, lambda_: float
) -> Floats:
    """Return ``A_t = δ_t + γ λ (1 - done_t) A_{t+1}`` with ``δ_t = r_t + γ (1 - done_t) v_{t+1} - v_t``.

    Schulman et al. 2016, https://arxiv.org/abs/1506.02438, equation 16.

    Args:
        r_t: rewards ``[T, N]``.
        v_t: values ``[T, N]`` of what was acted on.
        v_end: values ``[N]`` of what comes behind the last step.
        done_t: ``[T, N]`` nothing follows the step.
        gamma: discount of each step.
        lambda_: trust in rewards over values.

    Raises:
        ValueError: the shapes do not fit.
    """
    if not r_t.shape == v_t.shape == done_t.shape or v_end.shape != r_t.shape[1:]:
        raise ValueError(f"shapes {r_t.shape}, {v_t.shape}, {done_t.shape} and {v_end.shape} do not fit")
    advantages, later = np.empty_like(r_t), np.zeros_like(v_end)
    v_next = v_end
    for t in reversed(range(len(r_t))):
        goes_on = gamma * ~done_t[t]
        later = r_t[t] + goes_on * v_next - v_t[t] + goes_on * lambda_ * later
        advantages[t], v_next = later, v_t[t]
    return advantages
