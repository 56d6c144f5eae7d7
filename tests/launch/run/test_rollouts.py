"""The rollout as a pure function: who runs it, and what ran before, makes no difference."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import initial_weights, make_policy
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, swimmer
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.randomness import shared_streams, stream, training_streams
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Swim
from wormwood.errors import BadInput
from wormwood.launch.run import rollouts
from wormwood.launch.run.executors import InProcessExecutor
from wormwood.launch.run.rollouts import NonFiniteError, RolloutPlan, RolloutWorker, Shard
from wormwood.launch.run.service import RolloutRequest


def _make_plan(**overrides: Any) -> RolloutPlan:
    fields: dict[str, Any] = {
        "seed": 3,
        "spec": SwimmerSpec(swimmer(4, sensor_noise=0.05, sensor_delay=1), Swim(horizon=25)),
        "agent": NCAPConfig(),
        "shards": 2,
        "environments": 3,
        "steps": 10,
        **overrides,
    }
    return RolloutPlan(**fields)


def _weights(plan: RolloutPlan, *, noise: float = 0.2) -> dict[str, np.ndarray]:
    weights = initial_weights(plan.agent, plan.spec, stream(0, "update"))
    return {**weights, "log_std": np.full(plan.spec.actions.size, np.log(noise))}


def _assert_equal(one: Any, two: Any) -> None:
    """Compare tuples, dataclasses and mappings of arrays to the bit."""
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            _assert_equal(getattr(one, field.name), getattr(two, field.name))
    elif isinstance(one, tuple):
        for left, right in zip(one, two, strict=True):
            _assert_equal(left, right)
    elif isinstance(one, dict):
        assert one.keys() == two.keys()
        for name in one:
            _assert_equal(one[name], two[name])
    else:
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("agent", [NCAPConfig(), MLPConfig(hidden=(8,))])
def test_any_worker_gives_the_same_result_whatever_it_ran_before(agent) -> None:
    plan = _make_plan(agent=agent)
    weights, busy = _weights(plan), RolloutWorker(plan)
    shard = Shard(1)
    for iteration in range(4):
        busy.rollout(weights, Shard(0), iteration + 7)
        again, fresh = busy.rollout(weights, shard, iteration), RolloutWorker(plan).rollout(weights, shard, iteration)
        _assert_equal(again, fresh)
        shard = again[1]
    # 40 steps with a horizon of 25: every environment has ended one episode.
    assert shard.state["steps"].tolist() == [15, 15, 15]


def test_rollouts_one_after_the_other_are_one_long_episode() -> None:
    plan = _make_plan()
    quiet = {name: values for name, values in _weights(plan).items() if name != "log_std"}
    shard, rewards, lengths = Shard(0), [], []
    for iteration in range(5):
        fragment, shard = RolloutWorker(plan).rollout(quiet, shard, iteration)
        assert fragment.transitions is not None
        rewards.append(fragment.transitions.reward)
        lengths += fragment.episodes.length.tolist()
    simulation = plan.spec.simulate(3, streams=training_streams(3))
    policy = make_policy(plan.agent, quiet, plan.spec)
    observation, expected = simulation.reset(), []
    for _ in range(50):
        step = simulation.step(policy.act(observation, {}, None)[0])
        observation = step.observation
        expected.append(step.reward)
    np.testing.assert_array_equal(np.concatenate(rewards), expected)
    assert lengths == [25] * 6


def test_the_record_says_where_episodes_begin_and_end() -> None:
    plan = _make_plan(steps=30)
    fragment, _ = RolloutWorker(plan).rollout(_weights(plan), Shard(0), 0)
    record = fragment.transitions
    assert record is not None
    assert np.argwhere(record.episode_start)[:, 0].tolist() == [0, 0, 0, 25, 25, 25]
    assert np.argwhere(record.truncated)[:, 0].tolist() == [24, 24, 24]
    assert not record.terminated.any()
    # The last observation of an episode has the horizon on its clock, the one that follows has 0.
    assert record.final_observation[:, -1].tolist() == [25, 25, 25]
    assert record.observation[25, :, -1].tolist() == [0, 0, 0]
    assert record.next_observation[:, -1].tolist() == [5, 5, 5]
    np.testing.assert_allclose(fragment.episodes.reward, record.reward[:25].sum(axis=0), rtol=1e-12)
    assert fragment.steps == 90


def test_each_candidate_plays_the_same_starts_and_gets_its_own_return() -> None:
    plan = _make_plan(population=4, starts=3, environments=6, steps=25)
    candidates = {
        name: np.stack([values * scale for scale in (0.5, 1.0, 1.5, 2.0)])
        for name, values in initial_weights(plan.agent, plan.spec, stream(0, "update")).items()
    }
    fragments = [plan.worker().rollout(candidates, Shard(index), 5)[0] for index in range(2)]
    got = np.concatenate([fragment.episodes.reward for fragment in fragments]).reshape(4, 3)
    assert np.concatenate([f.episodes.environment for f in fragments]).tolist() == list(range(12))
    for candidate in range(4):
        weights = {name: stacked[candidate] for name, stacked in candidates.items()}
        policy = make_policy(plan.agent, weights, plan.spec)
        simulation = plan.spec.simulate(3, streams=shared_streams(3, starts=3, generation=5))
        observation, total = simulation.reset(), np.zeros(3)
        for _ in range(25):
            step = simulation.step(policy.act(observation, {}, None)[0])
            observation, total = step.observation, total + step.reward
        np.testing.assert_array_equal(got[candidate], total)


def test_each_candidate_plays_the_same_starts_on_every_body() -> None:
    home, lame = (SwimmerSpec(swimmer(4, lesioned=dead), Swim(horizon=25)) for dead in ([], [0]))
    longer = SwimmerSpec(swimmer(7), Swim(horizon=25))
    alone = [_make_plan(population=4, starts=3, environments=6, steps=25, spec=spec) for spec in (home, lame, longer)]
    together = dataclasses.replace(alone[0], others=(lame, longer))
    candidates = {
        name: np.stack([values * scale for scale in (0.5, 1.0, 1.5, 2.0)])
        for name, values in initial_weights(together.agent, home, stream(0, "update")).items()
    }
    for shard in (Shard(0), Shard(1)):
        fragment, _ = together.worker().rollout(candidates, shard, 5)
        assert fragment.steps == 3 * 6 * 25
        assert sorted(fragment.episodes.environment) == list(range(18 * shard.index, 18 * (shard.index + 1)))
        for body, plan in enumerate(alone):
            expected = plan.worker().rollout(candidates, shard, 5)[0].episodes
            rows = fragment.episodes.environment % 3 == body
            assert (fragment.episodes.environment[rows] // 3).tolist() == expected.environment.tolist()
            np.testing.assert_array_equal(fragment.episodes.reward[rows], expected.reward)
    assert together.steps_per_iteration == 3 * alone[0].steps_per_iteration


def test_a_policy_with_a_memory_begins_each_episode_without_it() -> None:
    plan = _make_plan(spec=SwimmerSpec(GYMNASIUM_SWIMMER, GymnasiumForward(horizon=25)), environments=1, shards=1)
    shard, times = Shard(0), []
    for iteration in range(5):
        _, shard = RolloutWorker(plan).rollout(_weights(plan), shard, iteration)
        times.append(float(shard.state["memory/time"][0]))
    assert times == [10, 20, 5, 15, 0]


def test_the_shards_of_an_iteration_share_one_policy_and_never_an_older_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, built = _make_plan(), []

    def make(*arguments: Any) -> Any:
        built.append(arguments)
        return make_policy(*arguments)

    monkeypatch.setattr(rollouts, "make_policy", make)
    weights, executor = _weights(plan), InProcessExecutor(plan)

    def collect() -> Any:
        return executor.start(RolloutRequest(0, weights, (Shard(0), Shard(1)))).result()

    first = collect()
    assert len(built) == 1
    for name in weights:
        weights[name] = weights[name] * 0.5  # in the same dictionary
    second = collect()
    assert len(built) == 2
    for index in range(2):
        _assert_equal(second[index], RolloutWorker(plan).rollout(weights, Shard(index), 0))
    assert (second[0][0].transitions.action != first[0][0].transitions.action).any()


def test_without_a_version_a_worker_plays_by_the_weights_of_each_call() -> None:
    plan, scale = _make_plan(), 0.5
    weights = _weights(plan)
    smaller = {name: values * scale for name, values in weights.items()}
    worker = RolloutWorker(plan)
    for own in (weights, smaller, weights):
        _assert_equal(worker.rollout(own, Shard(0), 0), RolloutWorker(plan).rollout(own, Shard(0), 0))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_is_not_finite_is_named_with_its_place() -> None:
    plan = _make_plan()
    # The noise's deviation is exp(800), which is infinite.
    weights = {**_weights(plan), "log_std": np.full(3, 800.0)}
    place = r"in environment 3 of body swimmer-4, task swim: shard 1, iteration 0, step 1 of its episode, column 0"
    with pytest.raises(NonFiniteError, match=rf"^action is -?inf {place}$"):
        RolloutWorker(plan).rollout(weights, Shard(1), 0)


def test_weights_that_are_not_finite_are_refused_before_anything_is_played() -> None:
    plan = _make_plan()
    with pytest.raises(BadInput, match=r"weights of the agent do not fit .*expected prop: finite numbers, got nan"):
        RolloutWorker(plan).rollout({**_weights(plan), "prop": np.array(np.nan)}, Shard(1), 0)


class _Drifting(gymnasium.Env[np.ndarray, int]):
    """Observes how often any of its kind has stepped, which no seed decides."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), dtype=np.float64)
    action_space = gymnasium.spaces.Discrete(2)
    clock = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros(1), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        _Drifting.clock += 1
        return np.full(1, float(_Drifting.clock)), 1.0, False, False, {}


def test_episodes_of_an_environment_with_randomness_of_its_own_are_lost_where_it_moves() -> None:
    gymnasium.register("Drifting-v0", _Drifting, max_episode_steps=25)
    try:
        plan = _make_plan(spec=GymnasiumSpec("Drifting-v0"), agent=MLPConfig(hidden=(4,)))
        weights = initial_weights(plan.agent, plan.spec, stream(0, "update"))
        here, there = RolloutWorker(plan), RolloutWorker(plan)
        first, shard = here.rollout(weights, Shard(0), 0)
        second, shard = here.rollout(weights, shard, 1)
        moved, shard = there.rollout(weights, shard, 2)
        last, _ = there.rollout(weights, shard, 3)
    finally:
        del gymnasium.registry["Drifting-v0"]
    assert [fragment.lost for fragment in (first, second, moved, last)] == [0, 0, 3, 0]
    assert moved.transitions is not None
    assert moved.transitions.episode_start[0].all()
    assert not moved.transitions.episode_start[1:].any()
    # The new episodes begin with returns of their own: 25 steps after the move they end by their limit.
    assert len(last.episodes.reward) == 0
    assert shard.state["episode_reward"].tolist() == [10.0] * 3
