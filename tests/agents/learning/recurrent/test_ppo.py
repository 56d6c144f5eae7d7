"""PPO through time: the plain loss as the reference, going on from a state, and windows of trials."""

from typing import Any

import numpy as np
import pytest
import torch

from wormwood.agents.learning.interfaces import Episodes, Fragment, Transitions
from wormwood.agents.learning.recurrent.module import RecurrentActorCritic, action_likelihood
from wormwood.agents.learning.recurrent.ppo import RecurrentPPOLearner
from wormwood.agents.learning.recurrent.settings import RecurrentPPOConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.recurrent_settings import GRUConfig
from wormwood.agents.policies.table import initial_weights, make_policy
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.errors import BadInput

SPEC, AGENT = GymnasiumSpec("CartPole-v1"), GRUConfig(units=4)
NO_EPISODES = Episodes(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int8))


def _learner(seed: int = 0, **settings: Any) -> RecurrentPPOLearner:
    config = RecurrentPPOConfig(**{"environments": 6, "steps": 5, "minibatches": 2, **settings})
    weights = initial_weights(AGENT, SPEC, np.random.default_rng(0))
    weights["policy_weight"] *= 100  # what is remembered makes a difference
    return RecurrentPPOLearner(config, AGENT, weights, spec=SPEC, seed=seed)


def _fragment(weights: Arrays, *, shard: int = 0, steps: int = 5, memory: Arrays | None = None) -> Fragment:
    """Three trials of made-up observations, in which the second begins again at the fourth step."""
    rng = np.random.default_rng([shard, steps])
    observation, start = rng.standard_normal((steps + 1, 3, 4)), np.zeros((steps, 3), dtype=bool)
    start[0], start[3, 1] = memory is None, True
    policy, state, actions, log_probs = make_policy(AGENT, weights, SPEC), dict(memory or {}), [], []
    for t in range(steps):
        state = {name: np.where(start[t].reshape(3, *[1] * (v.ndim - 1)), 0, v) for name, v in state.items()}
        action, state, extras = policy.act(observation[t], state, rng)
        actions.append(action)
        log_probs.append(extras["log_prob"])
    ended = np.roll(start, -1, axis=0)
    ended[-1] = False
    transitions = Transitions(
        observation[:-1],
        np.array(actions),
        rng.standard_normal((steps, 3)),
        start,
        ended,
        ended & False,
        final_observation=np.empty((0, 4)),
        next_observation=observation[-1],
        log_prob=np.array(log_probs),
        memory=memory or {},
    )
    return Fragment(shard, 0, 3 * steps, NO_EPISODES, transitions)


def _update(learner: RecurrentPPOLearner, iteration: int = 0) -> dict[str, float]:
    weights = learner.weights()
    return dict(learner.update([_fragment(weights, shard=0), _fragment(weights, shard=1)], iteration))


def _assert_same(one: Arrays, two: Arrays) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(two[name], values, err_msg=name)


def test_torch_says_what_numpy_acted_with_also_where_a_trial_begins_in_the_middle() -> None:
    learner = _learner(epochs=1, minibatches=1)
    # One gradient step of the whole batch: the ratio is 1 everywhere before it.
    metrics = _update(learner)
    assert abs(metrics["approx_kl"]) < 1e-6
    assert abs(metrics["policy_loss"]) < 1e-6  # minus the mean of standardised advantages


def test_updates_go_on_from_a_state_bit_for_bit() -> None:
    one, two = _learner(anneal=3), _learner(anneal=3)
    _update(one)
    two.restore(one.state())
    _update(one, 1)
    _update(two, 1)
    _assert_same(one.state(), two.state())


def test_seeds_make_a_difference_and_nothing_else_does() -> None:
    learners = [_learner(seed) for seed in (0, 0, 1)]
    for learner in learners:
        torch.rand(3)
        _update(learner)
    _assert_same(learners[0].state(), learners[1].state())
    assert not np.array_equal(learners[0].weights()["hidden_weight"], learners[2].weights()["hidden_weight"])


