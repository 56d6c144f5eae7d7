"""Swimmers as a dm_control ``Environment``."""

from __future__ import annotations

from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

import numpy as np
from dm_control import mujoco
from dm_control.mujoco import wrapper
from dm_control.rl import control
from dm_env import specs
from numpy.typing import NDArray

from wormwood.envs.bodies import Body
from wormwood.envs.faces.common import LARGEST_SEED, checked_action, choose_body, choose_task, fresh_seed, whole_number
from wormwood.envs.models import build_model
from wormwood.envs.physics import ROOT_JOINTS, SENSOR_HEADER, Floats, Readings, driven_joints, link_columns
from wormwood.envs.randomness import training_streams
from wormwood.envs.tasks import Task

__all__ = ["SwimmerPhysics", "SwimmerTask", "load_environment"]


def load_environment(
    body: str | Path | Body = "swimmer-6",
    task: str | Task = "swim",
    *,
    seed: int | None = None,
    horizon: int | None = None,
    environment_kwargs: dict[str, Any] | None = None,
) -> control.Environment:
    """Return a dm_control environment that gives the same numbers as every other face of that body and task.

    An episode that reaches the horizon ends with discount 1, one whose simulation becomes unstable with discount 0.

    Args:
        body: a body, its name, a YAML or an MJCF file.
        task: a task or its name.
        seed: the episodes are those of environment 0 of ``training_streams(seed)``; None takes fresh entropy.
        horizon: control steps of an episode; None keeps the task's own.
        environment_kwargs: further arguments of ``control.Environment``, such as ``flat_observation``.

    Raises:
        BadInput: there is no such body or task, or a number is wrong.
    """
    chosen = choose_body(body)
    model = build_model(chosen)
    seed = fresh_seed() if seed is None else whole_number("seed", seed, minimum=0, maximum=LARGEST_SEED)
    return control.Environment(
        SwimmerPhysics.from_model(wrapper.MjModel(model)),
        SwimmerTask(chosen, choose_task(task, horizon=horizon), seed=seed, driven=driven_joints(chosen, model)),
        control_timestep=chosen.control_timestep,
        **(environment_kwargs or {}),
    )


class SwimmerPhysics(mujoco.Physics):  # type: ignore[misc] # dm_control has no types
    """dm_control's physics, which notes that it has become unstable where dm_control's raises."""

    unstable = False
    """True from the step that becomes unstable to the next reset."""

    def reset(self, keyframe_id: int | None = None) -> None:
        """Put the simulation back to the model's rest."""
        self.unstable = False
        super().reset(keyframe_id)

    def step(self, nstep: int = 1) -> None:
        """Advance by ``nstep`` physics steps."""
        try:
            super().step(nstep)
        except control.PhysicsError:
            self.unstable = True


