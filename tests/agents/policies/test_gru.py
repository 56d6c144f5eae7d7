"""The gated recurrent unit: torch's own as the reference, and one step by hand."""

import numpy as np
import torch

from wormwood.agents.learning.recurrent.module import GRUCore
from wormwood.agents.policies.gru import GRU, initial_weights


def test_one_step_by_hand() -> None:
    weights = {
        "input_weight": np.array([[0.0, np.log(3), 1.0]]),
        "hidden_weight": np.array([[0.0, 0.0, 2.0]]),
        "input_bias": np.zeros(3),
        "hidden_bias": np.array([0.0, 0.0, 1.0]),
    }
    # Reset gate 1/2, update gate 3/4, candidate tanh(1 + (2 * 0.5 + 1) / 2) = tanh(2).
    features, state = GRU(weights).step(np.array([[1.0]]), {"hidden": np.array([[0.5]])})
    np.testing.assert_allclose(features, [[0.25 * np.tanh(2.0) + 0.75 * 0.5]], rtol=1e-12)
    assert state["hidden"] is features


def test_numpy_and_torch_remember_the_same() -> None:
    rng = np.random.default_rng(0)
    weights = initial_weights(5, inputs=3, rng=rng)
    weights["input_bias"], weights["hidden_bias"] = rng.standard_normal((2, 15))
    inputs = rng.standard_normal((6, 4, 3))
    core, unit = GRUCore(weights), GRU(weights)
    expected, end = core(torch.tensor(inputs, dtype=torch.float32), core.initial_state(4))
    state = unit.initial_state(4)
    for t, x in enumerate(inputs):
        features, state = unit.step(x, state)
        np.testing.assert_allclose(features, expected[t].detach(), atol=1e-6)
    np.testing.assert_allclose(state["hidden"], end["hidden"].detach(), atol=1e-6)


def test_weights_go_through_torch_and_back() -> None:
    weights = initial_weights(4, inputs=2, rng=np.random.default_rng(1))
    for name, values in GRUCore(weights).weights().items():
        np.testing.assert_array_equal(values, weights[name].astype(np.float32), err_msg=name)


def test_what_is_remembered_is_turned_but_not_stretched_at_first() -> None:
    weights = initial_weights(4, inputs=2, rng=np.random.default_rng(1))["hidden_weight"]
    for part in np.split(weights, 3, axis=1):
        np.testing.assert_allclose(part @ part.T, np.eye(4), atol=1e-12)
