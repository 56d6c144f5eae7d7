"""The Stable-Baselines3 face: the same numbers as SB3's own vector of single swimmers."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from wormwood.envs.bodies import swimmer
from wormwood.envs.faces.gymnasium import SwimmerEnv
from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv, make_swimmers
from wormwood.envs.randomness import shifted_streams, training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput


def _make_pair(count: int = 3, task: str = "swim", **arguments: Any) -> tuple[SwimmerVecEnv, DummyVecEnv]:
    body = arguments.pop("body", "swimmer-4")
    singles = [lambda: Monitor(SwimmerEnv(task, body, **arguments))] * count
    return SwimmerVecEnv(body, count, task=task, seed=7, **arguments), _seeded(DummyVecEnv(singles), 7)


def _seeded(environments: DummyVecEnv, seed: int) -> DummyVecEnv:
    environments.seed(seed)
    return environments


def _assert_same_infos(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    for one, two in zip(ours, theirs, strict=True):
        assert one.keys() == two.keys()
        np.testing.assert_array_equal(one.pop("terminal_observation", 0), two.pop("terminal_observation", 0))
        if "episode" in one:
            assert one.pop("episode").pop("t") >= 0
            two.pop("episode")
        assert one == two


def test_sb3_finds_no_fault_with_a_single_swimmer() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(SwimmerEnv(render_mode="rgb_array"), skip_render_check=True)
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.parametrize("task", ["swim", "navigate", "gymnasium-forward"])
def test_many_equal_sb3s_own_vector_of_single_ones_to_the_bit(task: str) -> None:
    ours, theirs = _make_pair(task=task, horizon=5, body=swimmer(4, sensor_noise=0.1, sensor_delay=1))
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    rng, ends = np.random.default_rng(0), 0
    for t in range(23):
        actions = rng.uniform(-1, 1, (3, 3)).astype(np.float32)
        one, two = ours.step(actions), theirs.step(actions)
        for left, right in zip(one[:3], two[:3], strict=True):
            assert isinstance(right, np.ndarray)
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        for left_info, right_info in zip(one[3], two[3], strict=True):
            if "episode" in left_info:
                ends += 1
                assert left_info["episode"]["l"] == right_info["episode"]["l"] == 5
                assert left_info["episode"]["r"] == pytest.approx(right_info["episode"]["r"], abs=2e-6)
                assert left_info["TimeLimit.truncated"]
                assert left_info["ended_by"] == "time limit"
        _assert_same_infos(one[3], two[3])
        if t == 12:  # SB3 resets once at the start of `learn`, whatever stands
            np.testing.assert_array_equal(ours.reset(), theirs.reset())
    assert ends == 3 * 4


def test_ppo_learns_the_same_on_both() -> None:
    parameters, rewards = [], []
    for environments in _make_pair(horizon=20):
        model = PPO("MlpPolicy", environments, n_steps=32, batch_size=48, n_epochs=2, seed=0, device="cpu")
        model.learn(2 * 3 * 32)
        parameters.append(model.policy.parameters_to_vector())
        rewards.append([episode["r"] for episode in model.ep_info_buffer or []])
    np.testing.assert_array_equal(*parameters)
    assert len(rewards[0]) == 9  # 64 steps of 3 environments hold 3 episodes of 20 each
    np.testing.assert_allclose(*rewards, atol=2e-6)


def test_ppo_learns_in_one_line() -> None:
    model = PPO("MlpPolicy", make_swimmers("swimmer-6", 8), n_steps=16, batch_size=64, n_epochs=1, device="cpu")
    model.learn(8 * 16)
    assert model.num_timesteps == 8 * 16


def test_sb3_evaluates_without_a_warning() -> None:
    environments = SwimmerVecEnv("swimmer-3", 2, seed=0, horizon=10)
    model = PPO("MlpPolicy", environments, n_steps=16, batch_size=32, seed=0, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        returns, lengths = evaluate_policy(model, environments, n_eval_episodes=4, return_episode_rewards=True)
    assert isinstance(lengths, list)
    assert lengths == [10] * 4
    assert isinstance(returns, list)
    assert len(set(returns)) > 1


def test_instability_is_no_time_limit() -> None:
    environments = make_swimmers("swimmer-4", 2)
    environments.reset()
    simulation = environments._simulation.simulation
    state = simulation.state()
    physics = np.asarray(state["physics"], dtype=np.float64)
    physics[1, 7:13] = 1e12
    simulation.restore({**state, "physics": physics})
    _, rewards, dones, infos = environments.step(np.zeros((2, 3), dtype=np.float32))
    assert dones.tolist() == [False, True]
    assert rewards[1] == 0.0
    assert infos[1]["ended_by"] == "unstable simulation"
    assert not infos[1]["TimeLimit.truncated"]
    assert infos[1]["episode"]["l"] == 1
    assert np.isfinite(infos[1]["terminal_observation"]).all()


def test_attributes_and_methods_of_each_environment() -> None:
    environments: VecEnv = SwimmerVecEnv("swimmer-4", 3, task="navigate", seed=0)
    environments.reset()
    environments.step(np.zeros((3, 3), dtype=np.float32))
    assert environments.get_attr("steps") == [1, 1, 1]
    assert [goal.shape for goal in environments.get_attr("goal", [0, 2])] == [(2,), (2,)]
    assert environments.get_attr("body", 1) == [swimmer(4)]
    assert environments.get_attr("task")[0].name == "navigate"
    assert environments.get_attr("render_mode") == [None] * 3
    environments.set_attr("render_mode", "rgb_array", indices=2)
    assert environments.get_attr("render_mode") == [None, None, "rgb_array"]
    assert environments.env_method("render", indices=[0, 1]) == [None, None]
    assert environments.env_is_wrapped(Monitor) == [True] * 3
    assert environments.env_is_wrapped(TimeLimit, [0]) == [False]
    assert environments.unwrapped is environments
    for name in ("body", "task", "steps", "goal", "viscosity"):
        with pytest.raises(BadInput, match=f"attribute in set_attr of swimmers: expected render_mode.* got '{name}'"):
            environments.set_attr(name, None)
    with pytest.raises(AttributeError):
        environments.env_method("step", np.zeros(3))
    environments.close()


def test_options_that_would_do_nothing_are_refused() -> None:
    environments = SwimmerVecEnv("swimmer-4", 2, seed=5)
    environments.set_options({"viscosity": 0.7})
    with pytest.raises(BadInput, match="options in reset: expected none, got 'viscosity'"):
        environments.reset()


def test_seeds_are_taken_at_the_next_reset_and_only_once() -> None:
    environments = SwimmerVecEnv("swimmer-4", 2, seed=5)
    first = environments.reset()
    second = environments.reset()
    assert environments.seed(5) == [5, 6]
    np.testing.assert_array_equal(environments.reset(), first)
    np.testing.assert_array_equal(environments.reset(), second)
    alone = SwimmerVecEnv("swimmer-4", 1, seed=6)
    np.testing.assert_array_equal(alone.reset()[0], first[1])
    assert not np.array_equal(SwimmerVecEnv().reset(), SwimmerVecEnv().reset())


def test_streams_can_be_chosen() -> None:
    environments = SwimmerVecEnv("swimmer-4", 3, streams=training_streams(2))
    expected = Simulation(swimmer(4), Swim(), 3, streams=training_streams(2)).reset()
    np.testing.assert_array_equal(environments.reset(), expected)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda environments: pickle.loads(pickle.dumps(environments))])
def test_a_copy_goes_on_to_the_bit(duplicate: Any) -> None:
    environments = SwimmerVecEnv("swimmer-4", 2, seed=5, horizon=4)
    environments.reset()
    environments.step(np.ones((2, 3), dtype=np.float32))
    other = duplicate(environments)
    for _ in range(6):
        one, two = environments.step(np.ones((2, 3))), other.step(np.ones((2, 3)))
        for left, right in zip(one[:3], two[:3], strict=True):
            np.testing.assert_array_equal(left, right)
    assert other.get_attr("steps") == environments.get_attr("steps") == [3, 3]


def test_sb3s_own_wrappers_work() -> None:
    environments = VecNormalize(make_swimmers("swimmer-3", 2))
    assert np.isfinite(environments.reset()).all()
    assert environments.get_attr("steps") == [0, 0]


def test_pictures_are_tiled() -> None:
    environments = SwimmerVecEnv("swimmer-3", 2, seed=0, render_mode="rgb_array")
    environments.reset()
    pictures = environments.get_images()
    tiled = environments.render()
    assert pictures[0] is not None
    assert tiled is not None
    assert tiled.size == 2 * pictures[0].size


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"body": "swimer-6"}, "nearest"),
        ({"count": 0}, "at least 1"),
        ({"task": "swimm"}, "nearest"),
        ({"threads": 0}, "at least 1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        make_swimmers(**{"body": "swimmer-3", "count": 1, **arguments})
    environments = make_swimmers("swimmer-3", 1, seed=-1)
    with pytest.raises(BadInput, match="seed"):
        environments.reset()


def test_the_rows_of_a_state_go_on_elsewhere_to_the_bit() -> None:
    whole = SwimmerVecEnv(swimmer(4, sensor_noise=0.1, sensor_delay=1), 4, seed=None, horizon=5)
    whole.seed(3)
    whole.reset()
    for _ in range(3):
        whole.step(np.full((4, 3), 0.5))
    state = whole.state()
    part = SwimmerVecEnv(whole.body, 2, task=whole.task, streams=shifted_streams(whole.streams, first=2))
    observation = part.restore({name: rows[2:] for name, rows in state.items()})
    np.testing.assert_array_equal(observation, whole._simulation.simulation.observation[2:])
    for _ in range(7):
        one, two = whole.step(np.full((4, 3), 0.5)), part.step(np.full((2, 3), 0.5))
        for left, right in zip(one[:3], two[:3], strict=True):
            np.testing.assert_array_equal(left[2:], right)
        assert [info.get("episode", {}).get("r") for info in one[3][2:]] == [
            info.get("episode", {}).get("r") for info in two[3]
        ]
    assert (part.state()["episodes"] == whole.state()["episodes"][2:]).all()


def test_the_rows_of_unseeded_environments_keep_their_streams() -> None:
    whole = SwimmerVecEnv("swimmer-4", 3, horizon=2)
    whole.reset()
    part = SwimmerVecEnv("swimmer-4", 1, task=whole.task, streams=shifted_streams(whole.streams, first=2))
    part.restore({name: rows[2:] for name, rows in whole.state().items()})
    for _ in range(5):
        np.testing.assert_array_equal(whole.step(np.zeros((3, 3)))[0][2:], part.step(np.zeros((1, 3)))[0])
