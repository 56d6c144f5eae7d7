"""A network as the critic of a forest's policy."""

from typing import Any

import numpy as np
import pytest
import torch

from wormwood.agents.learning.boosted.actor_critic import BoostedActorCritic, Experience
from wormwood.agents.learning.boosted.network_critic import NetworkCritic
from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig, BoostingConfig
from wormwood.agents.policies.features import FlatFeatures, JointFeatures
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.envs.bodies import swimmer
from wormwood.envs.specs import ActionSpace, SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.trees.config import TreeConfig

FEATURE_MAP = FlatFeatures((0,))
TREE = TreeConfig(max_depth=1)


def _linear(weight: float, bias: float, feature_map: Any = FEATURE_MAP) -> NetworkCritic:
    critic = NetworkCritic(feature_map, hidden=())
    with torch.no_grad():
        for parameter, value in zip(critic.parameters(), (weight, bias), strict=True):
            parameter.fill_(value)
    return critic


def _make(critic: NetworkCritic, **settings: Any) -> BoostedActorCritic:
    return BoostedActorCritic(
        ForestConfig(tree=TREE, shares_trees=False),
        BoostingConfig(policy_rate=1.0, **settings),
        feature_map=FEATURE_MAP,
        actions=ActionSpace((-1.0,), (1.0,)),
        noise_std=1.0,
        critic=critic,
        critic_rate=0.1,
    )


def _experience(observation: list[float], target: float) -> Experience:
    n = len(observation)
    log_prob = np.full(n, -0.5 * np.log(2 * np.pi) - 0.5)  # of the action 1 around 0 with noise of 1
    column = np.array(observation)[:, None]
    return Experience(column, np.ones((n, 1)), log_prob, column[:, 0].copy(), np.full(n, target))


def _settings(batch_size: int) -> BoostedLearnerConfig:
    return BoostedLearnerConfig(critic="mlp", batch_size=batch_size, epochs=1, normalize_advantage=False)


def test_values_are_those_of_standardised_features_by_hand() -> None:
    critic = _linear(0.5, 1.0)
    assert critic(np.array([[3.0], [4.0]])).tolist() == [2.5, 3.0]
    critic.observe(np.array([[0.0], [2.0]]))  # mean 1, deviation 1
    assert critic(np.array([[3.0], [4.0]])).tolist() == [2.0, 2.5]


def test_the_value_of_an_observation_is_the_mean_over_its_rows() -> None:
    spec = SwimmerSpec(swimmer(3), Swim())
    feature_map = JointFeatures(spec.layout, spec.body.joint_limit, 60.0)
    critic = _linear(1.0, 0.0, feature_map)
    features = np.zeros((4, feature_map.columns))
    features[:, 0] = [1.0, 2.0, 5.0, 9.0]
    assert critic(features).tolist() == [1.5, 7.0]


def test_one_minibatch_moves_the_network_by_adam_and_the_forest_by_a_tree() -> None:
    critic = _linear(1.0, 0.0)
    both = _make(critic, noise_rate=0.01)
    metrics = both.improve(_experience([-1.0, -1.0, 1.0, 1.0], target=3.0), _settings(4), permutation=np.arange)
    # Standardised features are -1 and 1, and so are the values; errors are -4 and -2.
    assert metrics["value_loss"] == pytest.approx((16 + 4) / 2)
    # Their gradients by the weight, -1 * -4 and 1 * -2, add up to more than 0; by the bias to less.
    # Adam's first step is its whole rate.
    weight, bias = (float(parameter.detach()) for parameter in critic.parameters())
    assert (weight, bias) == (pytest.approx(0.9), pytest.approx(0.1))
    # With advantages of -1 and 1 for an action of 1 around 0, the mean moves by them; there is no forest of values.
    outputs, values = both.outputs(np.array([[-1.0], [1.0]]))
    np.testing.assert_allclose(outputs, [[-1.0], [1.0]])
    np.testing.assert_allclose(values, [-0.8, 1.0], rtol=1e-6)
    assert both.forests.keys() == {"policy"}
    # log p falls with the noise's logarithm by z² - 1 = 0, so that the noise stays.
    assert both.log_std is not None
    assert both.log_std.item() == 0.0


def test_a_transition_s_gradient_is_clipped() -> None:
    # Observations are all alike, hence 0 when standardised: only the bias learns, from gradients of -1e6 and 1, 1, 1.
    critic = _linear(1.0, 0.0)
    experience = _experience([5.0, 5.0, 5.0, 5.0], target=0.0)
    targets = np.array([1e6, -1.0, -1.0, -1.0])
    both = _make(critic, value_grad_clip=1.0)
    both.improve(Experience(**{**vars(experience), "target": targets}), _settings(4), permutation=np.arange)
    assert float(list(critic.parameters())[1].detach()) == pytest.approx(-0.1)  # three against one


def test_a_network_shares_no_trees() -> None:
    with pytest.raises(BadInput, match=r"critic network: expected agent.shares_trees=false"):
        BoostedActorCritic(
            ForestConfig(tree=TREE),
            BoostingConfig(),
            feature_map=FEATURE_MAP,
            actions=ActionSpace(choices=(2,)),
            noise_std=1.0,
            critic=_linear(1.0, 0.0),
        )


def test_a_network_that_is_no_number_is_refused_before_the_forest_learns_from_it() -> None:
    both = _make(_linear(float("nan"), 0.0))
    _, values = both.outputs(np.array([[1.0], [2.0]]))
    assert np.isnan(values).all()
    experience = Experience(**{**vars(_experience([1.0, 2.0], target=0.0)), "advantage": values})
    with pytest.raises(BadInput, match=r"gradients\[0, 0\]: expected a finite number, got nan"):
        both.improve(experience, _settings(2), permutation=np.arange)
    assert len(both.forests["policy"]) == 0
