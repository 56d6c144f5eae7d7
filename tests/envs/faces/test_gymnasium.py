"""The gymnasium faces: one swimmer, and many that equal as many single ones."""

import copy
import pickle
import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

import wormwood.envs
from wormwood.envs.bodies import swimmer
from wormwood.envs.faces.common import SeededSimulation
from wormwood.envs.faces.gymnasium import SwimmerEnv
from wormwood.envs.faces.registration import register_environments
from wormwood.envs.faces.vector import SwimmerVectorEnv
from wormwood.envs.randomness import evaluation_streams, training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import Navigate, Swim
from wormwood.errors import BadInput

Floats = NDArray[np.float64]


def _zeros(environment: Any) -> NDArray[np.float32]:
    return np.zeros(environment.action_space.shape, dtype=np.float32)


def _make_unstable(simulation: SeededSimulation, row: int) -> None:
    """Give one swimmer a velocity that MuJoCo gives up on."""
    state = simulation.simulation.state()
    physics = np.asarray(state["physics"], dtype=np.float64)
    velocities = 1 + 3 + len(simulation.body.free_joints)  # behind time and positions
    physics[row, velocities : velocities + 3] = 1e12
    simulation.simulation.restore({**state, "physics": physics})


# --- names ---


@pytest.mark.parametrize(
    ("name", "task", "body", "size"),
    [
        ("Swim2-v0", "swim", "swimmer-2", 1 + 6 + 1),
        ("Swim6-v0", "swim", "swimmer-6", 5 + 18 + 1),
        ("SwimSpeed6-v0", "swim-speed", "swimmer-6", 5 + 1 + 18 + 1),
        ("Navigate25-v0", "navigate", "swimmer-25", 24 + 2 + 75 + 1),
        ("GymnasiumSwimmer-v0", "gymnasium-forward", "gymnasium-swimmer", 8),
    ],
)
def test_gymnasium_makes_it_by_name(name: str, task: str, body: str, size: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # gymnasium's passive checker warns
        environment = gymnasium.make(f"wormwood.envs:{name}")
        observation, _ = environment.reset(seed=0)
        environment.step(environment.action_space.sample())
    base = environment.unwrapped
    assert isinstance(base, SwimmerEnv)
    assert (base.task.name, base.body.name) == (task, body)
    assert observation.shape == (size,)
    assert environment.action_space.shape == (base.body.joints,)


def test_every_name_is_registered_once() -> None:
    ours = [spec for spec in gymnasium.registry.values() if "wormwood" in str(spec.entry_point)]
    assert len(ours) == 3 * 24 + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        register_environments()
    assert wormwood.envs.__doc__


def test_arguments_reach_the_environment() -> None:
    for body in (swimmer(4, viscosity=0.1), "viscous"):
        base = gymnasium.make("wormwood.envs:Swim6-v0", body=body, horizon=7).unwrapped
        assert isinstance(base, SwimmerEnv)
        assert base.body.viscosity == 0.1
        assert base.task.horizon == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"body": "swimer-6"}, "nearest: 'swimmer-6'"),
        ({"body": "swimmer-1"}, "at least 2"),
        ({"body": 6}, "body in environment: expected a Body, its name or its file, got 6"),
        ({"task": "swimm"}, "nearest: 'swim'"),
        ({"task": 5}, "a name or a Task"),
        ({"horizon": 0}, "horizon"),
        ({"horizon": 10.0}, "horizon"),
        ({"horizon": 10, "task": Swim()}, "horizon"),
        ({"render_mode": "human"}, "render_mode"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    for make in (SwimmerEnv, SwimmerVectorEnv):
        with pytest.raises(BadInput, match=words):
            make(**arguments)


# --- one swimmer ---


@pytest.mark.parametrize("name", ["Swim6-v0", "SwimSpeed3-v0", "Navigate4-v0", "GymnasiumSwimmer-v0"])
def test_gymnasium_finds_no_fault(name: str) -> None:
    environment = gymnasium.make(f"wormwood.envs:{name}", render_mode="rgb_array")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(environment.unwrapped, skip_render_check=True)
    # It recommends bounds, which joints and velocities have none of.
    faults = [str(warning.message) for warning in caught if "infinity" not in str(warning.message)]
    assert faults == []


def test_an_episode_is_the_one_of_its_seed() -> None:
    environment = SwimmerEnv("navigate", "swimmer-5", horizon=6)
    simulation = Simulation(swimmer(5), Navigate(horizon=6), 1, streams=training_streams(11))
    observation, info = environment.reset(seed=11)
    expected = simulation.reset()
    assert info == {}
    np.testing.assert_array_equal(observation, expected[0])
    assert observation.dtype == np.float64
    rng = np.random.default_rng(0)
    for episode in range(3):
        for t in range(1, 7):
            action = rng.uniform(-1, 1, 4).astype(np.float32)
            observation, reward, terminated, truncated, info = environment.step(action)
            step = simulation.step(action[None])
            np.testing.assert_array_equal(observation, step.final_observation[0])
            assert (reward, terminated, truncated) == (step.reward[0], False, t == 6)
            assert info == {"speed": step.speed[0]} | ({"ended_by": "time limit"} if t == 6 else {})
            assert environment.observation_space.contains(observation)
        observation, _ = environment.reset()
        np.testing.assert_array_equal(observation, step.observation[0], err_msg=f"after episode {episode}")


def test_reset_starts_the_next_episode_and_a_seed_the_first() -> None:
    environment = SwimmerEnv(horizon=2)
    starts = [environment.reset(seed=3)[0], environment.reset()[0], environment.reset()[0]]
    again = [environment.reset(seed=3)[0]]
    for _ in range(2):  # by playing to the end
        environment.step(_zeros(environment))
        environment.step(_zeros(environment))
        again.append(environment.reset()[0])
    np.testing.assert_array_equal(starts, again)
    environment.step(_zeros(environment))  # from the middle
    environment.reset(seed=3)
    environment.step(_zeros(environment))
    np.testing.assert_array_equal(environment.reset()[0], starts[1])
    assert not np.array_equal(starts[0], starts[1])


def test_environments_without_a_seed_differ() -> None:
    assert not np.array_equal(SwimmerEnv().reset()[0], SwimmerEnv().reset()[0])


def test_it_does_not_go_on_by_itself() -> None:
    environment = SwimmerEnv(horizon=1)
    with pytest.raises(ResetNeeded):
        environment.step(_zeros(environment))
    environment.reset(seed=0)
    environment.step(_zeros(environment))
    with pytest.raises(ResetNeeded):
        environment.step(_zeros(environment))


def test_instability_terminates() -> None:
    environment = SwimmerEnv()
    first, _ = environment.reset(seed=0)
    _make_unstable(environment._simulation, 0)
    last = environment._simulation.simulation.observation[0].copy()
    observation, reward, terminated, truncated, info = environment.step(_zeros(environment))
    assert (reward, terminated, truncated) == (0.0, True, False)
    assert info == {"speed": 0.0, "ended_by": "unstable simulation"}
    np.testing.assert_array_equal(observation, last)
    assert not np.array_equal(environment.reset()[0], first)


@pytest.mark.parametrize("action", [np.zeros(4), np.zeros((1, 5)), 0.0, np.full(5, np.nan), ["a"] * 5, [True] * 5])
def test_a_wrong_action_is_refused(action: Any) -> None:
    environment = SwimmerEnv()
    environment.reset(seed=0)
    with pytest.raises(BadInput, match="action"):
        environment.step(action)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "0", True])
