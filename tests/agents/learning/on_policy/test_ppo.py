"""PPO of perceptrons: the learner in torch as the reference, and going on from a state."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from wormwood.agents.learners import LearnerContext, make_learner
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.on_policy.networks import initial_critic
from wormwood.agents.learning.on_policy.ppo import CompiledPPOLearner
from wormwood.agents.learning.ppo_settings import PPOConfig
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import AgentConfig, initial_weights
from wormwood.agents.stable_baselines3.ppo_learner import PPOLearner
from wormwood.envs.bodies import swimmer
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim

BODY, TASK = swimmer(4), Swim(horizon=7)
SPEC = SwimmerSpec(BODY, TASK)
MLP = MLPConfig(hidden=(8, 8))
NCAP = NCAPConfig(constraint="straight_through", bounds={"prop": (0.1, 1.005), "ipsi": (0.5, 3.0)})
Play = Callable[..., Fragment]


def _config(**settings: Any) -> PPOConfig:
    defaults = {"environments": 4, "steps": 16, "batch_size": 24, "epochs": 3, "critic_hidden": (8,)}
    return PPOConfig(**{**defaults, "actor_rate": 0.01, **settings})


def _weights(agent: AgentConfig = MLP) -> Arrays:
    return initial_weights(agent, SPEC, np.random.default_rng(0))


def _make(agent: AgentConfig = MLP, seed: int = 3, **settings: Any) -> CompiledPPOLearner:
    return CompiledPPOLearner(_config(**settings), agent, _weights(agent), spec=SPEC, seed=seed)


def _fragments(learner: Any, play: Play, agent: AgentConfig, seed: int) -> list[Fragment]:
    return [play(learner.weights(), agent, BODY, TASK, seed=seed, shard=shard) for shard in range(2)]


def _iterate(learner: Any, play: Play, iterations: range, agent: AgentConfig = MLP) -> None:
    for iteration in iterations:
        learner.update(_fragments(learner, play, agent, iteration), iteration)


def _assert_same(one: Arrays, two: Arrays) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(two[name], values, err_msg=name)


def _torch_twin(learner: CompiledPPOLearner, agent: AgentConfig, config: PPOConfig) -> PPOLearner:
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
        (NCAP, {"learn_noise": True, "entropy_coefficient": 0.01}),
        (NCAPConfig(), {}),
        (NCAPConfig(own_feedback=True, local_oscillators=True, constrain_signs=False), {"actor_rate": 0.1}),
    ],
)
def test_updates_are_those_of_the_learner_in_torch(agent, settings, play):
    # All rows are in one minibatch, so that their order makes no difference.
    config = _config(batch_size=64, **settings)
    learner = CompiledPPOLearner(config, agent, _weights(agent), spec=SPEC, seed=3)
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


@pytest.mark.parametrize("agent", [MLP, NCAP])
def test_it_goes_on_from_any_state_bit_for_bit(agent, play):
    whole, states = _make(agent, learn_noise=True), []
    for iteration in range(3):
        states.append(whole.state())
        _iterate(whole, play, range(iteration, iteration + 1), agent)
    for iteration, state in enumerate(states):
        kept = {name: values.copy() for name, values in state.items()}
        resumed = _make(agent, learn_noise=True)
        _iterate(resumed, play, range(7, 8), agent)  # what it learned before must not matter
        resumed.restore(state)
        _assert_same(resumed.state(), state)
        _iterate(resumed, play, range(iteration, 3), agent)
        _assert_same(resumed.state(), whole.state())
        _assert_same(resumed.weights(), whole.weights())
        _assert_same(state, kept)


def test_a_state_holds_what_is_not_learned(play):
    agent = NCAPConfig(local_oscillators=True)
    weights = _weights(agent) | {"period": np.array(44.0), "lag": np.array(0.3)}
    theirs = CompiledPPOLearner(_config(), agent, weights, spec=SPEC, seed=3)
    ours = _make(agent)
    ours.restore(theirs.state())
    _assert_same(ours.weights(), theirs.weights())
    for learner in (ours, theirs):
        _iterate(learner, play, range(2), agent)
    _assert_same(ours.state(), theirs.state())
    assert ours.weights()["period"] == 44 and (ours.weights()["osc"] != _make(agent).weights()["osc"]).any()


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
    again = CompiledPPOLearner(_config(), MLP, weights, spec=SPEC, seed=9).weights()
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


def test_a_batch_larger_than_the_experience_takes_all_of_it(play):
    learner = _make(batch_size=10**9, epochs=2)
    _iterate(learner, play, range(1))
    assert learner.state()["gradient_steps"] == 2
    with pytest.raises(ValueError, match="64 transitions where an iteration has 32"):
        _iterate(_make(steps=8), play, range(1))


def test_weights_stay_within_their_bounds(play):
    learner = _make(NCAP, actor_rate=1.0)
    assert learner.weights()["prop"] == 1.0
    _iterate(learner, play, range(3), NCAP)
    weights = learner.weights()
    assert 0.1 - 1e-6 <= weights["prop"] <= 1.005 + 1e-6 and 0.5 <= weights["ipsi"] <= 3.0
    assert weights["period"] == 60 and weights["prop"].shape == ()


def test_torch_learns_only_what_needs_it():
    def kind(agent: AgentConfig, **settings: Any) -> type:
        return type(make_learner(_config(**settings), _weights(agent), LearnerContext(agent, SPEC, seed=0)))

    assert kind(MLP) is kind(NCAP) is CompiledPPOLearner
    assert kind(MLP, critic="pooled") is kind(NCAPConfig(share_weights=False)) is PPOLearner
