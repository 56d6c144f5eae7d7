"""Fast and slow learning of recurrent agents: what both paths must agree on, and going on from a state."""

from typing import Any

import numpy as np
import pytest

from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.memory.settings import FeedbackConfig, ScheduleConfig
from wormwood.agents.learning.recurrent.fast_slow import FastSlowLearner
from wormwood.agents.learning.recurrent.settings import FastSlowConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.recurrent_settings import GRUConfig
from wormwood.agents.policies.table import AgentConfig, initial_weights
from wormwood.envs.families.trials import trial_from_name
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import BadInput
from wormwood.launch.run.rollouts import RolloutPlan, RolloutWorker, Shard

SPEC = trial_from_name("bandit", {"arms": 2}, 4)
GRU, MEMORY = GRUConfig(units=4), MemoryConfig(slots=2, width=3, hidden=4)
AGENTS = pytest.mark.parametrize("agent", [GRU, MEMORY], ids=["gru", "memory"])


def _learner(agent: AgentConfig, *, spec: EnvironmentSpec = SPEC, **schedule: Any) -> FastSlowLearner:
    config = FastSlowConfig(environments=6, minibatches=2, epochs=2, schedule=ScheduleConfig(**schedule))
    return _started(config, agent, spec)


def _started(config: FastSlowConfig, agent: AgentConfig, spec: EnvironmentSpec = SPEC) -> FastSlowLearner:
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
    name = "memory0/policy/core.network.content.weight"
    np.testing.assert_array_equal(two[name], start)
    assert not np.array_equal(one[name], start)


def test_trials_beyond_the_horizon_are_refused() -> None:
    with pytest.raises(BadInput, match=r"schedule.horizon in learner fast-slow: expected at least 4, .*got 3"):
        _learner(GRU, horizon=3)


def test_an_agent_without_memory_is_refused() -> None:
    with pytest.raises(BadInput, match=r"learner fast-slow: expected one of gru, memory, .*, got 'mlp'"):
        _learner(MLPConfig())


def _several(memories: int, name: str | None = None) -> FastSlowLearner:
    config = FastSlowConfig(
        environments=6, memories=memories, minibatches=2, epochs=1, feedback=FeedbackConfig(name=name)
    )
    return _started(config, MEMORY)


def _fragments(learner: FastSlowLearner, shards: int, members: int) -> list[Fragment]:
    plan = RolloutPlan(seed=0, spec=SPEC, agent=MEMORY, shards=shards, environments=3, steps=4, members=members)
    worker = RolloutWorker(plan)
    return [worker.rollout(learner.weights(), Shard(index), 0)[0] for index in range(shards)]


def test_each_of_two_memories_collects_by_its_own_weights_and_learns_from_what_it_collected() -> None:
    both, alone = _several(2), _several(1)
    fragments = _fragments(both, shards=4, members=2)
    fragments_alone = _fragments(alone, shards=2, members=1)
    for one, two in zip(fragments[:2], fragments_alone, strict=True):
        np.testing.assert_array_equal(one.transitions.log_prob, two.transitions.log_prob)
    assert not np.array_equal(both.weights()["content.weight"][0], both.weights()["content.weight"][1])
    both.update(fragments, 0)
    alone.update(fragments_alone, 0)
    # The first memory's minibatches are the first that are drawn, as they are where it is the only one.
    first = {name: values for name, values in both.state().items() if name.startswith("memory0/")}
    _assert_same(first, {name: values for name, values in alone.state().items() if name != "updates"})
    _assert_same(both.policy_weights(), alone.policy_weights())


def test_memories_that_name_a_feedback_module_train_one() -> None:
    apart, shared = _several(2), _several(2, name="shared")
    for learner in (apart, shared):
        fragments = _fragments(learner, shards=2, members=2)
        for iteration in range(3):
            learner.update(fragments, iteration)
    name = "feedback/module/trunk.weight"
    ours, theirs = shared.state(), apart.state()
    np.testing.assert_array_equal(ours[f"memory0/{name}"], ours[f"memory1/{name}"])
    assert not np.array_equal(theirs[f"memory0/{name}"], theirs[f"memory1/{name}"])
    assert not np.array_equal(ours[f"memory0/{name}"], theirs[f"memory0/{name}"])
    again = _several(2, name="shared")
    again.restore(ours)
    for learner in (shared, again):
        learner.update(fragments, 3)
    _assert_same(shared.state(), again.state())
