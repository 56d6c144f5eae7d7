"""The linear transformer: slots hold means and counts, by hand; torch does in chunks what NumPy does step by step."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.agents.learning.recurrent import transformer as linear_transformer_module
from wormwood.agents.learning.recurrent.transformer import LinearTransformerCore
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.recurrent_settings import LinearTransformerConfig
from wormwood.agents.policies.transformer import LinearTransformer, check_weights, initial_weights, normalized
from wormwood.errors import BadInput


def _weights(config: LinearTransformerConfig, inputs: int, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    weights = initial_weights(config, inputs=inputs, rng=rng)
    # Biases too, so that a part that one side leaves out makes a difference.
    return {name: values + 0.1 * rng.standard_normal(values.shape) for name, values in weights.items()}


def test_a_slot_holds_the_mean_of_what_was_put_there_and_how_often() -> None:
    """One unit shows what is read: the inputs themselves choose the slot, and are what is written."""
    config = LinearTransformerConfig(units=2, layers=1, heads=1, slots=2, width=1)
    weights = {name: np.zeros(values.shape) for name, values in _weights(config, 2).items()}
    weights["input_weight"][:2] = np.eye(2)
    # Units of root mean square 1: (1, 0) becomes (√2, 0), and 1000 √2 is certainty.
    weights["layer0_key_weight"] = weights["layer0_query_weight"] = 1000 * np.eye(2)
    weights["layer0_value_weight"] = np.array([[3.0], [5.0]]) / np.sqrt(2)
    weights["layer0_read_weight"] = np.array([[1.0, 0.0], [0.0, 1.0]])
    transformer = LinearTransformer(config, weights)
    state = transformer.initial_state(1)
    for steps, (x, read, known) in enumerate([((1, 0), 3 / 2, 1), ((1, 0), 6 / 3, 2), ((0, 1), 5 / 2, 1)], start=1):
        features, state = transformer.step(np.array([x], dtype=float), state)
        expected = normalized(np.array([[x[0] + read, x[1] + np.log1p(known)]]))
        np.testing.assert_allclose(features, expected, rtol=1e-6)
        assert state["counts"].sum() == pytest.approx(steps)
    np.testing.assert_allclose(state["sums"][0, 0, 0, :, 0], [6.0, 5.0], rtol=1e-5)
    np.testing.assert_allclose(state["counts"][0, 0, 0], [2.0, 1.0])


@settings(max_examples=15, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 11), st.integers(0, 100)
)
def test_numpy_and_torch_remember_the_same(
    layers: int, heads: int, slots: int, width: int, steps: int, seed: int
) -> None:
    config = LinearTransformerConfig(units=6, layers=layers, heads=heads, slots=slots, width=width)
    weights = _weights(config, 3, seed)
    core, transformer = LinearTransformerCore(config, weights, 3), LinearTransformer(config, weights)
    inputs = np.random.default_rng(seed).standard_normal((steps, 4, 3))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linear_transformer_module, "CHUNK", 4)
        expected, end = core(torch.tensor(inputs, dtype=torch.float32), core.initial_state(4))
    state = transformer.initial_state(4)
    for t, x in enumerate(inputs):
        features, state = transformer.step(x, state)
        np.testing.assert_allclose(features, expected[t].detach(), atol=1e-4)
    for name, values in state.items():
        np.testing.assert_allclose(values, end[name].detach(), atol=1e-4, err_msg=name)


def test_a_step_leaves_the_state_before_it_as_it_was() -> None:
    config = LinearTransformerConfig(units=4, layers=1, heads=1, slots=2, width=2)
    transformer = LinearTransformer(config, _weights(config, 3))
    _, state = transformer.step(np.ones((2, 3)), transformer.initial_state(2))
    before = {name: values.copy() for name, values in state.items()}
    transformer.step(np.ones((2, 3)), state)
    for name, values in before.items():
        np.testing.assert_array_equal(state[name], values, err_msg=name)


def test_weights_go_through_torch_and_back() -> None:
    config = LinearTransformerConfig(units=4, layers=2, heads=2, slots=3, width=2)
    weights = initial_weights(config, inputs=2, rng=np.random.default_rng(1))
    back = LinearTransformerCore(config, {**weights, "policy_bias": np.zeros(2)}, 2).weights()
    assert back.keys() == weights.keys()
    for name, values in back.items():
        np.testing.assert_array_equal(values, weights[name].astype(np.float32), err_msg=name)


@pytest.mark.parametrize("change", [{"units": 5}, {"layers": 3}, {"heads": 3}, {"slots": 4}, {"width": 3}])
def test_weights_of_another_size_are_refused(change: dict[str, Any]) -> None:
    sizes = {"units": 4, "layers": 2, "heads": 2, "slots": 3, "width": 2}
    weights = initial_weights(LinearTransformerConfig(**sizes), inputs=2, rng=np.random.default_rng(1))
    check_weights(weights, LinearTransformerConfig(**sizes), 2)
    with pytest.raises(BadInput, match=r"agent linear-transformer: expected .*: numbers of shape"):
        check_weights(weights, LinearTransformerConfig(**{**sizes, **change}), 2)
