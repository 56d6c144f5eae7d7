"""The table of agents, and the two policies that learn nothing."""

import subprocess
import sys

import numpy as np
import pytest

from wormwood.agents.policies.baselines import UniformPolicy, ZeroPolicy
from wormwood.agents.policies.circuit import NCAP
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.agents.policies.modulated_circuit_settings import ModulatedNCAPConfig
from wormwood.agents.policies.perceptron import MLP
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.recurrent_settings import GRUConfig, LinearTransformerConfig
from wormwood.agents.policies.search_space import SMALLEST
from wormwood.agents.policies.table import AGENTS, AgentConfig, initial_weights, make_policy, search_space
from wormwood.envs.bodies import swimmer
from wormwood.envs.specs import ActionSpace, SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput

AGENT_CONFIGS = [NCAPConfig(), NCAPConfig(share_weights=False, initialization="uniform"), MLPConfig(hidden=(5, 4))]


def _weights(config: AgentConfig, seed: int = 0, links: int = 4) -> dict[str, np.ndarray]:
    return initial_weights(config, SwimmerSpec(swimmer(links), Swim()), np.random.default_rng(seed))


def test_the_published_circuit_starts_from_unit_weights() -> None:
    weights = _weights(NCAPConfig())
    expected = {"prop": 1.0, "osc": 1.0, "ipsi": 1.0, "contra": -1.0, "period": 60.0}
    assert {name: values.tolist() for name, values in weights.items()} == expected


def test_a_perceptron_starts_with_one_layer_more_than_it_hides() -> None:
    weights = _weights(MLPConfig(hidden=(5, 4)))
    # 3 angles and 4 links times 3 velocities; the clock is not an input.
    assert {name: values.shape for name, values in weights.items()} == {
        "layer0_weight": (15, 5),
        "layer0_bias": (5,),
        "layer1_weight": (5, 4),
        "layer1_bias": (4,),
        "layer2_weight": (4, 3),
        "layer2_bias": (3,),
    }


@pytest.mark.parametrize("config", AGENT_CONFIGS)
def test_initial_weights_are_a_function_of_the_generator(config: AgentConfig) -> None:
    one, same, other = _weights(config), _weights(config), _weights(config, seed=1)
    for name, values in one.items():
        np.testing.assert_array_equal(same[name], values)
    assert config == NCAPConfig() or any((other[name] != values).any() for name, values in one.items())


@pytest.mark.parametrize("config", AGENT_CONFIGS)
def test_every_agent_acts_on_its_body_and_on_no_other_unless_weights_are_shared(config: AgentConfig) -> None:
    weights = _weights(config)
    policy = make_policy(config, weights, SwimmerSpec(swimmer(4), Swim()))
    assert isinstance(policy, {"ncap": NCAP, "mlp": MLP}[config.kind])
    observation = np.random.default_rng(0).standard_normal((6, 16))
    observation[:, -1] = np.arange(6)
    action, state, _ = policy.act(observation, {}, None)
    assert action.shape == (6, 3)
    assert state == {}
    if config == NCAPConfig():
        make_policy(config, weights, SwimmerSpec(swimmer(6), Swim()))
    else:
        with pytest.raises(BadInput, match=r"agent does not fit the environment|weights of the agent do not fit"):
            make_policy(config, weights, SwimmerSpec(swimmer(6), Swim()))


@pytest.mark.parametrize("config", AGENT_CONFIGS)
def test_noise_is_there_where_weights_say_so_and_a_generator_is_given(config: AgentConfig) -> None:
    weights = _weights(config)
    noisy = make_policy(config, {**weights, "log_std": np.log([0.1, 0.2, 0.3])}, SwimmerSpec(swimmer(4), Swim()))
    calm = make_policy(config, weights, SwimmerSpec(swimmer(4), Swim()))
    observation = np.zeros((5, 16))
    mean = calm.act(observation, {}, None)[0]
    np.testing.assert_array_equal(calm.act(observation, {}, np.random.default_rng(0))[0], mean)
    np.testing.assert_array_equal(noisy.act(observation, {}, None)[0], mean)
    noise = noisy.act(observation, {}, np.random.default_rng(0))[0] - mean
    expected = np.random.default_rng(0).standard_normal((5, 3)) * [0.1, 0.2, 0.3]
    np.testing.assert_allclose(noise, expected, atol=1e-15)


@pytest.mark.parametrize("config", AGENT_CONFIGS)
def test_evolution_gives_back_the_policy_it_was_given(config: AgentConfig) -> None:
    weights = _weights(config)
    space = search_space(config, weights)
    back = space.decode(space.encode(weights))
    assert back.keys() == weights.keys()
    for name, values in weights.items():
        np.testing.assert_allclose(back[name], values, atol=SMALLEST)
    vectors = space.encode(weights) + np.zeros((4, 1))
    policy = make_policy(config, space.decode(vectors), SwimmerSpec(swimmer(4), Swim()))
    assert policy.act(np.zeros((8, 16)), {}, None)[0].shape == (8, 3)


def test_every_agent_of_the_table_has_a_summary() -> None:
    recurrent = (GRUConfig(), LinearTransformerConfig(), MemoryConfig())
    others = (ForestConfig(), ModulatedNCAPConfig())
    assert set(AGENTS) == {config.kind for config in (*AGENT_CONFIGS, *recurrent, *others)}
    assert all(kind.summary for kind in AGENTS.values())


def test_random_actions_are_within_the_bounds_there_are_and_near_the_only_one() -> None:
    low, high = (-np.inf, 5.0, -np.inf, 3.0, -1.7e308), (np.inf, np.inf, -5.0, 4.0, 1.7e308)
    policy = UniformPolicy(ActionSpace(low, high), np.random.default_rng(0))
    drawn = policy.act(np.zeros((1000, 1)), {}, None)[0]
    np.testing.assert_allclose(drawn.min(axis=0), [-1, 5, -7, 3, -1], atol=0.02)
    np.testing.assert_allclose(drawn.max(axis=0), [1, 7, -5, 4, 1], atol=0.02)


def test_uniform_actions_cover_the_range_even_when_deterministic() -> None:
    policy = UniformPolicy(SwimmerSpec(swimmer(4), Swim()).actions, np.random.default_rng(0))
    action, state, extras = policy.act(np.zeros((1000, 7)), {}, None)
    np.testing.assert_array_equal(action, np.random.default_rng(0).uniform(-1, 1, (1000, 3)))
    assert (policy.act(np.zeros((1000, 7)), {}, np.random.default_rng(0))[0] != action).all(), "its draws go on"
    assert (state, extras) == ({}, {})


def test_the_zero_policy_does_nothing() -> None:
    action, state, extras = ZeroPolicy(SwimmerSpec(swimmer(4), Swim()).actions).act(
        np.ones((2, 7)), {}, np.random.default_rng(0)
    )
    assert action.tolist() == [[0.0] * 3] * 2
    assert (state, extras) == ({}, {})


def test_acting_and_evolving_load_neither_torch_nor_stable_baselines3() -> None:
    program = """
import sys
import wormwood.agents.policies.table
import wormwood.agents.learning.evolution.cma_es
import wormwood.agents.learning.evolution.openai_es
print([name for name in ("torch", "stable_baselines3", "ray") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
