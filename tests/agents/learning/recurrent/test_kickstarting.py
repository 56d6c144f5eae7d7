"""Teachers: they say what they would do themselves, their weight falls, and the agent comes to agree with them."""

from typing import Any

import numpy as np
import pytest

from wormwood.agents.learning.interfaces import Fragment, Transitions
from wormwood.agents.learning.recurrent.kickstarting import advice, teacher_of
from wormwood.agents.learning.recurrent.ppo import RecurrentPPOLearner
from wormwood.agents.learning.recurrent.settings import KickstartConfig, RecurrentPPOConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.recurrent_settings import GRUConfig
from wormwood.agents.policies.table import initial_weights
from wormwood.agents.references.classics import classic_policies
from wormwood.envs.families.bandits import BernoulliBandit
from wormwood.envs.families.tabular import TabularMDP
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.randomness import evaluation_streams
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import BadInput
from wormwood.launch.run.rollouts import RolloutPlan, Shard

BANDIT, TABLES = TrialSpec(BernoulliBandit(3), 6), TrialSpec(TabularMDP(states=3, choices=2, steps=4), 3)
AGENT = GRUConfig(units=16)


def _config(teacher: str, **settings: Any) -> RecurrentPPOConfig:
    return RecurrentPPOConfig(**{"environments": 64, "kickstart": KickstartConfig(teacher, updates=3), **settings})


def _learner(config: RecurrentPPOConfig, spec: TrialSpec = BANDIT) -> RecurrentPPOLearner:
    weights = initial_weights(AGENT, spec, np.random.default_rng(0))
    return RecurrentPPOLearner(config, AGENT, weights, spec=spec, seed=0)


def _rollout(weights: Arrays, iteration: int, spec: TrialSpec = BANDIT) -> Fragment:
    plan = RolloutPlan(0, spec, AGENT, shards=1, environments=64, steps=spec.horizon)
    return plan.worker().rollout(weights, Shard(0), iteration)[0]


@pytest.mark.parametrize(
    ("spec", "name"), [(BANDIT, "gittins"), (BANDIT, "thompson"), (TABLES, "beb"), (TABLES, "psrl")]
)
def test_a_teacher_would_have_done_what_it_did(spec: TrialSpec, name: str) -> None:
    teacher = classic_policies(spec)[name]()
    environments = spec.simulate(4, streams=evaluation_streams(0))
    observation, memory, steps = environments.reset(), Arrays(), []
    for _ in range(2 * spec.horizon):  # two trials: the second must find nothing of the first
        start = environments.steps == 0
        action, memory, _ = teacher.act(observation, {} if start.all() else memory, None)
        steps.append((observation, action, start))
        observation = environments.step(action).observation
    observations, actions, starts = (np.array(column) for column in zip(*steps, strict=True))
    nothing = np.zeros(starts.shape)
    experience = Transitions(
        observations,
        actions,
        nothing,
        starts,
        nothing > 0,
        nothing > 0,
        final_observation=np.empty((0, spec.layout.size)),
        next_observation=observation,
        log_prob=nothing,
    )
    np.testing.assert_array_equal(advice(teacher, experience), actions)


def test_its_weight_falls_to_nothing_and_then_the_loss_is_that_without_it() -> None:
    taught, alone = _learner(_config("gittins")), _learner(_config("gittins", kickstart=None))
    for iteration in range(3):
        assert "teacher_loss" in taught.update([_rollout(taught.weights(), iteration)], iteration)
    # From here on the one is as good as the other, but for how often it was updated.
    alone.restore(taught.state())
    fragment = _rollout(taught.weights(), 3)
    assert taught.update([fragment], 3) == alone.update([fragment], 3)
    for name, values in taught.state().items():
        np.testing.assert_array_equal(values, alone.state()[name], err_msg=name)


def test_the_agent_comes_to_agree_with_it() -> None:
    learner = _learner(_config("greedy", rate=0.01, kickstart=KickstartConfig("greedy", updates=1000)))
    losses = [learner.update([_rollout(learner.weights(), k)], k)["teacher_loss"] for k in range(30)]
    assert abs(losses[0] - np.log(3)) < 0.05
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("spec", "config", "message"),
    [
        (
            BANDIT,
            _config("gitins"),
            r"unknown teacher in kickstart of .*expected one of gittins, ucb.*nearest: 'gittins'",
        ),
        (TABLES, _config("ucb"), "unknown teacher in kickstart of .*expected one of beb, psrl, got 'ucb'"),
        (GymnasiumSpec("CartPole-v1"), _config("ucb"), "expected none, for no classic policy is known here"),
        (BANDIT, _config("ucb", steps=3), "steps in kickstart of .*expected 0, which is whole trials, got 3"),
    ],
)
def test_a_teacher_that_cannot_be_had(spec: EnvironmentSpec, config: RecurrentPPOConfig, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        teacher_of(config, spec)