def test_a_wrong_seed_is_refused(seed: Any) -> None:
    with pytest.raises(BadInput, match="seed"):
        SwimmerEnv().reset(seed=seed)


def test_observations_belong_to_the_caller() -> None:
    environment, other = SwimmerEnv(), SwimmerEnv()
    first = environment.reset(seed=0)[0]
    assert not np.shares_memory(first, environment._simulation.simulation.observation)
    first[:] = np.nan
    other.reset(seed=0)
    for _ in range(3):
        ours, theirs = environment.step(_zeros(environment))[0], other.step(_zeros(other))[0]
        np.testing.assert_array_equal(ours, theirs)
        ours[:] = np.nan


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda environment: pickle.loads(pickle.dumps(environment))])
def test_a_copy_goes_on_to_the_bit(duplicate: Any) -> None:
    environment = SwimmerEnv(body=swimmer(4, sensor_noise=0.1, sensor_delay=2), horizon=8)
    assert duplicate(environment).reset(seed=1)[0].shape == (16,)
    environment.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(4):
        environment.step(rng.uniform(-1, 1, 3).astype(np.float32))
    other = duplicate(environment)
    for t in range(4):
        action = rng.uniform(-1, 1, 3).astype(np.float32)
        one, two = environment.step(action), other.step(action)
        np.testing.assert_array_equal(one[0], two[0])
        assert one[1:] == two[1:]
        assert one[3] == (t == 3)
    np.testing.assert_array_equal(environment.reset()[0], duplicate(other).reset()[0])


def test_render_gives_a_picture() -> None:
    environment = SwimmerEnv("navigate", horizon=2, render_mode="rgb_array")
    environment.reset(seed=0)
    first = environment.render()
    assert first is not None
    assert first.dtype == np.uint8
    assert first.ndim == 3
    for _ in range(2):
        environment.step(_zeros(environment))
        picture = environment.render()
        assert picture is not None
        assert picture.shape == first.shape
    environment.reset()
    assert not np.array_equal(environment.render(), picture)
    assert SwimmerEnv().render() is None


