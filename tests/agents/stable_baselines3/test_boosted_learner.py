"""Boosted learners: going on from a state, and that they descend what they should."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig, BoostingConfig
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.stable_baselines3 import boosted_learner as learner_module
from wormwood.agents.stable_baselines3.boosted_learner import BoostedLearner
from wormwood.envs.bodies import swimmer
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.trees.config import TreeConfig
from wormwood.trees.schedules import RateSchedule

BODY, TASK = swimmer(4), Swim(horizon=7)
SPEC = SwimmerSpec(BODY, TASK)
Play = Callable[..., Fragment]
AGENTS = [
    ForestConfig(tree=TreeConfig(max_depth=2, max_bins=16)),
    ForestConfig(tree=TreeConfig(max_depth=3, grower="oblivious"), shares_trees=False),
    ForestConfig(tree=TreeConfig(max_depth=2), features="joint"),
]


def _make(agent: ForestConfig, **settings: Any) -> BoostedLearner:
    defaults = {"environments": 4, "steps": 16, "batch_size": 24, "epochs": 2}
    return BoostedLearner(BoostedLearnerConfig(**{**defaults, **settings}), agent, spec=SPEC, seed=3)


def _iterate(learner: BoostedLearner, play: Play, agent: ForestConfig, iterations: range) -> list[Any]:
    metrics = []
    for iteration in iterations:
        weights = learner.weights()
        fragments = [play(weights, agent, BODY, TASK, seed=iteration, shard=shard) for shard in range(2)]
        metrics.append(learner.update(fragments, iteration))
    return metrics


def _assert_same(one: Arrays, two: Arrays) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(two[name], values, err_msg=name)
        assert two[name].dtype == values.dtype


@pytest.mark.parametrize("loss", ["ppo", "a2c", "awr"])
@pytest.mark.parametrize("agent", AGENTS)
def test_it_goes_on_from_its_state_to_the_bit(
    agent: ForestConfig, loss: str, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learner_module, "SEGMENT", 2)
    one, two = _make(agent, loss=loss), _make(agent, loss=loss)
    _iterate(one, play, agent, range(3))
    state = {name: values.copy() for name, values in one.state().items()}
    assert any("/segments/" in name for name in state)
    two.restore(state)
    _assert_same(one.state(), two.state())
    for learner in (one, two):
        _iterate(learner, play, agent, range(3, 5))
    _assert_same(one.state(), two.state())
    _assert_same(one.weights(), two.weights())


def test_full_segments_never_change(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learner_module, "SEGMENT", 4)
    learner, agent = _make(AGENTS[0]), AGENTS[0]
    seen: Arrays = {}
    for iteration in range(4):
        _iterate(learner, play, agent, range(iteration, iteration + 1))
        for name, values in learner.state().items():
            if "/segments/" in name:
                np.testing.assert_array_equal(seen.setdefault(name, values), values)
    # 64 transitions in minibatches of 24, twice, are 6 trees for each iteration: 24 in 6 segments.
    assert len({name.split("/")[2] for name in seen}) == 6


@pytest.mark.parametrize("agent", AGENTS)
def test_each_minibatch_is_one_tree_and_metrics_are_finite(agent: ForestConfig, play: Play) -> None:
    learner = _make(agent)
    (first, second) = _iterate(learner, play, agent, range(2))
    forests = 1 if agent.shares_trees else 2
    assert (first["trees"], second["trees"]) == (6 * forests, 12 * forests)
    assert all(type(value) is float and np.isfinite(value) for value in second.values())
    merged = _make(agent, boosting=BoostingConfig(merge=3))
    assert _iterate(merged, play, agent, range(1))[0]["trees"] == 2 * forests


def test_a_forest_is_bounded_and_goes_on_to_the_bit(play: Play) -> None:
    agent = AGENTS[1]
    bounded = {"boosting": BoostingConfig(max_trees=20, distilled_trees=5, distilled_rows=100)}
    one, two = _make(agent, **bounded), _make(agent, **bounded)
    # Six trees for each iteration and forest: distilled after the fourth, 24 become 5, and then 11 and 17.
    metrics = _iterate(one, play, agent, range(5))
    assert [line["trees"] for line in metrics] == [12, 24, 36, 10, 22]
    assert [{"distilled_policy_change", "distilled_value_change"} <= line.keys() for line in metrics] == [
        iteration == 3 for iteration in range(5)
    ]
    state = one.state()
    assert (state["grown"], state["recent_rows"].shape) == (30, (100, 15))
    two.restore(state)
    for learner in (one, two):
        _iterate(learner, play, agent, range(5, 8))
    _assert_same(one.state(), two.state())


@pytest.mark.parametrize("features", ["flat", "joint"])
@pytest.mark.parametrize("loss", ["ppo", "a2c", "awr"])
def test_a_forest_beside_a_network_goes_on_to_the_bit(features: Any, loss: str, play: Play) -> None:
    agent = ForestConfig(tree=TreeConfig(max_depth=2), shares_trees=False, features=features)
    bounded = BoostingConfig(max_trees=14, distilled_trees=5, merge=2)
    settings = {"loss": loss, "critic": "mlp", "critic_hidden": (8,), "boosting": bounded}
    one, two = _make(agent, **settings), _make(agent, **settings)
    metrics = _iterate(one, play, agent, range(3))
    # Six minibatches of each iteration, or one, are merged by two, and trees of values are there none.
    assert metrics[0]["trees"] == {"ppo": 3, "awr": 3, "a2c": 1}[loss]
    state = {name: values.copy() for name, values in one.state().items()}
    two.restore(state)
    _assert_same(one.state(), two.state())
    for learner in (one, two):
        _iterate(learner, play, agent, range(3, 6))
    _assert_same(one.state(), two.state())
    assert any((state[name] != values).any() for name, values in one.state().items() if name.startswith("critic/"))
    assert one.weights().keys() == two.weights().keys() == _make(agent, loss=loss).weights().keys()


def test_a_network_approaches_its_targets(play: Play) -> None:
    agent = ForestConfig(shares_trees=False)
    settings = BoostingConfig(policy_rate=0.0)
    learner = _make(agent, boosting=settings, critic="mlp", critic_rate=0.03, gamma=0.0, gae_lambda=0.0)
    fragments = [play(learner.weights(), agent, BODY, TASK, seed=0, shard=shard) for shard in range(2)]
    losses = [learner.update(fragments, iteration)["value_loss"] for iteration in range(12)]
    assert losses[-1] < 0.4 * losses[0]


def test_a_network_beside_shared_trees_is_refused() -> None:
    with pytest.raises(BadInput, match=r"agent in learner boosted, critic network: expected agent.shares_trees=false"):
        _make(AGENTS[0], critic="mlp")


def test_rates_follow_the_trees_that_were_grown_not_those_that_are_left(play: Play) -> None:
    schedule = RateSchedule(first=1.0, last=0.0, trees=30)
    learner = _make(
        AGENTS[0], boosting=BoostingConfig(policy_rate=schedule, value_rate=0.0, max_trees=10, distilled_trees=2)
    )
    _iterate(learner, play, AGENTS[0], range(5))
    before = learner.weights()["forest/leaves"]
    _iterate(learner, play, AGENTS[0], range(5, 6))  # trees 30 to 36 move nothing
    assert not learner.weights()["forest/leaves"][len(before) :].any()


def test_noise_is_learned_unless_its_rate_is_zero(play: Play) -> None:
    for rate in (0.0, 0.01):
        learner = _make(AGENTS[0], boosting=BoostingConfig(noise_rate=rate), noise_std=0.2)
        np.testing.assert_allclose(learner.weights()["log_std"], [np.log(0.2)] * 3)
        _iterate(learner, play, AGENTS[0], range(1))
        assert (learner.weights()["log_std"] != np.log(0.2)).any() == (rate > 0)


@pytest.mark.parametrize("agent", AGENTS)
def test_values_approach_their_targets(agent: ForestConfig, play: Play) -> None:
    settings = BoostingConfig(policy_rate=0.0, value_rate=0.1)
    learner = _make(agent, boosting=settings, gamma=0.0, gae_lambda=0.0)
    fragments = [play(learner.weights(), agent, BODY, TASK, seed=0, shard=shard) for shard in range(2)]
    losses = [learner.update(fragments, iteration)["value_loss"] for iteration in range(8)]
    assert losses[-1] < 0.4 * losses[0]
    assert losses == sorted(losses, reverse=True)


def test_only_boosted_agents_are_boosted() -> None:
    with pytest.raises(BadInput, match="agent in learner boosted: expected kind forest, got 'mlp'"):
        BoostedLearner(BoostedLearnerConfig(), MLPConfig(), spec=SPEC, seed=0)
