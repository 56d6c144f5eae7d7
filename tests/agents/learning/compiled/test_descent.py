import numpy as np
import pytest
import torch
from numba import njit

from wormwood.agents.learning.compiled.descent import Descent, descend, length, unbounded


@njit
def _length(gradient):
    return length(gradient)


def _descent(adam: bool, size: int, **changes: float) -> Descent:
    zeros = [np.zeros(size, dtype="f4") for _ in range(2)]
    settings = {"first_decay": 0.9, "second_decay": 0.999, "epsilon": 1e-5} | changes
    return Descent(adam, np.full(size, 1e-2, dtype="f4"), *zeros, **settings, low=unbounded(), high=unbounded())


@pytest.mark.parametrize("size", [0, 1, 15, 16, 100])
def test_a_length_is_the_root_of_the_sum_of_squares(size):
    gradient = np.random.default_rng(size).normal(size=size).astype("f4")
    assert _length(gradient) == pytest.approx(np.linalg.norm(gradient.astype(float)), rel=1e-6)


def test_the_first_step_of_adam_by_hand():
    # From zero moments the corrected mean is g and the corrected root |g|: a step of rate g / (|g| + ε).
    parameters, gradient = np.array([1.0, 1.0], dtype="f4"), np.array([4.0, -0.5], dtype="f4")
    descend(_descent(True, 2), parameters, gradient, 1, 0.5)
    assert parameters.tolist() == pytest.approx([1 - 1e-2, 1 + 1e-2], rel=1e-5)


def test_no_step_leaves_the_bounds():
    parameters, gradient = np.array([1.0, 1.0, 1.0], dtype="f4"), np.array([1.0, -1.0, 1.0], dtype="f4")
    low, high = np.array([0.995, -np.inf, -np.inf], dtype="f4"), np.array([np.inf, 1.005, np.inf], dtype="f4")
    descend(_descent(True, 3)._replace(low=low, high=high), parameters, gradient, 1, 1.0)
    assert parameters.tolist() == pytest.approx([0.995, 1.005, 0.99])


@pytest.mark.parametrize("adam", [True, False])
def test_many_steps_are_those_of_torch(adam):
    rng = np.random.default_rng(3)
    parameters = rng.normal(size=40).astype("f4")
    theirs = torch.tensor(parameters, requires_grad=True)
    kind, settings = (torch.optim.Adam, {"betas": (0.8, 0.99)}) if adam else (torch.optim.RMSprop, {"alpha": 0.99})
    optimizer = kind([theirs], lr=1e-2, eps=1e-5, **settings)
    ours = _descent(adam, 40, first_decay=0.8, second_decay=0.99)
    for step in range(1, 200):
        gradient = (rng.normal(size=40) * 10.0 ** rng.integers(-4, 3)).astype("f4")
        theirs.grad = torch.tensor(gradient)
        optimizer.step()
        descend(ours, parameters, gradient, step, 1.0)
    np.testing.assert_allclose(parameters, theirs.detach().numpy(), atol=1e-6)
