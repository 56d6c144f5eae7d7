"""What a feedback module learns to predict, as functions of a trial's pieces.

Notation: ``s_t`` is the state before step ``t``, ``g_t = ∂L_t/∂s_t`` the gradient of that step's loss alone,
``J_t = ∂s_{t+1}/∂s_t`` its Jacobian, and ``p_t`` the prediction of ``δ_t``, the gradient of all losses from step ``t``
on. The paths of this package never form a Jacobian: automatic differentiation gives the products. These functions say
what they compute, for tests and for whoever reads.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bootstrapped_targets", "exact_targets", "lambda_targets", "prediction_errors", "trace_step"]


def bootstrapped_targets(gradients: Tensor, jacobians: Tensor, bootstrap: Tensor) -> Tensor:
    """Return the targets within a window, from the prediction at its end (Jaderberg et al. 2017, DNI).

    ``δ_t = g_t + J_tᵀ δ_{t+1}``, and ``δ_T = p_T`` at the window's end.

    Args:
        gradients: ``[T, B, D]``, ``g_t``.
        jacobians: ``[T, B, D, D]``, ``J_t`` with the rows of ``s_{t+1}``.
        bootstrap: ``[B, D]``, ``p_T``; zeros make this truncated backpropagation.

    Returns:
        ``[T, B, D]``.
    """
    predictions = torch.zeros_like(gradients)
    predictions[-1] = bootstrap
    return lambda_targets(gradients, jacobians, predictions, lambda_=1.0)


def exact_targets(gradients: Tensor, jacobians: Tensor) -> Tensor:
    """Return the true gradients, for a window that ends with its trial: ``δ_t = g_t + J_tᵀ δ_{t+1}``, ``δ_T = 0``."""
    return bootstrapped_targets(gradients, jacobians, torch.zeros_like(gradients[0]))


def lambda_targets(gradients: Tensor, jacobians: Tensor, predictions: Tensor, *, lambda_: float) -> Tensor:
    """Return targets that mix predictions at every step with what follows (BP(λ), Pemberton & Costa 2024).

    ``δ_t = g_t + J_tᵀ ((1 - λ) p_{t+1} + λ δ_{t+1})``, and ``δ_T = p_T``.

    Args:
        gradients: ``[T, B, D]``, ``g_t``.
        jacobians: ``[T, B, D, D]``, ``J_t``.
        predictions: ``[T, B, D]``, ``p_1`` to ``p_T``.
        lambda_: 0 looks one step ahead, 1 to the window's end.

    Returns:
        ``[T, B, D]``.
    """
    targets, following = torch.empty_like(gradients), predictions[-1]
    for t in reversed(range(len(gradients))):
        mixed = (1 - lambda_) * predictions[t] + lambda_ * following
        following = gradients[t] + torch.einsum("bij,bi->bj", jacobians[t], mixed)
        targets[t] = following
    return targets


def prediction_errors(gradients: Tensor, jacobians: Tensor, predictions: Tensor) -> Tensor:
    """Return the error of each prediction, seen from the next: ``ε_t = g_t + J_tᵀ p_{t+1} - p_t``.

    Args:
        gradients: ``[T, B, D]``, ``g_t``.
        jacobians: ``[T, B, D, D]``, ``J_t``.
        predictions: ``[T + 1, B, D]``, ``p_0`` to ``p_T``.

    Returns:
        ``[T, B, D]``. The λ-mixed targets obey ``δ_t - p_t = ε_t + λ J_tᵀ (δ_{t+1} - p_{t+1})``.
    """
    return gradients + torch.einsum("tbij,tbi->tbj", jacobians, predictions[1:]) - predictions[:-1]


def trace_step(trace: Tensor, jacobian: Tensor, features: Tensor, *, lambda_: float) -> Tensor:
    """Carry the eligibility trace of a linear prediction ``p_t = Θ ψ_t`` one step on.

    ``E_t = λ E_{t-1} J_{t-1}ᵀ + I ⊗ ψ_t``. Then ``Σ_t E_t ε_t`` equals ``Σ_t (δ_t - p_t) ψ_tᵀ`` with λ-mixed targets:
    what needs the window's end is learned forwards, at the price of a trace with D² numbers for each feature.

    Args:
        trace: ``[B, D, D, P]``, ``E_{t-1}``; zeros before the first step.
        jacobian: ``[B, D, D]``, ``J_{t-1}``; of no matter before the first step.
        features: ``[B, P]``, ``ψ_t``.
        lambda_: as in ``lambda_targets``.

    Returns:
        ``[B, D, D, P]``.
    """
    identity = torch.eye(trace.shape[1], dtype=trace.dtype)
    carried = torch.einsum("bikp,bjk->bijp", trace, jacobian)
    return lambda_ * carried + torch.einsum("ij,bp->bijp", identity, features)
