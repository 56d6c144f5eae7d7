"""Weights from anyone's file: a policy is built from good ones, and bad ones are refused with one line."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import AgentConfig, initial_weights, make_policy
from wormwood.agents.policies.weights import check_arrays
from wormwood.envs.bodies import swimmer
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Navigate, Task
from wormwood.errors import BadInput

BODY, TASK = swimmer(4), Navigate()
COMMANDED = {"speed_control": True, "turn_control": True}
CONFIGS: list[AgentConfig] = [
    NCAPConfig(),
    NCAPConfig(share_weights=False, steering="learned", **COMMANDED),
    MLPConfig(hidden=(5, 4)),
    MLPConfig(hidden=()),
]
DTYPES = ["f2", "f4", "f8", "i1", "i8", "u1", "?", "c16"]
Weights = dict[str, np.ndarray]


def _learned(config: AgentConfig) -> Weights:
    """Weights as PPO leaves them."""
    weights = {
        **initial_weights(config, SwimmerSpec(BODY, TASK), np.random.default_rng(0)),
        "log_std": np.full(3, -1.0),
    }
    if config.kind == "mlp":
        size = TASK.layout(BODY).size
        standard = {"mean": np.zeros(size), "deviation": np.ones(size), "count": np.array(7.0)}
        weights |= {f"observation_{name}": values for name, values in standard.items()}
    return weights


def _act(config: AgentConfig, weights: Weights, task: Task = TASK) -> np.ndarray:
    observation = np.random.default_rng(1).standard_normal((6, task.layout(BODY).size))
    policy = make_policy(config, weights, SwimmerSpec(BODY, task))
    policy.act(observation, {}, np.random.default_rng(2))
    return policy.act(observation, {}, None)[0]


def _mutated(data: Any, values: np.ndarray) -> np.ndarray:
    """An array of the same name that may have another shape, type or content."""
    how = data.draw(st.sampled_from(["shape", "axis", "cut", "transposed", "dtype", "number"]))
    if how == "shape":
        return np.zeros(data.draw(st.lists(st.integers(0, 6), max_size=4)))
    if how == "axis":
        return np.stack([values] * data.draw(st.integers(1, 4)))
    if how == "cut" and values.ndim:
        return values[1:]
    if how == "dtype":
        return values.astype(data.draw(st.sampled_from(DTYPES)))
    if how == "number" and values.size:
        changed = values.copy()
        changed.flat[data.draw(st.integers(0, values.size - 1))] = data.draw(st.floats())
        return changed
    return values.T


@settings(max_examples=500)
@given(data=st.data(), config=st.sampled_from(CONFIGS))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numbers may be as large as they get
def test_bad_weights_are_refused_with_one_line_and_all_others_act(data: Any, config: AgentConfig) -> None:
    weights = _learned(config)
    names = data.draw(st.lists(st.sampled_from(sorted(weights)), min_size=1, unique=True))
    for name in names:
        if data.draw(st.booleans()):
            weights[name] = _mutated(data, weights[name])
        else:
            del weights[name]
    if data.draw(st.booleans()):
        weights["layer7_weight"] = np.zeros((2, 2))
    try:
        assert _act(config, weights).shape == (6, 3)
    except BadInput as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("config", CONFIGS)
def test_good_weights_act_and_each_bad_array_is_named(config: AgentConfig) -> None:
    weights = _learned(config)
    _act(config, weights)
    _act(config, {**weights, "of another version": np.zeros(3)})
    for name, values in weights.items():
        with pytest.raises(
            BadInput, match=f"weights of the agent do not fit in .*{name}: finite numbers, got (nan|inf)"
        ):
            _act(config, {**weights, name: np.full(values.shape, np.nan if values.ndim else np.inf)})
        with pytest.raises(BadInput, match="fit"):
            _act(config, {**weights, name: np.zeros((*values.shape, 9))})
        with pytest.raises(BadInput, match=f"{name}: numbers of shape .*, got 'bool of shape"):
            _act(config, {**weights, name: values.astype(bool)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer1_bias": None}, r"layer1_bias: numbers of shape .*, got 'none'"),
        ({"layer1_weight": None, "layer1_bias": None}, r"layer1_bias: numbers of shape .*, got 'none'"),
        (
            {"layer1_weight": np.zeros((6, 4))},
            r"layer1_weight: numbers of shape \(5, 4\), got 'float64 of shape \(6, 4\)'",
        ),
        ({"observation_mean": None}, "observation_mean: numbers of shape"),
        ({"observation_deviation": np.zeros(18)}, "observation_deviation: positive numbers, got 0.0"),
        ({"log_std": np.zeros(4)}, r"log_std: numbers of shape \(3,\)"),
        ({"layer0_bias": np.zeros((2, 5))}, r"layer0_weight: numbers of shape \(2, 17, 5\)"),
    ],
)
def test_what_is_wrong_with_a_perceptron_is_named(change: dict[str, np.ndarray | None], message: str) -> None:
    weights = {**_learned(CONFIGS[2]), **change}
    with pytest.raises(BadInput, match=f"weights of the agent do not fit in agent mlp: expected {message}"):
        _act(CONFIGS[2], {name: values for name, values in weights.items() if values is not None})


@pytest.mark.parametrize("period", [0.0, -60.0])
def test_a_circuit_needs_a_positive_period(period: float) -> None:
    with pytest.raises(BadInput, match=r"on the 3 joints of body swimmer-4: expected period: positive numbers"):
        _act(NCAPConfig(), {**_learned(NCAPConfig()), "period": np.array(period)})


@pytest.mark.parametrize("config", CONFIGS)
def test_a_population_needs_as_many_rows_for_each(config: AgentConfig) -> None:
    weights = {name: values for name, values in _learned(config).items() if name != "log_std"}
    assert _act(config, {name: np.stack([values] * 3) for name, values in weights.items()}).shape == (6, 3)
    with pytest.raises(BadInput, match="as many rows for each, got '4 agents for 6 rows'"):
        _act(config, {name: np.stack([values] * 4) for name, values in weights.items()})


def test_a_population_has_one_axis_and_someone_in_it() -> None:
    shapes = {"a": (2,), "b": ()}
    check_arrays({"a": np.ones((3, 2)), "b": np.ones(3)}, shapes, where="test")
    for axes in ((0,), (2, 3)):
        with pytest.raises(BadInput, match=r"in test: expected a: numbers of shape \(2,\)"):
            check_arrays({"a": np.ones((*axes, 2)), "b": np.ones(axes)}, shapes, where="test")