# --- many swimmers ---


def _make_pair(seeds: int = 4, task: str = "navigate", **arguments: Any) -> tuple[SwimmerVectorEnv, SyncVectorEnv]:
    ours = SwimmerVectorEnv(seeds, task, **arguments)
    singles = [lambda: SwimmerEnv(task, **arguments)] * seeds
    return ours, SyncVectorEnv(singles, autoreset_mode=AutoresetMode.SAME_STEP)


def _assert_same(one: Any, two: Any) -> None:
    """Compare what a step returned, dictionaries and arrays of objects included."""
    assert type(one) is type(two)
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        for key in one:
            _assert_same(one[key], two[key])
    elif isinstance(one, tuple) or (isinstance(one, np.ndarray) and one.dtype == object):
        assert len(one) == len(two)
        for left, right in zip(one, two, strict=True):
            _assert_same(left, right)
    else:
        if isinstance(one, np.ndarray):
            assert one.dtype == two.dtype
        np.testing.assert_array_equal(one, two)


def test_gymnasium_makes_many_by_name() -> None:
    environments = gymnasium.make_vec(
        "wormwood.envs:Swim6-v0", num_envs=8, vectorization_mode="vector_entry_point", body="swimmer-4", horizon=5
    )
    assert isinstance(environments, SwimmerVectorEnv)
    assert environments.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert environments.spec is not None
    observation, _ = environments.reset(seed=0)
    assert observation.shape == (8, 16) == environments.observation_space.shape
    assert environments.action_space.shape == (8, 3)
    assert environments.observation_space.contains(observation)
    environments.close()


@pytest.mark.parametrize("task", ["swim", "navigate", "gymnasium-forward"])
def test_many_equal_as_many_single_ones_to_the_bit(task: str) -> None:
    ours, theirs = _make_pair(task=task, horizon=5, body=swimmer(4, sensor_noise=0.1))
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.action_space == theirs.action_space
    _assert_same(ours.reset(seed=3), theirs.reset(seed=3))
    ours.action_space.seed(0)
    for _ in range(12):
        actions = ours.action_space.sample()
        _assert_same(ours.step(actions), theirs.step(actions))
    _assert_same(ours.reset(), theirs.reset())
    mask = np.array([True, False, True, False])
    for t in range(12):
        actions = ours.action_space.sample()
        _assert_same(ours.step(actions), theirs.step(actions))
        if t == 3:  # so that not all end in the same step
            _assert_same(ours.reset(options={"reset_mask": mask}), theirs.reset(options={"reset_mask": mask.copy()}))
    _assert_same(ours.reset(seed=[5, None, 7, None]), theirs.reset(seed=[5, None, 7, None]))
    _assert_same(ours.step(actions), theirs.step(actions))


def test_instability_has_the_same_infos() -> None:
    ours, theirs = _make_pair()
    ours.reset(seed=0)
    theirs.reset(seed=0)
    _make_unstable(ours._simulation, 2)
    single = theirs.envs[2]
    assert isinstance(single, SwimmerEnv)
    _make_unstable(single._simulation, 0)
    one, two = ours.step(_zeros(ours)), theirs.step(_zeros(theirs))
    _assert_same(one, two)
    assert one[2].tolist() == [False, False, True, False]
    assert one[4]["final_info"]["ended_by"].tolist() == [None, None, "unstable simulation", None]


def test_streams_can_be_chosen() -> None:
    environments = SwimmerVectorEnv(3, body="swimmer-4", streams=evaluation_streams(5))
    expected = Simulation(swimmer(4), Swim(), 3, streams=evaluation_streams(5)).reset()
    np.testing.assert_array_equal(environments.reset()[0], expected)


@pytest.mark.parametrize(
    "arguments",
    [
        {"seed": [1, 2]},
        {"seed": -1},
        {"options": {"reset_mask": [True, False]}},
        {"options": {"reset_mask": np.zeros(3, dtype=bool)}},
        {"options": {"reset_mask": np.ones(3)}},
    ],
)
def test_a_wrong_reset_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        SwimmerVectorEnv(3).reset(**arguments)


@pytest.mark.parametrize("arguments", [{"num_envs": 0}, {"num_envs": 2.0}, {"threads": 0}])
def test_a_wrong_number_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        SwimmerVectorEnv(**arguments)


def test_many_render_a_picture_each() -> None:
    environments = SwimmerVectorEnv(2, render_mode="rgb_array")
    environments.reset(seed=0)
    pictures = environments.render()
    assert pictures is not None
    assert [picture.dtype for picture in pictures] == [np.uint8] * 2
    assert SwimmerVectorEnv(2).render() is None
