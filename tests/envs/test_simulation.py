"""The batched environment: episodes, sensors, state, and the returns of the untrained circuit."""

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, swimmer
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import ENDED_BY, Simulation, Step
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim, SwimAtSpeed, Task

Floats = NDArray[np.float64]


def _make_simulation(
    body: Body | None = None, task: Task | None = None, count: int = 3, **overrides: Any
) -> Simulation:
    arguments = {"streams": training_streams(0), **overrides}
    return Simulation(body or swimmer(4), task or Swim(), count, **arguments)


def _assert_equal_steps(one: Step, two: Step) -> None:
    for field in dataclasses.fields(Step):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name), err_msg=field.name)


def _bang_bang(rng: np.random.Generator, simulation: Simulation) -> Floats:
    """Full torque that turns slowly, so that joints reach their limits."""
    phase = simulation.steps[:, None] / 10 + np.arange(simulation.body.joints)
    return np.where(rng.random(phase.shape) < 0.9, np.sign(np.sin(phase) + 1e-9), -1.0)


# --- episodes ---


def test_an_episode_ends_at_the_horizon_and_the_next_begins_in_the_same_step() -> None:
    simulation = _make_simulation(task=Swim(horizon=3))
    first = simulation.reset().copy()
    for t in (1, 2):
        step = simulation.step(np.zeros((3, 3)))
        assert not step.done.any()
        assert step.observation[:, -1].tolist() == [t] * 3
        assert [ENDED_BY[reason] for reason in step.ended_by] == [""] * 3
        assert step.final_observation is step.observation
    step = simulation.step(np.zeros((3, 3)))
    assert step.truncated.all()
    assert not step.terminated.any()
    assert [ENDED_BY[reason] for reason in step.ended_by] == ["time limit"] * 3
    assert step.final_observation[:, -1].tolist() == [3] * 3
    assert step.observation[:, -1].tolist() == [0] * 3
    assert (step.observation[:, :3] != first[:, :3]).all(), "the next episode has a start of its own"
    np.testing.assert_array_equal(simulation.observation, step.observation)
    np.testing.assert_array_equal(simulation.reset(), first)


@pytest.mark.parametrize("name", ["swim", "swim-speed", "navigate", "gymnasium-forward"])
def test_an_environment_depends_on_its_number_alone(name: str) -> None:
    body = swimmer(10, sensor_noise=0.05, sensor_delay=1)
    task, rng = task_from_name(name, options={"horizon": 20}), np.random.default_rng(0)
    whole = _make_simulation(body, task, 5)
    part = _make_simulation(body, task, 2, first=3)
    assert np.array_equal(whole.reset()[3:], part.reset())
    for _ in range(50):
        action = rng.uniform(-1, 1, (5, 9))
        all_five, last_two = whole.step(action), part.step(action[3:])
        for field in dataclasses.fields(Step):
            np.testing.assert_array_equal(getattr(all_five, field.name)[3:], getattr(last_two, field.name))


def test_some_environments_start_again_and_the_others_go_on() -> None:
    simulation, untouched = _make_simulation(), _make_simulation()
    first = simulation.reset().copy()
    untouched.reset()
    for _ in range(5):
        simulation.step(np.ones((3, 3)))
        expected = untouched.step(np.ones((3, 3))).observation
    rows = np.array([0, 2])
    observation = simulation.reset_rows(rows, first=np.array([True, False]))
    np.testing.assert_array_equal(observation[0], first[0])
    np.testing.assert_array_equal(observation[1], expected[1])
    assert simulation.steps.tolist() == [0, 5, 0]
    second_start = _make_simulation(task=Swim(horizon=1))
    second_start.reset()
    np.testing.assert_array_equal(observation[2], second_start.step(np.zeros((3, 3))).observation[2])


# --- state ---

STATEFUL = [
    (swimmer(6), Swim(horizon=70)),
    (swimmer(6, sensor_noise=0.05, sensor_delay=3), Navigate(horizon=70)),
    (swimmer(5, locked=[1], sensor_delay=2), SwimAtSpeed(horizon=70)),
    (GYMNASIUM_SWIMMER, GymnasiumForward(horizon=70)),
]


