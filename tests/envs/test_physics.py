"""Physics: the same bits as dm_control's swimmer and gymnasium's Swimmer-v5."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import pytest
from dm_control.suite import swimmer as dm_swimmer
from numpy.typing import NDArray

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, swimmer
from wormwood.envs.physics import Physics
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim

Floats = NDArray[np.float64]


def _bang_bang(rng: np.random.Generator, step: int, joints: int) -> Floats:
    """Full torque that turns now slowly, so that joints reach their limits, now at every step."""
    if (step // 20) % 2:
        return np.sign(rng.uniform(-1.0, 1.0, joints))
    return np.sign(np.sin(step / 40 + np.arange(joints)) + 1e-9)


def _placed(body: Body, count: int, seed: int = 0) -> Physics:
    rng = np.random.default_rng(seed)
    physics = Physics(body, count)
    limits = np.array(body.joint_limit)
    joints = rng.uniform(-limits, limits, (count, body.joints))
    physics.place(np.arange(count), rng.uniform(-1, 1, (count, 3)), joints, np.zeros((count, 3 + body.joints)))
    return physics


@pytest.mark.parametrize("links", [3, 6, 10, 15])
def test_a_thousand_control_steps_equal_dm_controls_to_the_bit(links: int) -> None:
    reference = dm_swimmer.swimmer(links, random=1, time_limit=1000)
    first = reference.reset()
    start = reference.physics.data.qpos.copy()
    physics = Physics(swimmer(links), 3)
    rows = np.arange(3)
    physics.place(rows, np.tile(start[:3], (3, 1)), np.tile(start[3:], (3, 1)), np.zeros((3, 2 + links)))
    target = np.tile(reference.physics.named.model.geom_pos["target"][:2], (3, 1))
    steps, rng, beyond_limit = np.zeros(3, dtype=np.int64), np.random.default_rng(0), 0
    navigate, swim, timestep = Navigate(), Swim(), 0.03
    np.testing.assert_array_equal(physics.readings.link_velocities[0], first.observation["body_velocities"])
    for t in range(1000):
        action = _bang_bang(rng, t, links - 1)
        expected = reference.step(action)
        assert not physics.step(np.tile(action, (3, 1))).any()
        readings = physics.readings
        observed = navigate.observe(readings, readings.joint_angles, target, steps)
        head_velocity = reference.physics.named.data.sensordata["head_vel"]
        for row in rows:
            assert np.array_equal(physics.positions[row], reference.physics.data.qpos), t
            assert np.array_equal(readings.joint_angles[row], expected.observation["joints"]), t
            assert np.array_equal(readings.link_velocities[row], expected.observation["body_velocities"]), t
            assert np.array_equal(observed[row, links - 1 : links + 1], expected.observation["to_target"]), t
        assert (navigate.reward(readings, target, np.tile(action, (3, 1)), timestep) == expected.reward).all(), t
        swum = np.clip(-head_velocity[1] / 0.1, 0.0, 1.0)
        assert (swim.reward(readings, target[:, :0], np.tile(action, (3, 1)), timestep) == swum).all(), t
        beyond_limit += int((np.abs(readings.joint_angles[0]) > 2 * np.pi / links).any())
    assert beyond_limit > 100, "the test must exercise the joint limits"


def test_a_start_beyond_the_limits_equals_dm_controls_to_the_bit() -> None:
    # Here the solver has work in the first step already.
    reference = dm_swimmer.swimmer(6, random=1)
    reference.reset()
    start = np.array([0.1, -0.2, 0.3, 1.3, -1.2, 1.1, -1.25, 1.4])
    with reference.physics.reset_context():
        reference.physics.data.qpos[:] = start
    physics = Physics(swimmer(6), 1)
    physics.place(np.arange(1), start[None, :3], start[None, 3:], np.zeros((1, 8)))
    for t in range(50):
        observation = reference.step(np.ones(5)).observation
        physics.step(np.ones((1, 5)))
        assert np.array_equal(physics.readings.joint_angles[0], observation["joints"]), t
        assert np.array_equal(physics.readings.link_velocities[0], observation["body_velocities"]), t


def test_a_thousand_steps_equal_gymnasiums_swimmer_to_the_bit() -> None:
    reference: Any = gymnasium.make("Swimmer-v5").unwrapped
    first, _ = reference.reset(seed=3)
    start, speed = reference.data.qpos.copy(), reference.data.qvel.copy()
    physics, task = Physics(GYMNASIUM_SWIMMER, 2), GymnasiumForward()
    physics.place(np.arange(2), np.tile(start[:3], (2, 1)), np.tile(start[3:], (2, 1)), np.tile(speed, (2, 1)))
    rng, none, steps = np.random.default_rng(0), np.zeros((2, 0)), np.zeros(2, dtype=np.int64)
    beyond_limit = 0
    assert np.array_equal(task.observe(physics.readings, physics.readings.joint_angles, none, steps)[1], first)
    for t in range(1000):
        # Beyond the motors' range too: it is the action as given that costs.
        action = (1.2 * _bang_bang(rng, t, 2) * rng.uniform(0.5, 1.0, 2)).astype(np.float32)
        observation, reward, *_ = reference.step(action)
        physics.step(np.tile(action, (2, 1)))
        observed = task.observe(physics.readings, physics.readings.joint_angles, none, steps)
        assert np.array_equal(observed[1], observation), t
        assert task.reward(physics.readings, none, np.tile(action, (2, 1)), 0.04)[1] == reward, t
        beyond_limit += int((np.abs(observed[0, 1:3]) > np.deg2rad(100)).any())
    assert beyond_limit > 50, "the test must exercise the joint limits"


@pytest.mark.parametrize("body", [swimmer(6), swimmer(5, locked=[1]), GYMNASIUM_SWIMMER])
def test_a_restored_state_goes_on_to_the_bit(body: Body) -> None:
    physics, other = _placed(body, 4), Physics(body, 4)
    rng = np.random.default_rng(1)
    for t in range(100):
        physics.step(np.tile(_bang_bang(rng, t, body.joints), (4, 1)))
    other.restore(physics.state)
    for field in dataclasses.fields(physics.readings):
        if field.name != "previous_root":
            np.testing.assert_array_equal(getattr(other.readings, field.name), getattr(physics.readings, field.name))
    beyond_limit = False
    for t in range(100, 300):
        action = np.tile(_bang_bang(rng, t, body.joints), (4, 1))
        physics.step(action)
        other.step(action)
        assert np.array_equal(physics.state, other.state), t
        assert np.array_equal(physics.readings.link_velocities, other.readings.link_velocities), t
        beyond_limit |= bool((np.abs(physics.readings.joint_angles) > body.joint_limit).any())
    assert beyond_limit, "the solver's warm start matters only at joint limits"


def test_a_state_of_another_body_is_refused() -> None:
    with pytest.raises(ValueError, match="swimmer-6 needs"):
        Physics(swimmer(6), 2).restore(Physics(swimmer(5), 2).state)


def test_two_threads_give_the_bits_of_one() -> None:
    one, two = _placed(swimmer(6), 16), Physics(swimmer(6), 16, threads=2)
    two.restore(one.state)
    rng = np.random.default_rng(2)
    for _ in range(200):
        action = np.sign(rng.uniform(-1, 1, (16, 5)))
        one.step(action)
        two.step(action)
    np.testing.assert_array_equal(one.state, two.state)


def test_a_locked_joint_reads_zero_and_ignores_its_action() -> None:
    free, deaf = _placed(swimmer(5, locked=[0, 2]), 2), _placed(swimmer(5, locked=[0, 2]), 2)
    rng = np.random.default_rng(3)
    for _ in range(50):
        action = rng.uniform(-1, 1, (2, 4))
        free.step(action)
        deaf.step(action * [0.0, 1.0, -1.0, 1.0])
    assert (free.readings.joint_angles[:, [0, 2]] == 0).all()
    assert (free.readings.joint_velocities[:, [0, 2]] == 0).all()
    assert (free.readings.joint_angles[:, [1, 3]] != 0).all()
    np.testing.assert_array_equal(free.positions, deaf.positions)


def test_a_body_with_every_joint_locked_is_a_stick() -> None:
    stick = _placed(swimmer(3, locked=[0, 1]), 1)
    before = stick.positions
    assert stick.step(np.ones((1, 2))).tolist() == [False]
    np.testing.assert_array_equal(stick.positions, before)


def test_a_lesioned_joint_gets_no_torque_but_bends() -> None:
    lesioned = _placed(swimmer(4, lesioned=[1]), 1)
    still = _placed(swimmer(4), 1)
    rng = np.random.default_rng(4)
    for _ in range(50):
        action = rng.uniform(-1, 1, (1, 3))
        lesioned.step(action)
        still.step(action * [1.0, 0.0, 1.0])
    np.testing.assert_array_equal(lesioned.positions, still.positions)
    assert lesioned.readings.joint_angles[0, 1] != _placed(swimmer(4), 1).readings.joint_angles[0, 1]


def test_placing_some_swimmers_leaves_the_others_alone() -> None:
    physics = _placed(swimmer(4), 3)
    for _ in range(5):
        physics.step(np.ones((3, 3)))
    before = physics.state
    readings = physics.readings.link_velocities.copy()
    physics.place(np.array([1]), np.ones((1, 3)), np.full((1, 3), 0.1), np.zeros((1, 6)))
    np.testing.assert_array_equal(physics.state[[0, 2]], before[[0, 2]])
    np.testing.assert_array_equal(physics.readings.link_velocities[[0, 2]], readings[[0, 2]])
    assert physics.positions[1].tolist() == [1.0, 1.0, 1.0, 0.1, 0.1, 0.1]
    assert (physics.readings.link_velocities[1] == 0).all()


@pytest.mark.parametrize("place", [True, False])
def test_a_divergence_is_told_each_time_and_once(place: bool) -> None:
    physics = _placed(swimmer(4), 3)
    for _ in range(3):
        state = physics.state
        state[1, 1 + 6 : 1 + 12] = 1e12  # time, positions, then velocities
        physics.restore(state)
        assert physics.step(np.zeros((3, 3))).tolist() == [False, True, False]
        if place:
            physics.place(np.array([1]), np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 6)))
        assert physics.step(np.zeros((3, 3))).tolist() == [False, False, False]
