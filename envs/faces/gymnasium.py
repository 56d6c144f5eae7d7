"""Swimmers as a gymnasium ``Env``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from wormwood.envs.bodies import Body
from wormwood.envs.faces.common import (
    SeededSimulation,
    action_space,
    checked_action,
    choose_body,
    choose_task,
    draw_pose,
    refuse_options,
)
from wormwood.envs.faces.common import observation_space as space_of
from wormwood.envs.physics import Floats
from wormwood.envs.simulation import ENDED_BY
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input

__all__ = ["SwimmerEnv", "render_metadata"]


def render_metadata(body: Body, render_mode: str | None) -> dict[str, Any]:
    """Return the ``metadata`` of an environment of that body.

    Raises:
        BadInput: there is no such render mode.
    """
    if render_mode not in (None, "rgb_array"):
        raise bad_input("render_mode", where="environment", expected="None or 'rgb_array'", got=render_mode)
    return {"render_modes": ["rgb_array"], "render_fps": round(1 / body.control_timestep)}


class SwimmerEnv(gymnasium.Env[Floats, NDArray[np.float32]]):
    """One swimmer: ``gymnasium.make("wormwood.envs:Swim6-v0")``.

    The observation is that of the task, in float64; the action is a share of each motor's gear.

    An episode is *truncated* at the task's horizon by the environment itself, without a wrapper, and *terminated*
    where the simulation becomes unstable; ``info["ended_by"]`` says which, and ``info["speed"]`` is the forward speed
    of the head in m/s. ``reset(seed=s)`` starts the first episode of seed ``s``, and ``reset()`` the next one of the
    seed it has; without any seed it takes fresh entropy. Environments can be copied and pickled, and go on bit for
    bit.
    """

    # gymnasium reads the class's before it builds an environment.
    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 33}  # noqa: RUF012

    def __init__(
        self,
        task: str | Task = "swim",
        body: str | Path | Body = "swimmer-6",
        *,
        render_mode: str | None = None,
        horizon: int | None = None,
    ) -> None:
        """Build the environment.

        Args:
            task: a task or its name.
            body: a body, its name, a YAML or an MJCF file.
            render_mode: ``"rgb_array"`` makes ``render`` return pictures.
            horizon: control steps of an episode; None keeps the task's own.

        Raises:
            BadInput: there is no such task, body or render mode, or the horizon is wrong.
        """
        self.body, self.task = choose_body(body), choose_task(task, horizon=horizon)
        self.metadata = render_metadata(self.body, render_mode)
        self.render_mode = render_mode
        self.observation_space = space_of(self.body, self.task)
        self.action_space = action_space(self.body)
        self._simulation = SeededSimulation(self.body, self.task, 1)
        self._over = True
        # The simulation starts the next episode in the step that ends one; the next `reset` hands it out.
        self._next_started = False
        self._pose = (np.zeros(0), np.zeros(0))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start an episode and return its first observation ``[D]``.

        Raises:
            BadInput: the seed is not a whole number from 0 to 2⁶⁴ - 1, or there are ``options``.
        """
        refuse_options(options)
        if seed is None and self._next_started:
            observation = self._simulation.simulation.observation.copy()
        else:
            observation = self._simulation.start([seed])
        super().reset(seed=seed)
        self._over = self._next_started = False
        return observation[0], {}

    def step(self, action: NDArray[np.float32]) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Advance by one control step with ``action [J]``, which the motors clip to [-1, 1].

        Raises:
            BadInput: the action is not ``[J]`` finite numbers.
            ResetNeeded: the episode has not begun or is over.
        """
        if self._over:
            raise ResetNeeded("the episode is over: call reset() before step()")
        action = checked_action(action, (self.body.joints,))
        if self.render_mode is not None:
            self._pose = self._simulation.pose(0)
        step = self._simulation.step(action[None])
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        info: dict[str, Any] = {"speed": float(step.speed[0])}
        if terminated or truncated:
            info["ended_by"] = ENDED_BY[step.ended_by[0]]
            self._over = self._next_started = True
        return step.final_observation[0].copy(), float(step.reward[0]), terminated, truncated, info

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture ``[height, width, 3]``, or None without a render mode.

        After the last step of an episode it shows the swimmer as it was before that step.
        """
        if self.render_mode is None:
            return None
        return draw_pose(self.body, *(self._pose if self._next_started else self._simulation.pose(0)))