@pytest.mark.parametrize(("body", "task"), STATEFUL)
def test_a_restored_simulation_goes_on_to_the_bit(body: Body, task: Task) -> None:
    simulation, other = _make_simulation(body, task), _make_simulation(body, task)
    simulation.reset()
    rng, beyond_limit = np.random.default_rng(0), False
    for _ in range(100):
        simulation.step(_bang_bang(rng, simulation))
    state = simulation.state()
    other.restore(state)
    np.testing.assert_array_equal(other.observation, simulation.observation)
    # Over the end of an episode.
    for _ in range(100):
        action = _bang_bang(rng, simulation)
        _assert_equal_steps(simulation.step(action), other.step(action))
        beyond_limit |= bool((np.abs(simulation.physics.readings.joint_angles) > body.joint_limit).any())
    for name, value in simulation.state().items():
        np.testing.assert_array_equal(other.state()[name], value)
        assert value.shape[0] == 3, "one row for each environment"
    assert beyond_limit or body is GYMNASIUM_SWIMMER, "the solver's warm start matters only at joint limits"


def test_a_state_is_a_copy() -> None:
    simulation = _make_simulation(swimmer(4, sensor_delay=2))
    simulation.reset()
    state = simulation.state()
    kept = {name: value.copy() for name, value in state.items()}
    simulation.step(np.ones((3, 3)))
    for name, value in state.items():
        np.testing.assert_array_equal(value, kept[name])


def test_two_threads_give_the_bits_of_one() -> None:
    one, two = _make_simulation(count=9), _make_simulation(count=9, threads=2)
    np.testing.assert_array_equal(one.reset(), two.reset())
    rng = np.random.default_rng(0)
    for _ in range(100):
        action = _bang_bang(rng, one)
        _assert_equal_steps(one.step(action), two.step(action))


# --- sensors ---


@pytest.mark.parametrize("delay", [1, 3])
def test_a_delayed_sensor_shows_the_angle_of_that_many_steps_ago(delay: int) -> None:
    late, now = _make_simulation(swimmer(4, sensor_delay=delay)), _make_simulation(swimmer(4))
    seen, true = [late.reset()[:, :3]], [now.reset()[:, :3]]
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-1, 1, (3, 3))
        delayed, prompt = late.step(action).observation, now.step(action).observation
        seen.append(delayed[:, :3])
        true.append(prompt[:, :3])
        np.testing.assert_array_equal(delayed[:, 3:], prompt[:, 3:])  # velocities and clock are on time
    for t, angles in enumerate(seen):
        np.testing.assert_array_equal(angles, true[max(0, t - delay)])


def test_sensor_noise_has_the_standard_deviation_that_the_body_says() -> None:
    limits = [0.2, 0.4, 0.8]
    noisy = _make_simulation(swimmer(4, joint_limit=limits, sensor_noise=0.1), count=10)
    exact = _make_simulation(swimmer(4, joint_limit=limits), count=10)
    errors = [noisy.reset() - exact.reset()]
    for _ in range(400):
        errors.append(noisy.step(np.zeros((10, 3))).observation - exact.step(np.zeros((10, 3))).observation)
    noise = np.stack(errors)  # [steps, environments, D]
    assert (noise[:, :, 3:] == 0).all()
    n = noise[:, :, 0].size
    # Five standard errors of a standard deviation and of a mean.
    np.testing.assert_allclose(noise[:, :, :3].std(axis=(0, 1)), 0.1 * np.array(limits), rtol=5 / np.sqrt(2 * n))
    assert (np.abs(noise[:, :, :3].mean(axis=(0, 1))) < 5 * 0.1 * np.array(limits) / np.sqrt(n)).all()
    assert len(np.unique(noise[:, :, 0])) == n, "each step and environment has noise of its own"


def test_a_locked_joint_reads_zero_and_a_lesioned_one_ignores_its_action() -> None:
    body = swimmer(5, locked=[1], lesioned=[3])
    simulation, other = _make_simulation(body), _make_simulation(body)
    assert (simulation.reset()[:, 1] == 0).all()
    other.reset()
    rng = np.random.default_rng(0)
    for _ in range(30):
        action = rng.uniform(-1, 1, (3, 4))
        step = simulation.step(action)
        _assert_equal_steps(step, other.step(action * [1.0, -1.0, 1.0, 0.0]))
        assert (step.observation[:, 1] == 0).all()
        assert (step.observation[:, 3] != 0).all()


