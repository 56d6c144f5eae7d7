"""What a swimmer is asked to do: observation, reward and reset as functions of arrays over N swimmers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.bodies import Body, is_number
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats, Readings
from wormwood.errors import bad_input

__all__ = ["GymnasiumForward", "Navigate", "Swim", "SwimAtSpeed", "Task"]

TARGET_SPEED = 0.1  # m/s at which swimming earns the whole reward
TARGET_RADIUS = 0.1  # m
LONGEST_HORIZON = 1_000_000  # control steps, more than 8 simulated hours
LARGEST_OPTION = 1e6


class Task(Protocol):
    """One task. All methods are pure; what an episode must remember is its ``goal``."""

    @property
    def name(self) -> str:
        """The name that commands and files use."""

    @property
    def horizon(self) -> int:
        """Control steps of an episode."""

    @property
    def goal_size(self) -> int:
        """Numbers of an episode's goal, 0 where every episode asks the same."""

    def layout(self, body: Body) -> ObservationLayout:
        """Return where each quantity stands in the observation."""

    def start(self, body: Body, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Draw one start: root ``[3]``, joint angles ``[J]``, velocities ``[3 + J]``."""

    def draw_goal(self, rng: np.random.Generator) -> Floats:
        """Draw one episode's goal ``[goal_size]``."""

    def observe(self, readings: Readings, joints: Floats, goal: Floats, steps: NDArray[np.int64]) -> Floats:
        """Return the observation ``[N, D]``; ``joints [N, J]`` are the angles as the body's sensors give them."""

    def reward(self, readings: Readings, goal: Floats, action: Floats, timestep: float) -> Floats:
        """Return the reward ``[N]`` of the control step that has just ended."""


@dataclass(frozen=True)
class _SwimmerTask:
    """What the tasks of dm_control's swimmer share: their starts, and the clock at the end of the observation."""

    horizon: int = 1000

    def __post_init__(self) -> None:
        """Check the options, as every task does for its own."""
        _check_horizon(self)

    @property
    def goal_size(self) -> int:
        return 0

    def start(self, body: Body, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Draw the heading uniformly in ±π and each joint within its limits, at rest."""
        heading = rng.uniform(-np.pi, np.pi)
        limits = np.array(body.joint_limit)
        return np.array([0.0, 0.0, heading]), rng.uniform(-limits, limits), np.zeros(3 + body.joints)

    def draw_goal(self, rng: np.random.Generator) -> Floats:
        return np.zeros(0)

    def layout(self, body: Body) -> ObservationLayout:
        joints, velocities = body.joints, 3 * body.links
        command = joints + self.goal_size
        return ObservationLayout(
            size=command + velocities + 1,
            joints=slice(0, joints),
            command=slice(joints, command),
            velocities=slice(command, command + velocities),
            clock=command + velocities,
        )


@dataclass(frozen=True)
class Swim(_SwimmerTask):
    """Swim forward: the reward is ``clip(v / 0.1, 0, 1)`` for a forward speed of the head of ``v`` m/s."""

    name: str = "swim"

    def observe(self, readings: Readings, joints: Floats, goal: Floats, steps: NDArray[np.int64]) -> Floats:
        return np.concatenate([joints, readings.link_velocities, steps[:, None]], axis=1)

    def reward(self, readings: Readings, goal: Floats, action: Floats, timestep: float) -> Floats:
        return np.clip(forward_speed(readings) / TARGET_SPEED, 0.0, 1.0)


@dataclass(frozen=True)
class SwimAtSpeed(_SwimmerTask):
    """Swim at a commanded speed, drawn for each episode and part of the observation.

    The reward is ``max(0, 1 - |v - command| / 0.1)`` for a forward speed of the head of ``v`` m/s.
    """

    name: str = "swim-speed"
    fastest: float = 0.2
    """Largest commanded speed in m/s."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_number(self, "fastest")

    @property
    def goal_size(self) -> int:
        return 1

    def draw_goal(self, rng: np.random.Generator) -> Floats:
        return rng.uniform(0.0, self.fastest, size=1)

    def observe(self, readings: Readings, joints: Floats, goal: Floats, steps: NDArray[np.int64]) -> Floats:
        return np.concatenate([joints, goal, readings.link_velocities, steps[:, None]], axis=1)

    def reward(self, readings: Readings, goal: Floats, action: Floats, timestep: float) -> Floats:
        return np.maximum(0.0, 1.0 - np.abs(forward_speed(readings) - goal[:, 0]) / TARGET_SPEED)


@dataclass(frozen=True)
class Navigate(_SwimmerTask):
    """Swim to a target on the plane and stay there: dm_control's swimmer task, with its reward and its targets."""

    name: str = "navigate"

    @property
    def goal_size(self) -> int:
        return 2

    def draw_goal(self, rng: np.random.Generator) -> Floats:
        box = 0.3 if rng.random() < 0.2 else 2.0
        return rng.uniform(-box, box, size=2)

    def observe(self, readings: Readings, joints: Floats, goal: Floats, steps: NDArray[np.int64]) -> Floats:
        to_target = nose_to_target(readings, goal)
        return np.concatenate([joints, to_target, readings.link_velocities, steps[:, None]], axis=1)

    def reward(self, readings: Readings, goal: Floats, action: Floats, timestep: float) -> Floats:
        to_target = nose_to_target(readings, goal)
        return long_tail(np.sqrt(np.vecdot(to_target, to_target)))


@dataclass(frozen=True)
class GymnasiumForward:
    """gymnasium's Swimmer-v5: the root's velocity along x, less the cost of control."""

    name: str = "gymnasium-forward"
    horizon: int = 1000
    control_cost: float = 1e-4
    reset_noise: float = 0.1

    def __post_init__(self) -> None:
        _check_horizon(self)
        _check_number(self, "control_cost")
        _check_number(self, "reset_noise")

    @property
    def goal_size(self) -> int:
        return 0

    def layout(self, body: Body) -> ObservationLayout:
        joints = body.joints
        return ObservationLayout(
            size=4 + 2 * joints, joints=slice(1, 1 + joints), velocities=slice(1 + joints, 4 + 2 * joints)
        )

    def start(self, body: Body, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        positions = rng.uniform(-self.reset_noise, self.reset_noise, size=3 + body.joints)
        velocities = rng.uniform(-self.reset_noise, self.reset_noise, size=3 + body.joints)
        return positions[:3], positions[3:], velocities

    def draw_goal(self, rng: np.random.Generator) -> Floats:
        return np.zeros(0)

    def observe(self, readings: Readings, joints: Floats, goal: Floats, steps: NDArray[np.int64]) -> Floats:
        heading = readings.root[:, 2:]
        return np.concatenate([heading, joints, readings.root_velocity, readings.joint_velocities], axis=1)

    def reward(self, readings: Readings, goal: Floats, action: Floats, timestep: float) -> Floats:
        velocity = (readings.root[:, 0] - readings.previous_root[:, 0]) / timestep
        reward: Floats = velocity - self.control_cost * np.sum(np.square(action), axis=1)
        return reward


def _check_horizon(task: Any) -> None:
    horizon = task.horizon
    whole = isinstance(horizon, int | np.integer) and not isinstance(horizon, bool)
    if not whole or not 1 <= horizon <= LONGEST_HORIZON:
        expected = f"a whole number of at least 1 and at most {LONGEST_HORIZON}"
        raise bad_input("horizon", where=f"task {task.name}", expected=expected, got=horizon)


def _check_number(task: Any, option: str) -> None:
    value = getattr(task, option)
    if not is_number(value, low=0.0, high=LARGEST_OPTION):
        expected = f"a number of at least 0 and at most {LARGEST_OPTION:g}"
        raise bad_input(option, where=f"task {task.name}", expected=expected, got=value)


def forward_speed(readings: Readings) -> Floats:
    """Return the forward speed of the head ``[N]`` in m/s; the head looks along its -y axis."""
    return -readings.link_velocities[:, 1]


def long_tail(distance: Floats) -> Floats:
    """Return dm_control's reward ``[N]`` for a distance to the target in m.

    It is 1 inside the target of radius 0.1 m and ``1 / (9 x² + 1)`` outside, with ``x`` the distance to its rim in
    units of 0.5 m.
    """
    scaled = (distance - TARGET_RADIUS) / (5 * TARGET_RADIUS) * np.sqrt(1 / 0.1 - 1)
    # float_power is the C library's pow, as in dm_control's scalar code; x * x differs from it in the last bit.
    return np.where(distance <= TARGET_RADIUS, 1.0, 1.0 / (np.float_power(scaled, 2) + 1.0))


def nose_to_target(readings: Readings, target: Floats) -> Floats:
    """Return the vector from the nose to the target ``[N, 2]`` in the head's frame, in m."""
    offset = np.zeros((len(target), 1, 3))
    offset[:, 0, :2] = target - readings.nose[:, :2]
    # One 3x3 product for each swimmer, as dm_control does it: other ways of writing the sum differ in the last bit.
    orientation = np.zeros((len(target), 3, 3))
    orientation[:, :, :2] = readings.head_axes.transpose(0, 2, 1)
    return np.ascontiguousarray((offset @ orientation)[:, 0, :2])
