"""Recurrent policies: what they remember, and when they forget it."""

from typing import Any

import numpy as np
import pytest

from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.recurrent import RecurrentPolicy
from wormwood.agents.policies.recurrent_settings import GRUConfig
from wormwood.agents.policies.table import initial_weights, make_policy, search_space
from wormwood.envs.bodies import swimmer
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.specs import ActionSpace, SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput

SPEC = SwimmerSpec(swimmer(3), Swim())
AGENT = GRUConfig(units=4)


class _Count:
    """Counts its steps from 10."""

    features = 1

    def initial_state(self, count: int) -> Arrays:
        return {"count": np.full((count, 1), 10.0)}

    def step(self, x: np.ndarray, state: Arrays) -> tuple[np.ndarray, Arrays]:
        return state["count"] + 1, {"count": state["count"] + 1}


def _count(**weights: Any) -> RecurrentPolicy:
    weights = {"policy_weight": np.ones((1, 1)), "policy_bias": np.zeros(1), **weights}
    return RecurrentPolicy(_Count(), weights, actions=ActionSpace((-1.0,), (1.0,)), where="test")


def test_a_trial_begins_with_what_the_core_says() -> None:
    policy = _count()
    action, policy_state, _ = policy.act(np.zeros((2, 3)), {}, None)
    assert action.tolist() == [[11.0], [11.0]]
    # The second trial ended: rollouts put zeros in the place of all that it remembered.
    policy_state = {
        name: values * np.array([1.0, 0.0]).reshape(-1, *[1] * (values.ndim - 1))
        for name, values in policy_state.items()
    }
    action, policy_state, _ = policy.act(np.zeros((2, 3)), policy_state, None)
    assert action.tolist() == [[12.0], [11.0]]
    assert policy.act(np.zeros((2, 3)), policy_state, None)[0].tolist() == [[13.0], [12.0]]


def test_a_state_of_other_rows_is_refused() -> None:
    _, policy_state, _ = _count().act(np.zeros((2, 3)), {}, None)
    with pytest.raises(BadInput, match=r"state in test: expected a row for each of 3 observations, got 2"):
        _count().act(np.zeros((3, 3)), policy_state, None)


def test_noise_is_drawn_only_with_a_generator_and_its_density_told() -> None:
    policy = _count(log_std=np.array([np.log(0.5)]))
    assert policy.act(np.zeros((1, 3)), {}, None)[2] == {}
    action, _, extras = policy.act(np.zeros((1, 3)), {}, np.random.default_rng(0))
    noise = np.random.default_rng(0).standard_normal()
    assert action[0, 0] == pytest.approx(11 + 0.5 * noise)
    assert extras["log_prob"][0] == pytest.approx(-0.5 * noise**2 - 0.5 * np.log(2 * np.pi) - np.log(0.5))


def test_choices_are_the_likeliest_without_a_generator() -> None:
    spec = GymnasiumSpec("CartPole-v1")
    weights = initial_weights(AGENT, spec, np.random.default_rng(0))
    weights["policy_bias"] = np.array([0.0, 5.0])
    action, _, extras = make_policy(AGENT, weights, spec).act(np.zeros((2, 4)), {}, None)
    assert (action.tolist(), extras) == ([[1], [1]], {})


def test_one_row_or_many_act_alike() -> None:
    rng = np.random.default_rng(0)
    policy = make_policy(AGENT, initial_weights(AGENT, SPEC, rng), SPEC)
    observations = rng.standard_normal((5, 6, SPEC.layout.size))
    together, policy_state = [], Arrays()
    for observation in observations:
        action, policy_state, _ = policy.act(observation, policy_state, None)
        together.append(action)
    for row in range(6):
        policy_state = Arrays()
        for t, observation in enumerate(observations):
            action, policy_state, _ = policy.act(observation[row : row + 1], policy_state, None)
            np.testing.assert_allclose(action[0], together[t][row], atol=1e-12)


@pytest.mark.parametrize("name", ["input_weight", "hidden_weight", "hidden_bias", "policy_weight", "policy_bias"])
def test_weights_of_another_agent_are_refused(name: str) -> None:
    weights = initial_weights(AGENT, SPEC, np.random.default_rng(0))
    with pytest.raises(BadInput, match=f"agent gru: expected {name}: numbers of shape"):
        make_policy(AGENT, {**weights, name: weights[name][..., :-1]}, SPEC)
    with pytest.raises(BadInput, match=f"agent gru: expected {name}: finite numbers"):
        make_policy(AGENT, {**weights, name: np.full_like(weights[name], np.nan)}, SPEC)


def test_evolution_of_a_memory_is_refused() -> None:
    weights = initial_weights(AGENT, SPEC, np.random.default_rng(0))
    with pytest.raises(BadInput, match=r"agent gru: expected kind recurrent-ppo"):
        search_space(AGENT, weights)
