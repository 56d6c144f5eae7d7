"""Targets of the feedback module: by hand, and against each other."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from wormwood.agents.learning.memory.targets import (
    bootstrapped_targets,
    exact_targets,
    lambda_targets,
    prediction_errors,
    trace_step,
)

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
