"""Swimmers as tasks: the physics is that of the plain simulation, whatever stands beside it."""

import numpy as np
import pytest

from wormwood.envs.bodies import swimmer
from wormwood.envs.families.swimmer_bodies import SwimmerBodies
from wormwood.envs.families.table import family_from_name, held_out_tasks
from wormwood.envs.families.trials import TrialEnvironments, TrialSpec
from wormwood.envs.physics import Floats
from wormwood.envs.randomness import evaluation_streams, stream, training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import Swim

BODIES = SwimmerBodies((3, 5), (4, 6), (0.0, 0.1), (0.2,), steps=5)


def _wave(environments: TrialEnvironments, t: int) -> Floats:
    joints = environments.spec.actions.size
    return np.sin(2 * np.pi * (t / 30 - np.arange(joints) / joints)) * np.ones((environments.count, 1))


def test_each_episode_is_that_of_the_plain_simulation_of_the_tasks_body() -> None:
    environments = TrialSpec(BODIES, 2).simulate(6, streams=training_streams(1))
    environments.reset()
    keys = environments.state()["keys"]
    bodies = [SwimmerBodies.body(np.array(task.values)) for task in environments.tasks]
    assert {body.links for body in bodies} == {3, 5}
    plain = [
        Simulation(
            body, Swim(horizon=5), 1, streams=lambda purpose, _, episode, key=key: stream(int(key), purpose, episode)
        )
        for body, key in zip(bodies, keys, strict=True)
    ]
    for simulation in plain:
        simulation.reset()
    for t in range(9):
        action = _wave(environments, t)
        step = environments.step(action)
        for row, (body, simulation) in enumerate(zip(bodies, plain, strict=True)):
            expected, joints = simulation.step(action[row : row + 1, : body.joints]), body.joints
            assert step.reward[row] == expected.reward[0]
            assert step.speed[row] == expected.speed[0]
            np.testing.assert_array_equal(step.observation[row, :joints], expected.observation[0, :joints])
            assert not step.observation[row, joints:5].any(), "joints that it lacks read 0"
            np.testing.assert_array_equal(
                step.observation[row, 5 : 5 + 3 * body.links], expected.observation[0, joints:-1]
            )
            assert not step.observation[row, 5 + 3 * body.links : 5 + 18].any()
            assert step.observation[row, 23] == expected.observation[0, -1] == (t + 1) % 5


def test_a_new_trial_changes_the_body_of_its_environment_alone() -> None:
    environments = TrialSpec(BODIES, 1).simulate(8, streams=training_streams(2))
    environments.reset()
    seen = set()
    for t in range(40):
        environments.step(_wave(environments, t))
        seen |= {task.values for task in environments.tasks}
    assert seen == {(links, viscosity) for links in (3.0, 5.0) for viscosity in (0.0, 0.1)}


def test_evaluation_draws_bodies_that_training_never_sees() -> None:
    spec = TrialSpec(BODIES, 1)
    assert spec.held_out.layout == spec.layout
    assert spec.held_out.actions == spec.actions
    assert spec.held_out.held_out == spec.held_out
    environments = spec.held_out.simulate(30, streams=evaluation_streams(0))
    environments.reset()
    assert {task.values for task in environments.tasks} == {(4.0, 0.2), (6.0, 0.2)}
    assert environments.tasks == held_out_tasks(BODIES, 30)


def test_actions_of_joints_that_a_body_lacks_are_ignored() -> None:
    one, other = (TrialSpec(BODIES, 1).simulate(4, streams=training_streams(3)) for _ in range(2))
    one.reset(), other.reset()
    joints = np.array([int(task.values[0]) - 1 for task in one.tasks])
    action = _wave(one, 3)
    changed = np.where(np.arange(5) < joints[:, None], action, -action)
    np.testing.assert_array_equal(one.step(action).observation[:, :24], other.step(changed).observation[:, :24])


def test_the_goals_of_direction_and_speed_decide_the_reward() -> None:
    direction, speed = family_from_name("swimmer-direction"), family_from_name("swimmer-speed")
    assert {direction.sample(np.random.default_rng(seed)).values for seed in range(9)} == {(1.0,), (-1.0,)}
    assert all(0 <= speed.sample(np.random.default_rng(seed)).values[0] <= 0.2 for seed in range(9))
    velocity = np.array([0.05, 0.05, -0.3])
    reward = direction.reward(velocity, np.array([[1.0], [-1.0], [-1.0]]))  # type: ignore[attr-defined]
    assert reward.tolist() == pytest.approx([0.5, 0.0, 1.0])
    reward = speed.reward(velocity, np.array([[0.05], [0.1], [0.0]]))  # type: ignore[attr-defined]
    assert reward.tolist() == pytest.approx([1.0, 0.5, 0.0])


def test_the_layout_is_that_of_the_task_swim() -> None:
    spec = TrialSpec(family_from_name("swimmer-direction", options={"links": 4}), 2)
    inner = Swim().layout(swimmer(4))
    assert (spec.layout.joints, spec.layout.velocities, spec.layout.clock) == (
        inner.joints,
        inner.velocities,
        inner.clock,
    )
    assert spec.layout.size == inner.size + 3 + 2


def test_a_simulation_that_diverges_ends_its_whole_trial() -> None:
    environments = TrialSpec(BODIES, 3).simulate(4, streams=training_streams(4))
    environments.reset()
    environments.step(_wave(environments, 0))
    before = environments.tasks
    state = environments.state()
    state["inner_physics"][1, 10] = np.inf
    environments.restore(state)
    step = environments.step(_wave(environments, 1))
    assert step.terminated.tolist() == [False, True, False, False]
    assert not step.truncated.any()
    assert step.ended_by.tolist() == [0, 2, 0, 0]
    assert step.reward[1] == 0
    assert environments.steps.tolist() == [2, 0, 2, 2]
    assert [new == old for new, old in zip(environments.tasks, before, strict=True)].count(False) <= 1
    assert np.isfinite(step.observation).all()
    assert np.isfinite(step.final_observation).all()
    assert not step.observation[1, 24:].any()
