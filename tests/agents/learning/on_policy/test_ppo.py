"""PPO of perceptrons: the learner in torch as the reference, and going on from a state."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from wormwood.agents.learners import LearnerContext, make_learner
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.on_policy.networks import initial_critic
from wormwood.agents.learning.on_policy.ppo import PerceptronPPOLearner
from wormwood.agents.learning.ppo_settings import PPOConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import initial_weights
from wormwood.agents.stable_baselines3.ppo_learner import PPOLearner
from wormwood.envs.bodies import swimmer
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim

BODY, TASK = swimmer(4), Swim(horizon=7)
SPEC = SwimmerSpec(BODY, TASK)
MLP = MLPConfig(hidden=(8, 8))
Play = Callable[..., Fragment]


def _config(**settings: Any) -> PPOConfig:
    defaults = {"environments": 4, "steps": 16, "batch_size": 24, "epochs": 3, "critic_hidden": (8,)}
    return PPOConfig(**{**defaults, "actor_rate": 0.01, **settings})


def _weights(agent: MLPConfig = MLP) -> Arrays:
    return initial_weights(agent, SPEC, np.random.default_rng(0))


def _make(agent: MLPConfig = MLP, seed: int = 3, **settings: Any) -> PerceptronPPOLearner:
    return PerceptronPPOLearner(_config(**settings), agent, _weights(agent), spec=SPEC, seed=seed)


def _fragments(learner: Any, play: Play, agent: MLPConfig, seed: int) -> list[Fragment]:
    return [play(learner.weights(), agent, BODY, TASK, seed=seed, shard=shard) for shard in range(2)]


def _iterate(learner: Any, play: Play, iterations: range, agent: MLPConfig = MLP) -> None:
    for iteration in iterations:
        learner.update(_fragments(learner, play, agent, iteration), iteration)


def _assert_same(one: Arrays, two: Arrays) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(two[name], values, err_msg=name)


def _torch_twin(learner: PerceptronPPOLearner, agent: MLPConfig, config: PPOConfig) -> PPOLearner:
    """Return the learner in torch with the same actor and critic."""
    twin = PPOLearner(config, agent, _weights(agent), spec=SPEC, seed=3)
    critic = twin._policy.value_net.module
    linears = [each for each in (*critic.hidden, critic.value) if isinstance(each, torch.nn.Linear)]
    state = learner.state()
    with torch.no_grad():
        for index, linear in enumerate(linears):
            linear.weight.copy_(torch.tensor(state[f"parameters/critic/layer{index}_weight"].T))
    return twin


@pytest.mark.parametrize(
    ("agent", "settings"),
    [
        (MLP, {"learn_noise": True, "entropy_coefficient": 0.01}),
        (MLPConfig(hidden=(8,), normalize=False), {"critic_hidden": (8, 4), "normalize_advantage": False}),
        (MLPConfig(hidden=()), {"critic_hidden": (), "target_kl": 1e-4, "gamma": 0.5, "gae_lambda": 0.3}),
    ],
)
def test_updates_are_those_of_the_learner_in_torch(agent, settings, play):
    # All rows are in one minibatch, so that their order makes no difference.
    config = _config(batch_size=64, **settings)
    learner = PerceptronPPOLearner(config, agent, _weights(agent), spec=SPEC, seed=3)
    twin = _torch_twin(learner, agent, config)
    for iteration in range(3):
        fragments = _fragments(twin, play, agent, iteration)
        theirs, ours = twin.update(fragments, iteration), learner.update(fragments, iteration)
        for name, value in ours.items():
            assert value == pytest.approx(theirs[name], rel=1e-3, abs=1e-5), name
        assert ours.keys() == theirs.keys()
        weights = learner.policy_weights()
        for name, values in twin.policy_weights().items():
            np.testing.assert_allclose(weights[name], values, rtol=1e-4, atol=2e-5, err_msg=name)
    assert int(learner.state()["gradient_steps"]) < 9 if config.target_kl else True


def test_it_goes_on_from_any_state_bit_for_bit(play):
    whole, states = _make(learn_noise=True), []
    for iteration in range(3):
        states.append(whole.state())
        _iterate(whole, play, range(iteration, iteration + 1))
    for iteration, state in enumerate(states):
        kept = {name: values.copy() for name, values in state.items()}
        resumed = _make(learn_noise=True)
        _iterate(resumed, play, range(7, 8))  # what it learned before must not matter
        resumed.restore(state)
        _assert_same(resumed.state(), state)
        _iterate(resumed, play, range(iteration, 3))
        _assert_same(resumed.state(), whole.state())
        _assert_same(resumed.weights(), whole.weights())
        _assert_same(state, kept)


def test_an_update_moves_all_but_noise_that_is_not_learned(play):
    learner = _make()
    before = learner.state()
    _iterate(learner, play, range(1))
    after = learner.state()
    moved = {name for name in after if (after[name] != before[name]).any()}
    assert {f"parameters/{owner}/layer0_weight" for owner in ("actor", "critic")} <= moved
    assert "parameters/log_std" not in moved and after["moments/count"] == 64 and after["gradient_steps"] == 9


def test_the_seed_draws_the_critic_and_shuffles(play):
    one, other = _make(), _make(seed=4)
    name = "parameters/critic/layer0_weight"
    assert (one.state()[name] != other.state()[name]).any()
    other.restore(one.state())
    _iterate(one, play, range(1))
    _iterate(other, play, range(1))
    assert (one.state()[name] != other.state()[name]).any()


def test_learning_goes_on_from_exported_weights(play):
    learner = _make()
    _iterate(learner, play, range(2))
    weights = learner.policy_weights()
    again = PerceptronPPOLearner(_config(), MLP, weights, spec=SPEC, seed=9).weights()
    assert again.pop("log_std") == pytest.approx(np.log(0.3)), "the noise is that of the settings"
    for name, values in again.items():
        np.testing.assert_allclose(values, weights[name], rtol=1e-12, err_msg=name)


def test_a_critic_begins_orthogonal():
    weights = initial_critic(5, (3, 4), np.random.default_rng(0))
    assert [weights[f"layer{index}_weight"].shape for index in range(3)] == [(5, 3), (3, 4), (4, 1)]
    tall, wide, last = (weights[f"layer{index}_weight"] for index in range(3))
    np.testing.assert_allclose(tall.T @ tall, 2 * np.eye(3), atol=1e-12)
    np.testing.assert_allclose(wide @ wide.T, 2 * np.eye(3), atol=1e-12)
    assert np.linalg.norm(last) == pytest.approx(1.0)


def test_perceptrons_learn_without_torch_unless_it_is_needed():
    context = LearnerContext(MLP, SPEC, seed=0)
    assert isinstance(make_learner(_config(), _weights(), context), PerceptronPPOLearner)
    assert isinstance(make_learner(_config(critic="pooled"), _weights(), context), PPOLearner)