def test_a_window_in_the_middle_of_a_trial_goes_on_from_what_was_remembered() -> None:
    learner = _learner(epochs=1, minibatches=1)
    memory = {"hidden": np.random.default_rng(1).standard_normal((3, 4)), "started": np.ones(3)}
    weights = learner.weights()
    fragments = [_fragment(weights, shard=shard, memory=memory) for shard in range(2)]
    assert abs(learner.update(fragments, 0)["approx_kl"]) < 1e-6
    forgotten = [_fragment(weights, shard=shard, memory=memory) for shard in range(2)]
    for fragment in forgotten:
        assert fragment.transitions is not None
        fragment.transitions.memory["hidden"] = np.zeros((3, 4))
    assert _learner(epochs=1, minibatches=1).update(forgotten, 0)["approx_kl"] > 1e-3


def test_a_loss_that_is_no_number_changes_no_weight() -> None:
    learner = _learner(epochs=1, minibatches=1)
    before, fragments = learner.weights(), [_fragment(learner.weights(), shard=shard) for shard in range(2)]
    assert fragments[1].transitions is not None
    fragments[1].transitions.log_prob[2, 1] = np.nan
    with pytest.raises(BadInput, match=r"loss in learner recurrent-ppo: expected a finite number.*got nan"):
        learner.update(fragments, 0)
    _assert_same(before, learner.weights())


def test_step_size_and_bonus_fall_to_a_tenth() -> None:
    learner = _learner(rate=0.01, anneal=2)
    rates = [_update(learner, k)["rate"] for k in range(4)]
    np.testing.assert_allclose(rates, [0.01, 0.0055, 0.001, 0.001])


def test_gradients_flow_through_the_memory_to_the_first_observation() -> None:
    module = RecurrentActorCritic(AGENT, initial_weights(AGENT, SPEC, np.random.default_rng(0)), SPEC, noise_std=1.0)
    observation = torch.randn(4, 2, 4, requires_grad=True)
    starts = torch.zeros(4, 2, dtype=torch.bool)
    starts[0], starts[2, 1] = True, True
    outputs, _, _ = module(observation, starts, {})
    outputs[-1].sum().backward()
    assert observation.grad is not None
    reached = observation.grad.abs().sum(-1) > 0
    # The second trial began again at the third step: what was before it has no part in its last output.
    assert reached.tolist() == [[True, False], [True, False], [True, True], [True, True]]


def test_likelihoods_are_those_of_torch() -> None:
    torch.manual_seed(0)
    outputs, log_std = torch.randn(3, 5), torch.randn(5)
    numbers = torch.randn(3, 5)
    normal = torch.distributions.Normal(outputs, log_std.exp())
    log_prob, entropy = action_likelihood(outputs, numbers, choices=(), log_std=log_std)
    torch.testing.assert_close(log_prob, normal.log_prob(numbers).sum(-1))
    torch.testing.assert_close(entropy, normal.entropy().sum(-1))
    alternatives = torch.tensor([[0, 2], [1, 0], [1, 1]])
    parts = [torch.distributions.Categorical(logits=part) for part in (outputs[:, :2], outputs[:, 2:])]
    log_prob, entropy = action_likelihood(outputs, alternatives, choices=(2, 3), log_std=None)
    torch.testing.assert_close(log_prob, sum(part.log_prob(alternatives[:, k]) for k, part in enumerate(parts)))
    torch.testing.assert_close(entropy, parts[0].entropy() + parts[1].entropy())


def test_an_agent_without_memory_is_refused() -> None:
    agent = MLPConfig()
    weights = initial_weights(agent, SPEC, np.random.default_rng(0))
    with pytest.raises(BadInput, match=r"learner recurrent-ppo: expected one of gru, memory, .*, got 'mlp'"):
        RecurrentPPOLearner(RecurrentPPOConfig(), agent, weights, spec=SPEC, seed=0)
