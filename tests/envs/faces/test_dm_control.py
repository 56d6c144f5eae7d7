"""The dm_control face: dm_control's own environment and engine, with the numbers of every other face."""

from collections import OrderedDict
from typing import Any

import dm_env
import numpy as np
import pytest
from dm_control.rl import control
from dm_control.suite import swimmer as dm_swimmer

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, swimmer
from wormwood.envs.faces.dm_control import load_environment
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.task_table import task_from_name
from wormwood.errors import BadInput


def _flat(observation: OrderedDict[str, Any]) -> Any:
    return np.concatenate([*observation.values()])


CASES = [
    (swimmer(6), "swim"),
    (swimmer(6), "navigate"),
    (swimmer(3), "swim-speed"),
    (swimmer(6, sensor_noise=0.1, sensor_delay=3), "swim"),
    (swimmer(6, lesioned=[0], locked=[2], sensor_delay=1), "navigate"),
    (swimmer(3, locked=[0, 1]), "swim"),
    (GYMNASIUM_SWIMMER, "gymnasium-forward"),
    (GYMNASIUM_SWIMMER, "swim"),
]


@pytest.mark.parametrize(("body", "task"), CASES)
def test_observations_and_rewards_are_the_simulations_to_the_bit(body: Body, task: str) -> None:
    environment = load_environment(body, task, seed=9, horizon=90)
    simulation = Simulation(body, task_from_name(task, options={"horizon": 90}), 2, streams=training_streams(9))
    time_step, observation = environment.reset(), simulation.reset()
    rng, bent = np.random.default_rng(0), 0.0
    for t in range(200):
        np.testing.assert_array_equal(_flat(time_step.observation), observation[0])
        action = np.sign(np.sin(t / 15 + np.arange(body.joints))) * rng.uniform(0.8, 1.0, body.joints)
        time_step = environment.step(action)
        step = simulation.step(np.stack([action, action]))
        np.testing.assert_array_equal(_flat(time_step.observation), step.final_observation[0])
        assert time_step.reward == step.reward[0]
        assert time_step.last() == bool(step.done[0])
        observation = step.observation
        bent = max(bent, float((np.abs(simulation.physics.readings.joint_angles[0]) / body.joint_limit).max()))
        if time_step.last():
            assert time_step.discount == 1.0, "an episode that is cut off is not a failure"
            time_step = environment.step(action)  # dm_control resets here
            assert time_step.first()
    assert bent > 1 or not body.free_joints or body is GYMNASIUM_SWIMMER, "joints must pass their limits"


def test_it_is_dm_controls_environment() -> None:
    environment = load_environment("swimmer-6", "navigate", seed=0)
    theirs = dm_swimmer.swimmer6(random=0)
    assert isinstance(environment, control.Environment)
    assert isinstance(environment, dm_env.Environment)
    assert environment.control_timestep() == theirs.control_timestep() == 0.03
    assert environment.action_spec().shape == theirs.action_spec().shape == (5,)
    specification = environment.observation_spec()  # before the first reset, as in dm_control
    assert {name: array.shape for name, array in specification.items()} == {
        "joints": (5,),
        "command": (2,),
        "velocities": (18,),
        "clock": (1,),
    }
    for name, value in environment.reset().observation.items():
        specification[name].validate(value)
    environment.action_spec().validate(np.zeros(5))


def test_gymnasiums_observation_has_a_heading_and_no_clock() -> None:
    environment = load_environment(GYMNASIUM_SWIMMER, "gymnasium-forward")
    assert list(environment.observation_spec()) == ["heading", "joints", "velocities"]


def test_a_locked_joint_keeps_its_place() -> None:
    environment = load_environment(swimmer(4, locked=[1]), seed=0)
    assert environment.action_spec().shape == (3,)
    assert environment.reset().observation["joints"][1] == 0.0


def test_an_unstable_simulation_ends_the_episode_with_discount_0() -> None:
    environment = load_environment("swimmer-4", seed=0)
    environment.reset()
    last = environment.step(np.zeros(3))
    environment.physics.data.qvel[:] = 1e12
    time_step = environment.step(np.zeros(3))
    assert time_step.last()
    assert (time_step.reward, time_step.discount) == (0.0, 0.0)
    np.testing.assert_array_equal(_flat(time_step.observation), _flat(last.observation))
    again = load_environment("swimmer-4", seed=0)
    again.reset()
    np.testing.assert_array_equal(_flat(environment.reset().observation), _flat(again.reset().observation))
    assert not environment.step(np.zeros(3)).last()


def test_arguments_reach_dm_controls_environment() -> None:
    environment = load_environment("swimmer-3", environment_kwargs={"flat_observation": True})
    assert environment.reset().observation["observations"].shape == (12,)


def test_without_a_seed_episodes_differ() -> None:
    one, two = load_environment().reset(), load_environment().reset()
    assert not np.array_equal(one.observation["joints"], two.observation["joints"])


@pytest.mark.parametrize(
    "arguments", [{"body": "swimer-6"}, {"task": "swimm"}, {"seed": -1}, {"seed": "0"}, {"horizon": 0}]
)
def test_bad_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        load_environment(**arguments)


@pytest.mark.parametrize("action", [np.zeros(4), np.full(3, np.nan)])
def test_a_wrong_action_is_refused(action: Any) -> None:
    environment = load_environment("swimmer-4", seed=0)
    environment.reset()
    with pytest.raises(BadInput, match="action"):
        environment.step(action)
