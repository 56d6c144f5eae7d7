"""The policy in NumPy, and its weights."""

from typing import Any

import numpy as np
import pytest

from wormwood.agents.policies.features import make_feature_map
from wormwood.agents.policies.forest import forest_of, forest_weights, new_forest
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import initial_weights, make_policy, search_space
from wormwood.envs.bodies import swimmer
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.trees.config import TreeConfig
from wormwood.trees.tree import Tree

SPECS: dict[str, EnvironmentSpec] = {
    "choices": GymnasiumSpec("CartPole-v1"),
    "numbers": GymnasiumSpec("Pendulum-v1"),
    "flat": SwimmerSpec(swimmer(4), Swim()),
    "joint": SwimmerSpec(swimmer(4), Swim()),
}


def _config(kind: str, **settings: Any) -> ForestConfig:
    return ForestConfig(tree=TreeConfig(max_depth=2), features="joint" if kind == "joint" else "flat", **settings)


def _grown(config: ForestConfig, spec: EnvironmentSpec, trees: int = 5) -> Arrays:
    """Weights of random trees, some nodes of which are not split."""
    feature_map, rng = make_feature_map(config, spec), np.random.default_rng(0)
    forest = new_forest(config, feature_map, spec.actions)
    for _ in range(trees):
        features = np.array([rng.integers(feature_map.columns), -1, rng.integers(feature_map.columns)], np.int32)
        thresholds = np.where(features < 0, np.inf, rng.standard_normal(3))
        leaves = rng.standard_normal((4, forest.outputs))
        leaves[1] = leaves[0]
        tree = Tree(features, thresholds, np.zeros(3, bool), leaves, np.zeros(7, np.int32))
        forest.append(tree, np.ones(forest.outputs))
    return forest_weights(forest)


@pytest.mark.parametrize("kind", SPECS)
def test_without_trees_all_actions_are_alike(kind: str) -> None:
    config, spec = _config(kind), SPECS[kind]
    policy = make_policy(config, initial_weights(config, spec, np.random.default_rng(0)), spec)
    action, state, extras = policy.act(np.ones((6, spec.layout.size)), {}, None)
    assert (action.shape, action.dtype, state, extras) == ((6, spec.actions.size), spec.actions.dtype, {}, {})
    assert not action.any()


@pytest.mark.parametrize("shares_trees", [False, True])
@pytest.mark.parametrize("kind", SPECS)
def test_actions_follow_the_outputs_of_the_forest(kind: str, shares_trees: bool) -> None:
    config, spec = _config(kind, shares_trees=shares_trees), SPECS[kind]
    weights = _grown(config, spec)
    observation = np.random.default_rng(1).standard_normal((6, spec.layout.size))
    features = make_feature_map(config, spec).features(observation)
    outputs = forest_of(weights).predict(features)[:, : -1 if shares_trees else None].reshape(6, -1)
    action, _, _ = make_policy(config, weights, spec).act(observation, {}, None)
    np.testing.assert_array_equal(action, outputs.argmax(axis=1)[:, None] if kind == "choices" else outputs)


def test_noise_is_drawn_where_weights_have_it() -> None:
    for kind, shape in (("numbers", (1,)), ("flat", (3,)), ("joint", ())):
        config, spec = _config(kind), SPECS[kind]
        weights = {**_grown(config, spec), "log_std": np.full(shape, np.log(0.1))}
        observation = np.zeros((2000, spec.layout.size))
        calm = make_policy(config, weights, spec).act(observation, {}, None)[0]
        noisy, _, extras = make_policy(config, weights, spec).act(observation, {}, np.random.default_rng(0))
        np.testing.assert_allclose((noisy - calm).std(axis=0), 0.1, rtol=0.06)
        assert extras["log_prob"].shape == (2000,)
        with pytest.raises(BadInput, match="log_std: numbers of shape"):
            make_policy(config, {**weights, "log_std": np.zeros(7)}, spec)


def test_choices_are_drawn_by_their_logits() -> None:
    config, spec = _config("choices"), SPECS["choices"]
    weights = _grown(config, spec)
    observation = np.zeros((4000, 4))
    outputs = forest_of(weights).predict(observation[:1])[0, :2]
    action, _, extras = make_policy(config, weights, spec).act(observation, {}, np.random.default_rng(0))
    probability = 1 / (1 + np.exp(outputs[0] - outputs[1]))
    assert action.mean() == pytest.approx(probability, abs=0.03)
    np.testing.assert_allclose(extras["log_prob"][action[:, 0] == 1], np.log(probability))


def test_one_forest_moves_bodies_of_any_length_with_joint_features() -> None:
    config = _config("joint")
    weights = {**_grown(config, SPECS["joint"]), "log_std": np.array(-1.0)}
    for links in (2, 3, 12):
        spec = SwimmerSpec(swimmer(links), Swim())
        action, _, _ = make_policy(config, weights, spec).act(np.zeros((2, spec.layout.size)), {}, None)
        assert action.shape == (2, links - 1)


def test_weights_are_finite_and_give_the_same_forest() -> None:
    config, spec = _config("choices"), SPECS["choices"]
    weights = _grown(config, spec)
    assert all(np.isfinite(values).all() for values in weights.values())
    rows = np.random.default_rng(3).standard_normal((50, 4))
    again = forest_weights(forest_of(weights))
    assert again.keys() == weights.keys()
    for name, values in weights.items():
        np.testing.assert_array_equal(again[name], values)
    assert forest_of(weights).predict(rows).shape == (50, 3)


def test_what_does_not_fit_is_refused() -> None:
    config, spec = _config("choices"), SPECS["choices"]
    weights = _grown(config, spec)
    with pytest.raises(BadInput, match=r"expected 3 features to 2 outputs, got '4 features to 3 outputs'"):
        make_policy(config, weights, SPECS["numbers"])
    with pytest.raises(BadInput, match="expected 4 features to 2 outputs"):
        make_policy(_config("choices", shares_trees=False), weights, spec)
    with pytest.raises(BadInput, match="expected the arrays of a forest, got 'log_std'"):
        make_policy(config, {"log_std": np.zeros(2)}, spec)
    with pytest.raises(BadInput):
        make_policy(config, {**weights, "forest/features": weights["forest/features"] + 99}, spec)
    with pytest.raises(BadInput, match="expected kind boosted"):
        search_space(config, weights)
