"""Many swimmers of one body, stepped together by MuJoCo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from wormwood.envs.bodies import Body, count_substeps
from wormwood.envs.models import build_model
from wormwood.envs.profiling import stop_timers

__all__ = ["ROOT_JOINTS", "SENSOR_HEADER", "Physics", "Readings", "driven_joints", "link_columns"]

ROOT_JOINTS = 3  # two slides and a hinge move the head in the plane
SENSOR_HEADER = 9  # numbers before the links' sensors: nose position, x and y axis of the head
DIVERGED = slice(int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQACC) + 1)
"""The warnings after which MuJoCo has reset a simulation: bad position, velocity or acceleration."""
OFF_IN_PHYSICS = int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
"""What a physics step leaves out: it depends on no sensor."""
OFF_IN_SENSING = int(
    mujoco.mjtDisableBit.mjDSBL_CONSTRAINT | mujoco.mjtDisableBit.mjDSBL_SPRING | mujoco.mjtDisableBit.mjDSBL_DAMPER
)
"""What reading the sensors leaves out: positions and velocities depend on no force."""
CONTACTS = int(mujoco.mjtDisableBit.mjDSBL_CONTACT)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Readings:
    """What the sensors of N swimmers read. The arrays are overwritten by the next step."""

    joint_angles: Floats
    """``[N, J]`` rad, head to tail; locked joints read 0."""
    joint_velocities: Floats
    """``[N, J]`` rad/s."""
    root: Floats
    """``[N, 3]`` position (m) and heading (rad) of the root joints."""
    root_velocity: Floats
    """``[N, 3]`` velocity of the root joints."""
    previous_root: Floats
    """``[N, 3]`` root one control step earlier."""
    link_velocities: Floats
    """``[N, 3 L]`` for each link x and y velocity in its own frame (m/s) and yaw rate (rad/s)."""
    nose: Floats
    """``[N, 3]`` position of the nose in m."""
    head_axes: Floats
    """``[N, 2, 3]`` the head's x and y axis in the world; the head looks along -y."""


def link_columns(body: Body) -> NDArray[np.intp]:
    """Return the columns ``[3 L]`` of MuJoCo's sensor array that are ``Readings.link_velocities``."""
    links = SENSOR_HEADER + 6 * np.arange(body.links, dtype=np.intp)
    return np.stack([links, links + 1, links + 5], axis=1).ravel()


def driven_joints(body: Body, model: mujoco.MjModel) -> NDArray[np.intp]:
    """Return for each of the model's motors ``[nu]`` the joint of the body that it drives: its column of an action."""
    free = np.array(body.free_joints, dtype=np.intp)
    driven: NDArray[np.intp] = free[model.actuator_trnid[:, 0] - ROOT_JOINTS]
    return driven