# --- unstable simulations ---


def _by_huge_gear() -> Simulation:
    simulation = _make_simulation(swimmer(4, gear=1e12, sensor_delay=1, sensor_noise=0.1))
    simulation.reset()
    return simulation


def _by_huge_velocity() -> Simulation:
    simulation = _make_simulation(swimmer(4, sensor_delay=1, sensor_noise=0.1))
    simulation.reset()
    state = simulation.state()
    state["physics"][:, 7:13] = 1e12  # time and six positions come first
    simulation.restore(state)
    return simulation


@pytest.mark.parametrize("make", [_by_huge_gear, _by_huge_velocity])
def test_an_unstable_simulation_ends_its_episode_and_goes_on_in_the_next(make: Callable[[], Simulation]) -> None:
    simulation = make()
    before = simulation.observation.copy()
    for _ in range(20):
        step = simulation.step(np.ones((3, 3)))
        assert np.isfinite(step.observation).all()
        assert np.isfinite(step.final_observation).all()
        assert np.isfinite(step.reward).all()
        if step.done.any():
            break
        before = step.observation.copy()
    assert step.terminated.any()
    assert not step.truncated.any()
    gone = np.flatnonzero(step.terminated)
    assert {ENDED_BY[reason] for reason in step.ended_by[gone]} == {"unstable simulation"}
    assert step.reward[gone].tolist() == [0.0] * len(gone)
    assert step.speed[gone].tolist() == [0.0] * len(gone)
    np.testing.assert_array_equal(step.final_observation[gone], before[gone])
    # The next episode is the one that would have come anyway; of its noise only the first row is needed.
    usual = _make_simulation(simulation.body, Swim(horizon=1))
    usual.reset()
    usual_next = usual.step(np.zeros((3, 3))).observation
    np.testing.assert_array_equal(step.observation[gone], usual_next[gone])
    assert simulation.steps[gone].tolist() == [0] * len(gone)


def test_one_unstable_simulation_does_not_disturb_the_others() -> None:
    disturbed, calm = _make_simulation(), _make_simulation()
    disturbed.reset()
    calm.reset()
    state = disturbed.state()
    state["physics"][1, 7:13] = 1e12
    disturbed.restore(state)
    rng = np.random.default_rng(0)
    for t in range(30):
        action = rng.uniform(-1, 1, (3, 3))
        one, two = disturbed.step(action), calm.step(action)
        assert one.terminated.tolist() == [False, t == 0, False]
        np.testing.assert_array_equal(one.observation[[0, 2]], two.observation[[0, 2]])


def test_instability_at_the_horizon_is_no_truncation() -> None:
    simulation = _make_simulation(task=Swim(horizon=1))
    simulation.reset()
    state = simulation.state()
    state["physics"][1, 7:13] = 1e12
    simulation.restore(state)
    step = simulation.step(np.zeros((3, 3)))
    assert step.terminated.tolist() == [False, True, False]
    assert step.truncated.tolist() == [True, False, True]
    assert step.ended_by.tolist() == [1, 2, 1]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), gear=st.floats(1e-4, 1e15), links=st.integers(2, 6))
def test_whatever_the_torque_everything_stays_finite(seed: int, gear: float, links: int) -> None:
    simulation = _make_simulation(swimmer(links, gear=gear), Navigate(), 2)
    simulation.reset()
    rng = np.random.default_rng(seed)
    for _ in range(20):
        step = simulation.step(rng.uniform(-1, 1, (2, links - 1)))
        for values in (step.observation, step.final_observation, step.reward, step.speed):
            assert np.isfinite(values).all()


# --- what it costs to import ---


def test_stepping_loads_neither_torch_nor_stable_baselines3() -> None:
    program = """
import sys
import numpy as np
import wormwood.envs
from wormwood.envs.bodies import load_body
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.task_table import task_from_name

simulation = Simulation(load_body("swimmer-6"), task_from_name("swim"), 2, streams=training_streams(0))
simulation.reset()
simulation.step(np.zeros((2, 5)))
import gymnasium
gymnasium.make("wormwood.envs:Swim6-v0").reset()
print([name for name in ("torch", "stable_baselines3", "dm_control", "matplotlib", "ray") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
