"""Other people's swimmers behind the observations of our tasks, so that circuits can act in them.

A circuit needs the joint angles, head to tail, and the control steps since reset, which neither gymnasium's Swimmer-v5
nor dm_control's swimmer tells. These wrappers count the steps, and put every number where ``swim`` or ``navigate`` has
it. Actions and rewards stay the environment's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, flatdim
from gymnasium.utils import RecordConstructorArgs

from wormwood.envs.faces.swimmer_v5 import from_swimmer_v5
from wormwood.envs.physics import Floats
from wormwood.errors import bad_input

__all__ = ["Columns", "SwimObservation", "SwimmerV5Observation"]

Columns = str | Sequence[str] | Sequence[int]
"""One or more keys of observations that are a dictionary, or columns of those that are one array."""


SWIMMER_V5_JOINTS = ["slider1", "slider2", "free_body_rot", "motor1_rot", "motor2_rot"]


class _WithClock(gymnasium.Wrapper[Floats, Any, Any, Any]):
    """Counts control steps, and shows what ``_convert`` makes of an observation and their number."""

    def __init__(self, env: gymnasium.Env[Any, Any], size: int) -> None:
        super().__init__(env)
        self.observation_space = Box(-np.inf, np.inf, (size,), dtype=np.float64)
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._steps = 0
        return self._convert(observation, 0), info

    def step(self, action: Any) -> tuple[Floats, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        return self._convert(observation, self._steps), reward, terminated, truncated, info

    def _convert(self, observation: Any, steps: int) -> Floats:
        raise NotImplementedError


class SwimmerV5Observation(_WithClock, RecordConstructorArgs):
    """gymnasium's Swimmer-v5 with the observation ``[12]`` of ``swim`` on the body ``gymnasium-swimmer``.

    ``PPO(NCAPPolicy, SwimmerV5Observation(gymnasium.make("Swimmer-v5")), policy_kwargs={"body": "gymnasium-swimmer"})``
    trains a circuit there. Nothing is lost but the heading: see ``wormwood.envs.faces.swimmer_v5``.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Wrap one environment.

        Raises:
            BadInput: it is not Swimmer-v5, nor another with its joints, or shows something else of it.
        """
        RecordConstructorArgs.__init__(self)
        for what, space, size in (("observation", env.observation_space, 8), ("action", env.action_space, 2)):
            if not isinstance(space, Box) or space.shape != (size,):
                raise bad_input(f"{what} space", where="SwimmerV5Observation", expected="Swimmer-v5's", got=space)
        model: Any = getattr(env.unwrapped, "model", None)
        joints = [model.joint(number).name for number in range(getattr(model, "njnt", 0))]
        if joints != SWIMMER_V5_JOINTS:
            expected = f"Swimmer-v5 with its joints {', '.join(SWIMMER_V5_JOINTS)}; others by SwimObservation"
            got = ", ".join(joints) or type(env.unwrapped).__name__
            raise bad_input("environment", where="SwimmerV5Observation", expected=expected, got=got)
        super().__init__(env, 12)

    def _convert(self, observation: Any, steps: int) -> Floats:
        return from_swimmer_v5(observation, steps=steps)


class SwimObservation(_WithClock, RecordConstructorArgs):
    """Any other swimmer, with the observation of ``swim``; with a command of two numbers that of ``navigate``.

    dm_control's, through a bridge that gives dictionaries: ``SwimObservation(env, joints="joints",
    command="to_target", velocities="body_velocities")``.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        *,
        joints: Columns,
        velocities: Columns | None = None,
        command: Columns | None = None,
    ) -> None:
        """Wrap one environment.

        Args:
            env: has one action for each joint.
            joints: the joint angles in rad, head to tail; positive turns the part behind the joint counter-clockwise
                seen from above, as a positive action does.
            velocities: x and y velocity in its own frame (m/s) and yaw rate (rad/s) of each link; None shows zeros,
                which no circuit looks at, but critics do.
            command: what the task asks for, as the target in the head's frame (m); None is nothing.

        Raises:
            BadInput: the observation has no such keys or columns, or not as many as there are joints and links.
        """
        RecordConstructorArgs.__init__(self, joints=joints, velocities=velocities, command=command)
        count = flatdim(env.action_space)
        self._joints = _Picked(env.observation_space, "joints", joints, count)
        self._command = None if command is None else _Picked(env.observation_space, "command", command, None)
        links = 3 * (count + 1)
        self._velocities = (
            None if velocities is None else _Picked(env.observation_space, "velocities", velocities, links)
        )
        self._still = np.zeros(links)
        super().__init__(env, count + (self._command.size if self._command else 0) + links + 1)

    def _convert(self, observation: Any, steps: int) -> Floats:
        parts = [self._joints.of(observation)]
        if self._command is not None:
            parts.append(self._command.of(observation))
        parts.append(self._still if self._velocities is None else self._velocities.of(observation))
        return np.concatenate([*parts, [steps]])


class _Picked:
    """Some numbers of an observation."""

    def __init__(self, space: gymnasium.Space[Any], name: str, columns: Columns, size: int | None) -> None:
        self._columns: list[Any] = [columns] if isinstance(columns, str) else list(columns)
        # Of each key or column, how many numbers it has.
        sizes: dict[Any, int] = (
            {key: flatdim(component) for key, component in space.items()} if isinstance(space, Dict) else {}
        )
        self._named = bool(sizes)
        sizes = sizes or dict.fromkeys(range(flatdim(space)), 1)
        for column in self._columns:
            if column not in sizes:
                expected = f"one of {', '.join(sizes)}" if self._named else f"columns below {len(sizes)}"
                names = sizes if self._named else ()
                raise bad_input(name, where="SwimObservation", expected=expected, got=column, nearest_to=names)
        self.size = sum(sizes[column] for column in self._columns)
        if size is not None and self.size != size:
            raise bad_input(name, where="SwimObservation", expected=f"{size} numbers", got=self.size)

    def of(self, observation: Any) -> Floats:
        """Return them, ``[size]``."""
        if self._named:
            return np.concatenate([np.ravel(observation[key]).astype(np.float64) for key in self._columns])
        values: Floats = np.asarray(observation, dtype=np.float64).ravel()[self._columns]
        return values
