"""Tasks: observations, rewards and starts, by hand and against their references."""

import dataclasses

import numpy as np
import pytest
from dm_control.utils import rewards as dm_rewards
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, swimmer
from wormwood.envs.physics import Readings
from wormwood.envs.task_table import TASKS, task_from_name
from wormwood.envs.tasks import (
    GymnasiumForward,
    Navigate,
    Swim,
    SwimAtSpeed,
    Task,
    forward_speed,
    long_tail,
    nose_to_target,
)
from wormwood.errors import BadInput

Floats = NDArray[np.float64]
NO_GOAL = np.zeros((1, 0))


def _make_readings(count: int = 1, links: int = 3, **overrides: Floats) -> Readings:
    values = {
        "joint_angles": np.zeros((count, links - 1)),
        "joint_velocities": np.zeros((count, links - 1)),
        "root": np.zeros((count, 3)),
        "root_velocity": np.zeros((count, 3)),
        "previous_root": np.zeros((count, 3)),
        "link_velocities": np.zeros((count, 3 * links)),
        "nose": np.zeros((count, 3)),
        "head_axes": np.tile(np.eye(3)[:2], (count, 1, 1)),
    }
    return Readings(**{**values, **overrides})


def _at_speed(*speeds: float) -> Readings:
    """Readings of swimmers whose heads move forward at these speeds: forward is -y."""
    velocities = np.zeros((len(speeds), 9))
    velocities[:, 1] = -np.array(speeds)
    return _make_readings(len(speeds), link_velocities=velocities)


def test_swimming_earns_the_forward_speed_of_the_head_up_to_a_tenth() -> None:
    readings = _at_speed(-0.05, 0.0, 0.025, 0.1, 0.3)
    np.testing.assert_allclose(Swim().reward(readings, NO_GOAL, NO_GOAL, 0.03), [0, 0, 0.25, 1, 1])
    np.testing.assert_allclose(forward_speed(readings), [-0.05, 0.0, 0.025, 0.1, 0.3])


def test_swimming_at_a_speed_earns_the_closeness_to_it() -> None:
    readings = _at_speed(0.15, 0.15, 0.15, -0.02)
    command = np.array([[0.15], [0.1], [0.02], [0.0]])
    np.testing.assert_allclose(SwimAtSpeed().reward(readings, command, NO_GOAL, 0.03), [1.0, 0.5, 0.0, 0.8])


def test_navigating_earns_dm_controls_reward() -> None:
    distances = np.concatenate([np.linspace(0.0, 3.0, 301), [0.1]])
    expected = [dm_rewards.tolerance(d, bounds=(0, 0.1), margin=0.5, sigmoid="long_tail") for d in distances.tolist()]
    np.testing.assert_array_equal(long_tail(distances), expected)
    # By hand: at the margin, half a metre beyond the rim, it is 0.1.
    np.testing.assert_allclose(long_tail(np.array([0.05, 0.6])), [1.0, 0.1])
    target = np.array([[0.0, 0.6]])
    np.testing.assert_allclose(Navigate().reward(_make_readings(), target, NO_GOAL, 0.03), [0.1])


