"""The batched environment under every face: physics, task, sensors, clock, and resets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.bodies import Body
from wormwood.envs.physics import Floats, Physics
from wormwood.envs.randomness import EpisodeStreams
from wormwood.envs.tasks import Task, forward_speed
from wormwood.errors import bad_input

__all__ = ["ENDED_BY", "Simulation", "Step"]

ENDED_BY = ("", "time limit", "unstable simulation", "terminal state")
"""Why an episode ended, indexed by ``Step.ended_by``."""


@dataclass(frozen=True)
class Step:
    """What one control step of N environments gave. Environments that ended have been reset already."""

    observation: Floats
    """``[N, D]`` the observation to act on next: of the new episode where the old one ended."""
    reward: Floats
    """``[N]``"""
    terminated: NDArray[np.bool_]
    """``[N]`` the episode ended in a failure: the simulation became unstable."""
    truncated: NDArray[np.bool_]
    """``[N]`` the episode reached its horizon."""
    final_observation: Floats
    """``[N, D]`` the last observation of the episode that ended; elsewhere the same as ``observation``."""
    ended_by: NDArray[np.int8]
    """``[N]`` index into ``ENDED_BY``."""
    speed: Floats
    """``[N]`` forward speed of the head in m/s."""

    @property
    def done(self) -> NDArray[np.bool_]:
        """``[N]`` the episode ended."""
        return self.terminated | self.truncated


class Simulation:
    """N environments of one body and task; environments reset in the step in which they end.

    Its whole state goes in and out as arrays, and its randomness is a function of (environment, episode), so that a
    simulation restored elsewhere goes on bit for bit.
    """

    def __init__(
        self, body: Body, task: Task, count: int, *, streams: EpisodeStreams, first: int = 0, threads: int = 1
    ) -> None:
        """Build ``count`` environments, numbered from ``first`` in the run that they belong to."""
        self.body, self.task, self.count = body, task, count
        self.layout = task.layout(body)
        self.streams, self.first = streams, first
        self.physics = Physics(body, count, threads=threads)
        self._limits = np.array(body.joint_limit)
        self._steps = np.zeros(count, dtype=np.int64)
        self._episodes = np.full(count, -1, dtype=np.int64)
        self._goals = np.zeros((count, task.goal_size))
        # Joint angles of the last control steps, oldest first: the oldest is what delayed sensors show.
        self._angle_history = np.zeros((count, body.sensor_delay + 1 if body.sensor_delay else 0, body.joints))
        self._noise = np.zeros((count, task.horizon + 1, body.joints) if body.sensor_noise else (count, 0, 0))
        self._observation = np.zeros((count, self.layout.size))

    @property
    def observation(self) -> Floats:
        """``[N, D]`` the observation to act on now."""
        return self._observation

    @property
    def steps(self) -> NDArray[np.int64]:
        """``[N]`` control steps since reset."""
        return self._steps.copy()

    @property
    def goals(self) -> Floats:
        """``[N, goal_size]`` what each episode asks for."""
        return self._goals.copy()

    def reset(self) -> Floats:
        """Start the first episode of each environment and return the observation ``[N, D]``.

        Raises:
            BadInput: the task, which may be the user's own, observes other sizes than its layout says.
        """
        observation = self.reset_rows(np.arange(self.count), first=True)
        self._require_shape("observation", observation, (self.count, self.layout.size))
        return observation

    def _require_shape(self, what: str, values: Floats, shape: tuple[int, ...]) -> None:
        if np.shape(values) != shape:
            where = f"body {self.body.name}, task {self.task.name}"
            raise bad_input(what, where=where, expected=f"an array of shape {shape}", got=np.shape(values))

    def reset_rows(self, rows: NDArray[np.intp], *, first: NDArray[np.bool_] | bool = False) -> Floats:
        """Start the next episode of some environments, or the first one again where ``first [K]`` says so."""
        self._episodes[rows] = np.where(first, -1, self._episodes[rows])
        self._start(rows)
        self._observation = self._observe()
        return self._observation

    def step(self, action: Floats) -> Step:
        """Advance every environment by one control step with ``action [N, J]`` in [-1, 1]."""
        before = self._observation
        diverged = self.physics.step(action)
        self._steps += 1
        readings = self.physics.readings
        if self.body.sensor_delay:
            self._angle_history[:, :-1] = self._angle_history[:, 1:]
            self._angle_history[:, -1] = readings.joint_angles
        reward = self.task.reward(readings, self._goals, action, self.body.control_timestep)
        self._require_shape("reward", reward, (self.count,))
        speed = forward_speed(readings)
        truncated = self._steps >= self.task.horizon
        observation = self._observe()
        if diverged.any():
            # MuJoCo has put these back to the model's rest: what they read now belongs to no episode.
            truncated &= ~diverged
            reward[diverged], speed[diverged] = 0.0, 0.0
            observation[diverged] = before[diverged]
        final = observation
        ended = truncated | diverged
        if ended.any():
            self._start(np.flatnonzero(ended))
            observation = final.copy()
            observation[ended] = self._observe()[ended]
        self._observation = observation
        ended_by = truncated.astype(np.int8) + 2 * diverged.astype(np.int8)
        return Step(observation, reward, diverged, truncated, final, ended_by, speed)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return all that the future depends on, as arrays ``[N, ...]`` with one row for each environment."""
        return {
            "physics": self.physics.state,
            "steps": self._steps.copy(),
            "episodes": self._episodes.copy(),
            "goals": self._goals.copy(),
            "angle_history": self._angle_history.copy(),
        }

    def restore(self, state: dict[str, NDArray[np.generic]]) -> NDArray[np.bool_]:
        """Go on from ``state``, bit for bit, and return ``[N]`` which could not: none."""
        self.physics.restore(np.asarray(state["physics"], dtype=np.float64))
        for array, name in (
            (self._steps, "steps"),
            (self._episodes, "episodes"),
            (self._goals, "goals"),
            (self._angle_history, "angle_history"),
        ):
            array[:] = state[name]
        for row in range(self.count):
            self._draw_noise(row)
        self._observation = self._observe()
        return np.zeros(self.count, dtype=bool)

    def _start(self, rows: NDArray[np.intp]) -> None:
        self._episodes[rows] += 1
        self._steps[rows] = 0
        starts = []
        for row in rows:
            starts.append(self.task.start(self.body, self._stream("reset", int(row))))
            self._goals[row] = self.task.draw_goal(self._stream("task", int(row)))
            self._draw_noise(int(row))
        root, joints, velocities = (np.stack(column) for column in zip(*starts, strict=True))
        self.physics.place(rows, root, joints, velocities)
        self._angle_history[rows] = self.physics.readings.joint_angles[rows][:, None]

    def _stream(self, purpose: str, row: int) -> np.random.Generator:
        return self.streams(purpose, self.first + row, int(self._episodes[row]))

    def _draw_noise(self, row: int) -> None:
        # An episode's noise is a function of its number, so it is drawn again rather than saved.
        if self.body.sensor_noise:
            standard = self._stream("sensor_noise", row).standard_normal(self._noise.shape[1:])
            self._noise[row] = standard * (self.body.sensor_noise * self._limits)

    def _observe(self) -> Floats:
        readings = self.physics.readings
        joints = self._angle_history[:, 0] if self.body.sensor_delay else readings.joint_angles
        if self.body.sensor_noise:
            joints = joints + self._noise[np.arange(self.count), self._steps]
        return self.task.observe(readings, joints, self._goals, self._steps)
