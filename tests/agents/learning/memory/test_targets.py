"""What the feedback module learns to predict, as functions of a trial's pieces: by hand, and against each other.

Notation: ``s_t`` is the state before step ``t``, ``g_t = ∂L_t/∂s_t`` the gradient of that step's loss alone,
``J_t = ∂s_{t+1}/∂s_t`` its Jacobian, and ``p_t`` the prediction of ``δ_t``, the gradient of all losses from step ``t``
on. The paths of the package never form a Jacobian: automatic differentiation gives the products. These functions say
what they compute.
"""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor


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


# Scalars: g = 1, 2, 3 and J = 2 in every step.
GRADIENTS = torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)
JACOBIANS = torch.full((3, 1, 1, 1), 2.0)


def test_bootstrapped_targets_start_from_the_prediction_at_the_end() -> None:
    # 3 + 2 * 10 = 23, 2 + 2 * 23 = 48, 1 + 2 * 48 = 97
    targets = bootstrapped_targets(GRADIENTS, JACOBIANS, torch.tensor([[10.0]]))
    assert targets.flatten().tolist() == [97.0, 48.0, 23.0]


def test_exact_targets_have_nothing_after_the_end() -> None:
    # 3, 2 + 2 * 3 = 8, 1 + 2 * 8 = 17
    assert exact_targets(GRADIENTS, JACOBIANS).flatten().tolist() == [17.0, 8.0, 3.0]


def test_lambda_targets_mix() -> None:
    predictions = torch.tensor([4.0, 6.0, 10.0]).reshape(3, 1, 1)
    # 3 + 2 * 10 = 23, 2 + 2 * (6 + 23) / 2 = 31, 1 + 2 * (4 + 31) / 2 = 36
    assert lambda_targets(GRADIENTS, JACOBIANS, predictions, lambda_=0.5).flatten().tolist() == [36.0, 31.0, 23.0]
    # One step ahead: 1 + 2 * 4, 2 + 2 * 6, 3 + 2 * 10.
    assert lambda_targets(GRADIENTS, JACOBIANS, predictions, lambda_=0.0).flatten().tolist() == [9.0, 14.0, 23.0]


@given(seed=st.integers(0, 2**31), lambda_=st.floats(0, 1), steps=st.integers(1, 6), width=st.integers(1, 4))
def test_traces_learn_forwards_what_targets_teach_backwards(seed: int, lambda_: float, steps: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    gradients, jacobians = draw(steps, 2, width), draw(steps, 2, width, width)
    features, theta = draw(steps + 1, 2, 3), draw(width, 3)
    predictions = features @ theta.T
    targets = lambda_targets(gradients, jacobians, predictions[1:], lambda_=lambda_)
    backwards = torch.einsum("tbi,tbp->ip", targets - predictions[:-1], features[:-1])
    errors = prediction_errors(gradients, jacobians, predictions)
    trace, forwards = torch.zeros(2, width, width, 3, dtype=torch.float64), torch.zeros(width, 3, dtype=torch.float64)
    for t in range(steps):
        trace = trace_step(trace, jacobians[max(t - 1, 0)], features[t], lambda_=lambda_)
        forwards += torch.einsum("bijp,bj->ip", trace, errors[t])
    torch.testing.assert_close(forwards, backwards)
