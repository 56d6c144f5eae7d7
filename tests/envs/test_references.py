"""Whole episodes against dm_control's and gymnasium's, and the untrained circuit's returns measured elsewhere."""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import pytest
from dm_control.suite import swimmer as dm_swimmer
from numpy.typing import NDArray

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, load_body, swimmer
from wormwood.envs.randomness import evaluation_streams, training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim

Floats = NDArray[np.float64]


def _bang_bang(rng: np.random.Generator, simulation: Simulation) -> Floats:
    """Full torque that turns slowly, so that joints reach their limits."""
    phase = simulation.steps[:, None] / 10 + np.arange(simulation.body.joints)
    return np.where(rng.random(phase.shape) < 0.9, np.sign(np.sin(phase) + 1e-9), -1.0)


@dataclass(frozen=True)
class _NavigateFrom(Navigate):
    """Navigate from dm_control's start to its target."""

    positions: tuple[float, ...] = ()
    target: tuple[float, ...] = ()

    def start(self, body: Body, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        return np.array(self.positions[:3]), np.array(self.positions[3:]), np.zeros(len(self.positions))

    def draw_goal(self, rng: np.random.Generator) -> Floats:
        return np.array(self.target)


def test_an_episode_of_navigate_is_dm_controls_to_the_bit() -> None:
    reference = dm_swimmer.swimmer6(time_limit=30, random=4)
    time_step = reference.reset()
    start, target = reference.physics.data.qpos, reference.physics.named.model.geom_pos["target"][:2]
    task = _NavigateFrom(positions=tuple(start.tolist()), target=tuple(target.tolist()))
    simulation = Simulation(swimmer(6), task, 2, streams=training_streams(0))
    observation, rng, t = simulation.reset(), np.random.default_rng(0), 0
    while not time_step.last():
        action = _bang_bang(rng, simulation)[:1]
        time_step = reference.step(action[0])
        step = simulation.step(np.repeat(action, 2, axis=0))
        t += 1
        expected = np.concatenate([*time_step.observation.values(), [t]])
        np.testing.assert_array_equal(step.final_observation, [expected, expected])
        assert step.reward.tolist() == [time_step.reward] * 2
    assert t == 1000
    assert step.truncated.all()
    np.testing.assert_array_equal(step.observation, observation)


@dataclass(frozen=True)
class _ForwardFrom(GymnasiumForward):
    """Swimmer-v5 from gymnasium's start."""

    positions: tuple[float, ...] = ()
    velocities: tuple[float, ...] = ()

    def start(self, body: Body, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        return np.array(self.positions[:3]), np.array(self.positions[3:]), np.array(self.velocities)


def test_an_episode_of_gymnasium_forward_is_swimmer_v5_to_the_bit() -> None:
    reference = gymnasium.make("Swimmer-v5")
    first, _ = reference.reset(seed=5)
    data = reference.unwrapped.data
    task = _ForwardFrom(positions=tuple(data.qpos.tolist()), velocities=tuple(data.qvel.tolist()))
    simulation = Simulation(GYMNASIUM_SWIMMER, task, 2, streams=training_streams(0))
    np.testing.assert_array_equal(simulation.reset()[1], first)
    rng, truncated, t = np.random.default_rng(0), False, 0
    while not truncated:
        action = _bang_bang(rng, simulation)[:1].astype(np.float32)
        observation, reward, _, truncated, _ = reference.step(action[0])
        step = simulation.step(np.repeat(action, 2, axis=0))
        t += 1
        np.testing.assert_array_equal(step.final_observation[0], observation)
        assert step.reward[0] == reward, t
        assert bool(step.truncated[0]) == truncated
    assert t == 1000


def _circuit_action(observation: Floats, body: Body, period: float = 60.0) -> Floats:
    """Each neuron of the untrained C. elegans swimming circuit, one after the other (Bhattasali et al. 2022)."""
    angles = np.clip(observation[:, : body.joints] / body.joint_limit, -1.0, 1.0)
    oscillator = (observation[:, -1] % period < period / 2).astype(float)
    action = np.empty_like(angles)
    for joint in range(body.joints):
        if joint == 0:
            dorsal_b, ventral_b = oscillator, 1.0 - oscillator
        else:
            dorsal_b = np.clip(np.clip(angles[:, joint - 1], 0, 1), 0, 1)
            ventral_b = np.clip(np.clip(-angles[:, joint - 1], 0, 1), 0, 1)
        dorsal_muscle = np.clip(1.0 * dorsal_b - 1.0 * ventral_b, 0, 1)
        ventral_muscle = np.clip(1.0 * ventral_b - 1.0 * dorsal_b, 0, 1)
        action[:, joint] = dorsal_muscle - ventral_muscle
    return action


def _circuit_returns(body: Body) -> Floats:
    simulation = Simulation(body, Swim(), 10, streams=evaluation_streams(0))
    observation, total = simulation.reset(), np.zeros(10)
    for _ in range(1000):
        step = simulation.step(_circuit_action(observation, body))
        observation, total = step.observation, total + step.reward
    return total


RETURNS = {
    3: 289, 4: 341, 5: 591, 6: 798, 7: 883, 8: 903, 9: 907, 10: 908, 11: 903, 12: 903, 15: 945, 20: 963, 25: 961,
}  # fmt: skip
"""Mean return of the untrained circuit on the reference's own stack, by number of links."""


@pytest.mark.parametrize("links", [3, 4, 6, 9])
def test_the_untrained_circuit_swims_as_on_the_reference_stack(links: int) -> None:
    assert _circuit_returns(swimmer(links)).mean() == pytest.approx(RETURNS[links], abs=10)


@pytest.mark.slow
@pytest.mark.parametrize("links", sorted(set(RETURNS) - {3, 4, 6, 9}))
def test_the_untrained_circuit_swims_as_on_the_reference_stack_on_every_body(links: int) -> None:
    assert _circuit_returns(swimmer(links)).mean() == pytest.approx(RETURNS[links], abs=10)


def _assert_swims_as(expected: float, body: Body) -> None:
    returns = _circuit_returns(body)
    # Three standard errors between two means of ten starts, which on some bodies differ much.
    assert returns.mean() == pytest.approx(expected, abs=max(10.0, 3 * returns.std() * np.sqrt(2 / 10)))


CHANGED = [
    ({"link_length": 0.05}, 874),
    ({"link_mass": 0.04}, 515),
    ({"lesioned": [0]}, 85),
    ({"locked": [2]}, 486),
    ({"viscosity": 0.1}, 352),
    ({"sensor_delay": 3}, 719),
]
MORE_CHANGED = [
    ({"link_length": 0.15}, 454),
    ({"link_length": 0.2}, 181),
    ({"link_mass": 0.0025}, 849),
    ({"density": 1000.0}, 893),
    ({"density": 9000.0}, 430),
    ({"viscosity": 1.0}, 67),
    ({"gear": 2.5e-4}, 473),
    ({"gear": 1e-3}, 914),
    ({"joint_damping": 1e-4}, 500),
    *[({"lesioned": [joint]}, expected) for joint, expected in enumerate((85, 499, 644, 711, 719))],
    *[({"locked": [joint]}, expected) for joint, expected in enumerate((65, 313, 486, 625, 697))],
    ({"sensor_delay": 1}, 781),
    ({"sensor_delay": 6}, 633),
]


@pytest.mark.parametrize(("changes", "expected"), CHANGED)
def test_the_untrained_circuit_swims_as_on_the_reference_stack_on_a_changed_body(
    changes: dict[str, Any], expected: float
) -> None:
    _assert_swims_as(expected, swimmer(6, **changes))


@pytest.mark.slow
@pytest.mark.parametrize(("changes", "expected"), MORE_CHANGED)
def test_the_untrained_circuit_swims_as_on_the_reference_stack_on_every_changed_body(
    changes: dict[str, Any], expected: float
) -> None:
    _assert_swims_as(expected, swimmer(6, **changes))


@pytest.mark.parametrize("name", ["tapered", "noisy-sensors", "stiff-middle"])
def test_shipped_bodies_swim_a_whole_episode(name: str) -> None:
    simulation = Simulation(load_body(name), Swim(), 2, streams=training_streams(0))
    observation = simulation.reset()
    for _ in range(1000):
        step = simulation.step(_circuit_action(observation, simulation.body))
        observation = step.observation
        assert not step.terminated.any()
    assert step.truncated.all()