def test_the_target_is_seen_from_the_head() -> None:
    # The head's x axis points along world +y, its y axis along world -x: it looks along world +x.
    axes = np.array([[[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]])
    readings = _make_readings(nose=np.array([[1.0, 1.0, 0.05]]), head_axes=axes)
    # Two metres ahead and one to the left.
    np.testing.assert_allclose(nose_to_target(readings, np.array([[3.0, 2.0]])), [[1.0, -2.0]])


def test_gymnasiums_reward_is_the_roots_velocity_less_the_cost_of_control() -> None:
    readings = _make_readings(root=np.array([[0.14, 9.0, 0.0]]), previous_root=np.array([[0.10, 5.0, 0.0]]))
    reward = GymnasiumForward().reward(readings, NO_GOAL, np.array([[1.0, -2.0]]), 0.04)
    np.testing.assert_allclose(reward, [1.0 - 1e-4 * 5.0])


@pytest.mark.parametrize("name", sorted(TASKS))
@pytest.mark.parametrize("body", [swimmer(2), swimmer(6, locked=[1]), GYMNASIUM_SWIMMER])
def test_the_layout_says_where_everything_stands(name: str, body: object) -> None:
    assert isinstance(body, type(GYMNASIUM_SWIMMER))
    task = task_from_name(name)
    layout = task.layout(body)
    angles = 1000.0 + np.arange(2.0 * body.joints).reshape(2, -1)
    goal = 3000.0 + np.arange(2.0 * task.goal_size).reshape(2, -1)
    velocities = 2000.0 + np.arange(2.0 * 3 * body.links).reshape(2, -1)
    readings = _make_readings(2, body.links, link_velocities=velocities)
    observation = task.observe(readings, angles, goal, np.array([17, 18]))
    assert observation.shape == (2, layout.size)
    np.testing.assert_array_equal(observation[:, layout.joints], angles)
    if name == "gymnasium-forward":
        # Heading before the joints, velocities of root and joints behind, and no clock.
        assert layout.clock is None
        assert (layout.joints.start, layout.velocities.stop) == (1, layout.size)
        return
    np.testing.assert_array_equal(observation[:, layout.velocities], velocities)
    assert layout.clock == layout.size - 1
    assert observation[:, layout.clock].tolist() == [17, 18]
    if name == "swim-speed":
        np.testing.assert_array_equal(observation[:, layout.command], goal)
    if name == "navigate":
        np.testing.assert_array_equal(observation[:, layout.command], nose_to_target(readings, goal))
    columns = [*range(layout.size)]
    covered = [*columns[layout.joints], *columns[layout.command], *columns[layout.velocities], layout.clock]
    assert covered == columns


def test_the_swim_observation_of_six_links_has_23_numbers() -> None:
    layout = Swim().layout(swimmer(6))
    assert (layout.size, layout.joints, layout.velocities) == (5 + 18 + 1, slice(0, 5), slice(5, 23))


@given(seed=st.integers(0, 2**32), links=st.integers(2, 12))
def test_starts_are_at_rest_within_the_limits(seed: int, links: int) -> None:
    body = swimmer(links, joint_limit=[0.1 + 0.2 * joint for joint in range(links - 1)])
    root, joints, velocities = Swim().start(body, np.random.default_rng(seed))
    assert root[:2].tolist() == [0.0, 0.0]
    assert abs(root[2]) <= np.pi
    assert (np.abs(joints) <= body.joint_limit).all()
    assert velocities.tolist() == [0.0] * (2 + links)


def test_starts_are_uniform_in_heading_and_joints() -> None:
    body, rng = swimmer(3), np.random.default_rng(0)
    starts = [Swim().start(body, rng) for _ in range(4000)]
    unit = np.array([[root[2] / np.pi, *(joints / body.joint_limit)] for root, joints, _ in starts])
    # Uniform in ±1: mean 0 ± 1/sqrt(3 n), variance 1/3, and no correlation; five standard errors.
    error = 5 / np.sqrt(3 * 4000)
    assert (np.abs(unit.mean(axis=0)) < error).all()
    np.testing.assert_allclose(unit.var(axis=0), 1 / 3, atol=error)
    assert np.abs(np.corrcoef(unit.T)[np.triu_indices(3, 1)]).max() < 5 / np.sqrt(4000)


def test_goals_are_drawn_as_the_tasks_say() -> None:
    rng = np.random.default_rng(0)
    targets = np.array([Navigate().draw_goal(rng) for _ in range(4000)])
    # Inside the near box fall the fifth drawn from it and (0.3 / 2)² of the others.
    near = (np.abs(targets) <= 0.3).all(axis=1).mean()
    assert near == pytest.approx(0.2 + 0.8 * 0.15**2, abs=5 * np.sqrt(0.2 * 0.8 / 4000))
    assert 1.9 < np.abs(targets).max() <= 2.0
    commands = np.array([SwimAtSpeed().draw_goal(rng) for _ in range(4000)])
    assert 0.0 <= commands.min() < 0.01
    assert 0.19 < commands.max() <= 0.2
    assert commands.mean() == pytest.approx(0.1, abs=5 * 0.2 / np.sqrt(12 * 4000))
    assert Swim().draw_goal(rng).shape == (0,)


def test_gymnasiums_starts_are_its_own() -> None:
    rng = np.random.default_rng(0)
    starts = [np.concatenate(GymnasiumForward().start(GYMNASIUM_SWIMMER, rng)) for _ in range(500)]
    assert np.shape(starts) == (500, 10)
    assert 0.099 < np.abs(starts).max() <= 0.1


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_goes_by_its_name_and_lasts_a_thousand_steps(name: str) -> None:
    task: Task = task_from_name(name)
    assert (task.name, task.horizon) == (name, 1000)
    assert task_from_name(name, options={"horizon": 5}).horizon == 5
    assert dataclasses.is_dataclass(task)


def test_an_unknown_task_brings_the_nearest() -> None:
    with pytest.raises(BadInput, match="nearest: 'navigate'"):
        task_from_name("navigat")


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(BadInput, match=r"unknown option .*nearest: 'horizon'"):
        task_from_name("swim", options={"horzion": 5})


@pytest.mark.parametrize("name", sorted(TASKS))
@pytest.mark.parametrize("horizon", [0, -5, 2.5, 5.0, "x", True, None, [5], 10**7, 10**400, float("nan")])
def test_a_horizon_is_a_whole_number_of_steps(name: str, horizon: object) -> None:
    with pytest.raises(BadInput, match=f"horizon in task {name}: expected a whole number of at least 1 and at most"):
        task_from_name(name, options={"horizon": horizon})


@pytest.mark.parametrize(
    ("name", "option"),
    [("swim-speed", "fastest"), ("gymnasium-forward", "control_cost"), ("gymnasium-forward", "reset_noise")],
)
def test_other_options_are_finite_numbers(name: str, option: str) -> None:
    for value in (-1e-9, "x", True, None, float("nan"), float("inf"), 1e308, 10**400):
        with pytest.raises(BadInput, match=f"{option} in task {name}: expected a number of at least 0 and at most"):
            task_from_name(name, options={option: value})
    for value in (0, 0.0, 1, 0.5):
        assert getattr(task_from_name(name, options={option: value}), option) == value


def test_a_task_made_without_its_name_checks_itself_too() -> None:
    for make in (lambda: Swim(horizon=0), lambda: SwimAtSpeed(horizon=0), lambda: GymnasiumForward(horizon=-1)):
        with pytest.raises(BadInput, match="horizon in task"):
            make()
    assert Swim(horizon=np.int64(7)).horizon == 7  # type: ignore[arg-type]