class SwimmerTask(control.Task):  # type: ignore[misc] # dm_control has no types
    """A body's task and its sensors. The observation is a mapping of arrays; their concatenation is the flat one."""

    def __init__(self, body: Body, task: Task, *, seed: int, driven: NDArray[np.intp]) -> None:
        """Prepare the episodes of ``seed``; ``driven [nu]`` is the joint that each of the model's motors drives."""
        self.body, self.task, self._driven = body, task, driven
        self._streams = training_streams(seed)
        self._free_joints = np.array(body.free_joints, dtype=np.intp)
        self._link_columns = link_columns(body)
        self._layout = task.layout(body)
        self._episode, self._steps = -1, 0
        self._goal = np.zeros((1, task.goal_size))
        self._action: NDArray[Any] = np.zeros((1, body.joints))
        self._previous_root = np.zeros((1, ROOT_JOINTS))
        # Joint angles of the last control steps, oldest first: the oldest is what delayed sensors show.
        self._angles: deque[Floats] = deque(maxlen=body.sensor_delay + 1)
        self._noise = np.zeros((task.horizon + 1, body.joints) if body.sensor_noise else (0, 0))
        self._observation = np.zeros(self._layout.size)

    def initialize_episode(self, physics: SwimmerPhysics) -> None:
        """Put the swimmer to the start of the next episode."""
        self._episode, self._steps = self._episode + 1, 0
        root, joints, velocities = self.task.start(self.body, self._stream("reset"))
        self._goal[0] = self.task.draw_goal(self._stream("task"))
        free = self._free_joints
        physics.data.qpos[:] = np.concatenate([root, joints[free]])
        physics.data.qvel[:] = np.concatenate([velocities[:ROOT_JOINTS], velocities[ROOT_JOINTS + free]])
        self._previous_root[0] = root
        self._angles.extend([self._joints(physics.data.qpos)] * (self.body.sensor_delay + 1))
        if self.body.sensor_noise:
            standard = self._stream("sensor_noise").standard_normal(self._noise.shape)
            self._noise = standard * (self.body.sensor_noise * np.array(self.body.joint_limit))

    def _stream(self, purpose: str) -> np.random.Generator:
        return self._streams(purpose, 0, self._episode)

    def before_step(self, action: Any, physics: SwimmerPhysics) -> None:
        """Set the motors to ``action [J]``, which they clip to [-1, 1].

        Raises:
            BadInput: the action is not ``[J]`` finite numbers.
        """
        self._action = checked_action(action, (self.body.joints,))[None]
        self._previous_root[0] = physics.data.qpos[:ROOT_JOINTS]
        physics.set_control(self._action[0, self._driven])

    def after_step(self, physics: SwimmerPhysics) -> None:
        """Count the step, and let the sensors read the joints."""
        self._steps += 1
        self._angles.append(self._joints(physics.data.qpos))

    def action_spec(self, physics: SwimmerPhysics) -> specs.BoundedArray:
        """Return the bounds of an action ``[J]``, in which locked joints keep their place."""
        return specs.BoundedArray((self.body.joints,), np.float64, -1.0, 1.0, name="action")

    def get_observation(self, physics: SwimmerPhysics) -> OrderedDict[str, Floats]:
        """Return ``joints [J]``, the task's ``command [goal_size]`` if any, ``velocities [3 L]`` and the ``clock [1]``.

        gymnasium's task has a ``heading [1]`` at the front, ``velocities [3 + J]`` and no clock.
        """
        if self._episode >= 0 and not physics.unstable:
            noise = self._noise[self._steps] if self.body.sensor_noise else 0.0
            joints, steps = self._angles[0] + noise, np.array([self._steps])
            self._observation = self.task.observe(self._readings(physics), joints, self._goal, steps)[0]
        return OrderedDict((name, self._observation[columns].copy()) for name, columns in self._columns())

    def _columns(self) -> list[tuple[str, slice]]:
        layout = self._layout
        columns = {
            "heading": slice(0, layout.joints.start),
            "joints": layout.joints,
            "command": layout.command,
            "velocities": layout.velocities,
            "clock": slice(0, 0) if layout.clock is None else slice(layout.clock, layout.clock + 1),
        }
        return [(name, where) for name, where in columns.items() if where.stop > where.start]

    def get_reward(self, physics: SwimmerPhysics) -> float:
        """Return the reward of the control step; 0 where the simulation became unstable."""
        if physics.unstable:
            return 0.0
        readings = self._readings(physics)
        return float(self.task.reward(readings, self._goal, self._action, self.body.control_timestep)[0])

    def get_termination(self, physics: SwimmerPhysics) -> float | None:
        """Return the discount of the last step: 0 if unstable, 1 at the horizon; None while the episode goes on."""
        if physics.unstable:
            return 0.0
        return 1.0 if self._steps >= self.task.horizon else None

    def _joints(self, values: Floats) -> Floats:
        joints = np.zeros((1, self.body.joints))
        joints[0, self._free_joints] = values[ROOT_JOINTS:]
        return joints

    def _readings(self, physics: SwimmerPhysics) -> Readings:
        qpos, qvel, sensors = physics.data.qpos, physics.data.qvel, physics.data.sensordata
        return Readings(
            joint_angles=self._joints(qpos),
            joint_velocities=self._joints(qvel),
            root=qpos[None, :ROOT_JOINTS],
            root_velocity=qvel[None, :ROOT_JOINTS],
            previous_root=self._previous_root,
            link_velocities=sensors[None, self._link_columns],
            nose=sensors[None, :3],
            head_axes=sensors[3:SENSOR_HEADER].reshape(1, 2, 3),
        )
