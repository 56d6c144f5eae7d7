"""The memory network: what it reads and writes, and its twin in NumPy."""

import numpy as np
import pytest
import torch

from wormwood.agents.learning.memory.network import MemoryNetwork
from wormwood.agents.policies import memory as memory_numpy
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.errors import BadInput

ADDRESSINGS = ("tied", "untied")


def _make(**overrides) -> MemoryNetwork:
    torch.manual_seed(0)
    return MemoryNetwork(MemoryConfig(**{"slots": 3, "width": 4, "hidden": 5} | overrides), inputs=2)


@pytest.mark.parametrize("addressing", ADDRESSINGS)
def test_the_twin_takes_the_same_steps(addressing: str) -> None:
    network, rng = _make(addressing=addressing), np.random.default_rng(0)
    network.read_sharpness.data.fill_(0.7)
    weights, state = network.weights(), network.initial_state(6)
    twin = memory_numpy.initial_state(weights, 6)
    for _ in range(20):
        x = rng.standard_normal((6, 2)) * 3
        features, state = network(torch.tensor(x, dtype=torch.float32), state)
        twin_features, twin = memory_numpy.step(weights, x, twin)
        np.testing.assert_allclose(features.detach(), twin_features, atol=1e-6)
        assert {name: values.shape for name, values in state.items()} == {n: v.shape for n, v in twin.items()}
        for name, values in state.items():
            np.testing.assert_allclose(values.detach(), twin[name], atol=1e-6)
    assert twin_features.shape == (6, network.features)


@pytest.mark.parametrize("addressing", ADDRESSINGS)
def test_a_step_is_the_equations(addressing: str) -> None:
    network = _make(addressing=addressing)
    for name, values in network.named_parameters():
        if name.split(".")[0] in ("read", "write", "output"):
            values.data.zero_()  # hr = hw = c = 0: both addresses are even
    network.initial_memory.data = torch.arange(12.0).reshape(3, 4)
    network.erase.bias.data.fill_(0.0)  # e = 1/2
    network.content.bias.data.fill_(20.0)  # v = 1
    features, state = network(torch.ones(1, 2), network.initial_state(1))
    torch.testing.assert_close(features, torch.zeros(1, 5))
    # M - M/3 * 1/2 + 1/3 = 5/6 M + 1/3
    torch.testing.assert_close(state["memory"][0], torch.arange(12.0).reshape(3, 4) * 5 / 6 + 1 / 3)


def test_what_is_read_goes_by_likeness() -> None:
    network = _make(slots=2, width=2)
    network.initial_memory.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    network.read_query.weight.data.zero_()
    network.read_query.weight.data[0] = 100.0  # the query is [100 * sum of hr, 0]: all on one slot
    seen = []
    network.output.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0][0, 5:]))
    network(torch.tensor([[5.0, 5.0]]), network.initial_state(1))
    assert sorted(seen[0].tolist()) == pytest.approx([0.0, 1.0], abs=1e-3)


def test_each_parameter_has_one_controller() -> None:
    network = _make()
    controllers = network.controllers()
    parts = {name: {id(p) for p in parameters} for name, parameters in controllers.items()}
    assert parts["read"] == {id(p) for p in (*network.read.parameters(), *network.read_query.parameters())} | {
        id(network.read_sharpness)
    }
    assert parts["output"] == {id(p) for p in network.output.parameters()}
    assert sum(map(len, controllers.values())) == len({*parts["read"], *parts["output"], *parts["write"]})
    assert set.union(*parts.values()) == {id(p) for p in network.parameters()}


def test_tied_addresses_have_fewer_weights() -> None:
    assert "write_query.weight" not in _make(addressing="tied").weights()
    assert "write_query.weight" in _make(addressing="untied").weights()


@pytest.mark.parametrize("name", ["slots", "width", "hidden"])
def test_an_empty_memory_is_bad_input_in_one_line(name: str) -> None:
    with pytest.raises(BadInput, match=f"^{name} in memory: expected at least 1, got 0$"):
        _make(**{name: 0})


def test_weights_of_another_memory_are_bad_input() -> None:
    config = MemoryConfig(slots=3, width=4, hidden=5)
    weights = _make().weights()
    memory_numpy.check_weights(weights, config, 2)
    with pytest.raises(BadInput, match=r"agent memory: expected read\.weight_ih: numbers of shape \(15, 3\)"):
        memory_numpy.check_weights(weights, config, 3)
    with pytest.raises(BadInput, match="write_query"):
        memory_numpy.check_weights(_make(addressing="tied").weights(), config, 2)
