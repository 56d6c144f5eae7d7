"""Fast and slow learning of recurrent agents: what both paths must agree on, and going on from a state."""

from typing import Any

import numpy as np
import pytest

from wormwood.agents.catalogue import AgentConfig, initial_weights
from wormwood.agents.interfaces import Arrays
from wormwood.agents.memory.config import MemoryConfig, ScheduleConfig
from wormwood.agents.perceptrons.config import MLPConfig
from wormwood.agents.recurrent.config import FastSlowConfig, GRUConfig
from wormwood.agents.recurrent.fast_slow import FastSlowLearner
from wormwood.envs.meta.trials import trial_from_name
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import BadInput
from wormwood.launch.rollouts import RolloutPlan, RolloutWorker, Shard

SPEC = trial_from_name("bandit", {"arms": 2}, 4)
GRU, MEMORY = GRUConfig(units=4), MemoryConfig(slots=2, width=3, hidden=4)
AGENTS = pytest.mark.parametrize("agent", [GRU, MEMORY], ids=["gru", "memory"])


def _learner(agent: AgentConfig, *, spec: EnvironmentSpec = SPEC, **schedule: Any) -> FastSlowLearner:
    config = FastSlowConfig(environments=6, minibatches=2, epochs=2, schedule=ScheduleConfig(**schedule))
    weights = initial_weights(agent, spec, np.random.default_rng(0))
    return FastSlowLearner(config, agent, weights, spec=spec, seed=0)


def _update(learner: FastSlowLearner, agent: AgentConfig, iterations: range) -> Arrays:
    plan = RolloutPlan(seed=0, spec=SPEC, agent=agent, shards=1, environments=6, steps=4)
    worker = RolloutWorker(plan)
    for iteration in iterations:
        fragment, _ = worker.rollout(learner.weights(), Shard(0), iteration)
        learner.update([fragment], iteration)
    return learner.state()


def _assert_same(one: Arrays, two: Arrays) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(two[name], values, err_msg=name)


@AGENTS
def test_it_goes_on_from_a_state_bit_for_bit(agent: AgentConfig) -> None:
    schedule = {"fast_every": 1, "slow_every": 3}
    one, two = _learner(agent, **schedule), _learner(agent, **schedule)
    two.restore(_update(one, agent, range(2)))
    _assert_same(_update(one, agent, range(2, 4)), _update(two, agent, range(2, 4)))


@AGENTS
def test_a_window_of_the_whole_trial_is_the_slow_path(agent: AgentConfig) -> None:
    fast = _learner(agent, fast_every=4, feedback=False)
    slow = _learner(agent, fast_every=1, slow_every=1, feedback=False)
    _assert_same(_update(fast, agent, range(2)), _update(slow, agent, range(2)))


def test_predicted_gradients_make_a_difference() -> None:
    with_them, without = _learner(MEMORY, fast_every=1), _learner(MEMORY, fast_every=1, feedback=False)
    one, two = _update(with_them, MEMORY, range(2)), _update(without, MEMORY, range(2))
    # What is written is read later only: truncation to single steps never changes how.
    start = initial_weights(MEMORY, SPEC, np.random.default_rng(0))["content.weight"].astype(np.float32)
    name = "policy/core.network.content.weight"
    np.testing.assert_array_equal(two[name], start)
    assert not np.array_equal(one[name], start)


def test_trials_beyond_the_horizon_are_refused() -> None:
    with pytest.raises(BadInput, match=r"schedule.horizon in learner fast-slow: expected at least 4, .*got 3"):
        _learner(GRU, horizon=3)


def test_an_agent_without_memory_is_refused() -> None:
    with pytest.raises(BadInput, match=r"learner fast-slow: expected one of gru, memory, .*, got 'mlp'"):
        _learner(MLPConfig())
