"""Advantages along trials, by hand and against the plain sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.agents.learning.returns import generalized_advantages


def test_advantages_by_hand() -> None:
    reward, value = np.array([[1.0], [2.0], [4.0]]), np.array([[0.5], [1.0], [2.0]])
    advantage = generalized_advantages(
        reward, value, np.array([8.0]), np.zeros((3, 1), dtype=bool), gamma=0.5, lambda_=0.5
    )
    # δ = 4 + 4 - 2 = 6, then 2 + 1 - 1 = 2 and 1 + 0.5 - 0.5 = 1; each adds a quarter of the one behind it.
    np.testing.assert_allclose(advantage[:, 0], [1 + 3.5 / 4, 2 + 6 / 4, 6])


def test_nothing_flows_back_over_an_end() -> None:
    reward, value = np.array([[1.0], [2.0]]), np.array([[0.5], [7.0]])
    done = np.array([[True], [False]])
    advantage = generalized_advantages(reward, value, np.array([3.0]), done, gamma=1.0, lambda_=1.0)
    np.testing.assert_allclose(advantage[:, 0], [1 - 0.5, 2 + 3 - 7])


@given(st.integers(1, 6), st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_advantages_are_discounted_sums_of_errors(steps: int, seed: int, gamma: float, lambda_: float) -> None:
    rng = np.random.default_rng(seed)
    reward, value, end = rng.standard_normal((steps, 3)), rng.standard_normal((steps, 3)), rng.standard_normal(3)
    done = rng.random((steps, 3)) < 0.3
    next_value = np.concatenate([value[1:], end[None]])
    error = reward + gamma * np.where(done, 0, next_value) - value
    expected = np.zeros((steps, 3))
    for t in range(steps):
        alive = np.ones(3)
        for k in range(t, steps):
            expected[t] += (gamma * lambda_) ** (k - t) * alive * error[k]
            alive = alive * ~done[k]
    actual = generalized_advantages(reward, value, end, done, gamma=gamma, lambda_=lambda_)
    np.testing.assert_allclose(actual, expected, atol=1e-9)


def test_shapes_must_fit() -> None:
    two, three = np.zeros((2, 1)), np.zeros((3, 1))
    with pytest.raises(ValueError, match="do not fit"):
        generalized_advantages(two, three, np.zeros(1), two > 1, gamma=1.0, lambda_=1.0)