class Physics:
    """N swimmers of one body on one ``mujoco.batch.Batch``.

    Each joint keeps its column in angles and actions whether it is locked or not.
    """

    def __init__(self, body: Body, count: int, *, threads: int = 1) -> None:
        """Build the model and ``count`` simulations of it, stepped on ``threads`` threads."""
        self.body = body
        self.count = count
        self.model = build_model(body)
        self.substeps = count_substeps(body.control_timestep, self.model.opt.timestep, where=f"body {body.name}")
        stop_timers()
        self._batch = Batch(self.model, count, nthread=threads)
        self._qpos, self._qvel = self._batch.bind("qpos"), self._batch.bind("qvel")
        self._control, self._sensors = self._batch.bind("ctrl"), self._batch.bind("sensordata")
        self._divergences = self._batch.warning[:, DIVERGED, 1]
        self._disabled = self._batch.expand("opt.disableflags")
        self._always_off = self.model.opt.disableflags | (0 if _can_touch(self.model) else CONTACTS)
        self._free_joints = np.array(body.free_joints, dtype=np.intp)
        self._driven = driven_joints(body, self.model)
        self._in_order = np.array_equal(self._driven, np.arange(body.joints))
        self._link_columns = link_columns(body)
        self.readings = self._make_readings()

    def _make_readings(self) -> Readings:
        header = self._sensors[:, :SENSOR_HEADER]
        joints = (self.count, self.body.joints)
        return Readings(
            # With no locked joint, angles and velocities are views of MuJoCo's own arrays.
            joint_angles=np.zeros(joints) if self.body.locked else self._qpos[:, ROOT_JOINTS:],
            joint_velocities=np.zeros(joints) if self.body.locked else self._qvel[:, ROOT_JOINTS:],
            root=self._qpos[:, :ROOT_JOINTS],
            root_velocity=self._qvel[:, :ROOT_JOINTS],
            previous_root=np.zeros((self.count, ROOT_JOINTS)),
            link_velocities=np.zeros((self.count, 3 * self.body.links)),
            nose=header[:, :3],
            head_axes=header[:, 3:].reshape(self.count, 2, 3),
        )

    def _sense(self, rows: NDArray[np.intp] | None = None) -> None:
        # Once after the last physics step, not in each: a sixteenth less work. The references run a whole forward pass,
        # which leaves the same state and the same sensors.
        self._disabled[:] = self._always_off | OFF_IN_SENSING
        self._batch.forward(rows, stage=int(mujoco.mjtStage.mjSTAGE_VEL))
        readings = self.readings
        if self.body.locked:
            readings.joint_angles[:, self._free_joints] = self._qpos[:, ROOT_JOINTS:]
            readings.joint_velocities[:, self._free_joints] = self._qvel[:, ROOT_JOINTS:]
        np.take(self._sensors, self._link_columns, axis=1, out=readings.link_velocities, mode="clip")

    @property
    def positions(self) -> Floats:
        """``[N, nq]`` generalized positions, a copy: roots, then the joints that are not locked."""
        positions: Floats = self._qpos.copy()
        return positions

    @property
    def state(self) -> Floats:
        """``[N, S]`` full integration state of each simulation, a copy: all that its future depends on."""
        state: Floats = self._batch.state.copy()
        return state

    def restore(self, state: NDArray[np.floating[Any]]) -> None:
        """Go on from ``state [N, S]``, bit for bit.

        Raises:
            ValueError: the state has another shape than this body's.
        """
        if state.shape != self._batch.state.shape:
            raise ValueError(f"state has shape {state.shape}, body {self.body.name} needs {self._batch.state.shape}")
        self._batch.state[:] = state
        self._sense()

    def place(self, rows: NDArray[np.intp], root: Floats, joints: Floats, velocities: Floats) -> None:
        """Reset some swimmers.

        Args:
            rows: ``[K]`` which swimmers.
            root: ``[K, 3]`` position and heading.
            joints: ``[K, J]`` joint angles; those of locked joints are ignored.
            velocities: ``[K, 3 + J]`` velocities of roots and joints.
        """
        self._batch.reset(rows, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        free = self._free_joints
        self._qpos[rows] = np.concatenate([root, joints[:, free]], axis=1)
        self._qvel[rows] = np.concatenate([velocities[:, :ROOT_JOINTS], velocities[:, ROOT_JOINTS + free]], axis=1)
        self.readings.previous_root[rows] = root
        self._sense(rows)

    def step(self, action: Floats) -> NDArray[np.bool_]:
        """Advance by one control step.

        Args:
            action: ``[N, J]``; the motors clip it to [-1, 1].

        Returns:
            ``[N]`` True where the simulation diverged and MuJoCo reset it.
        """
        self._control[:] = action if self._in_order else action[:, self._driven]
        np.copyto(self.readings.previous_root, self.readings.root)
        self._disabled[:] = self._always_off | OFF_IN_PHYSICS
        self._batch.step(nstep=self.substeps)
        self._sense()
        diverged: NDArray[np.bool_] = self._divergences.any(axis=1)
        if diverged.any():
            # A view of MuJoCo's own counts: without this it would tell of each divergence once more.
            self._divergences[:] = 0
        return diverged


def _can_touch(model: mujoco.MjModel) -> bool:
    """Return whether any two of its geoms may ever touch; else MuJoCo need not look for it."""
    return bool(model.npair or model.geom_contype.any())
