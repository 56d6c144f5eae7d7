"""Many swimmers as a Stable-Baselines3 ``VecEnv``. Importing this module imports torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from wormwood.envs.bodies import Body
from wormwood.envs.faces.common import (
    SeededSimulation,
    action_space,
    choose_body,
    choose_task,
    observation_space,
    refuse_options,
)
from wormwood.envs.faces.gymnasium import render_metadata
from wormwood.envs.physics import Floats
from wormwood.envs.randomness import EpisodeStreams
from wormwood.envs.simulation import ENDED_BY, Step
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input

__all__ = ["SwimmerVecEnv", "make_swimmers"]


def make_swimmers(
    body: str | Path | Body, count: int, *, task: str | Task = "swim", seed: int | None = 0, threads: int = 1
) -> SwimmerVecEnv:
    """Build swimmers to train on.

    ``PPO("MlpPolicy", make_swimmers("swimmer-6", 8)).learn(100_000)`` trains eight of them.

    Raises:
        BadInput: there is no such body or task, or a number is wrong.
    """
    return SwimmerVecEnv(body, count, task=task, seed=seed, threads=threads)


class SwimmerVecEnv(VecEnv):
    """N swimmers for Stable-Baselines3, stepped together.

    It gives the same numbers as SB3's ``DummyVecEnv`` of N ``SwimmerEnv``, each in a ``Monitor``: the infos hold
    ``speed``, ``TimeLimit.truncated``, and where an episode ended ``ended_by``, ``terminal_observation`` and
    ``episode``. ``seed(s)`` gives environment ``i`` the seed ``s + i``. It can be copied and pickled.
    """

    def __init__(
        self,
        body: str | Path | Body = "swimmer-6",
        count: int = 1,
        *,
        task: str | Task = "swim",
        seed: int | None = None,
        render_mode: str | None = None,
        horizon: int | None = None,
        threads: int = 1,
        streams: EpisodeStreams | None = None,
    ) -> None:
        """Build the environments.

        Args:
            body: a body, its name, a YAML or an MJCF file.
            count: number of environments.
            task: a task or its name.
            seed: of the first environment; None keeps to ``streams``.
            render_mode: ``"rgb_array"`` makes ``render`` return pictures.
            horizon: control steps of an episode; None keeps the task's own.
            threads: on which MuJoCo steps the swimmers.
            streams: the randomness until the first seed; None takes fresh entropy.

        Raises:
            BadInput: there is no such task, body or render mode, or a number is wrong.
        """
        self.body, self.task = choose_body(body), choose_task(task, horizon=horizon)
        metadata = render_metadata(self.body, render_mode)
        self._simulation = SeededSimulation(self.body, self.task, count, threads=threads, streams=streams)
        spaces = observation_space(self.body, self.task), action_space(self.body)
        self._swimmers = [_Swimmer(self._simulation, row, render_mode) for row in range(self._simulation.count)]
        super().__init__(self._simulation.count, *spaces)
        self.metadata = metadata
        self._actions: NDArray[Any] = np.zeros((self.num_envs, self.body.joints), dtype=np.float32)
        self._returns = np.zeros(self.num_envs)
        self._lengths = np.zeros(self.num_envs, dtype=np.int64)
        self._began = time.time()
        if seed is not None:
            self.seed(seed)

    def reset(self) -> Floats:
        """Start an episode in each environment and return the observations ``[N, D]``.

        Raises:
            BadInput: a seed is not a whole number from 0 to 2⁶⁴ - 1, or there are options.
        """
        for options in self._options:
            refuse_options(options)
        observation = self._simulation.start(self._seeds)
        self._reset_seeds()
        self._returns[:], self._lengths[:] = 0.0, 0
        return observation

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions ``[N, J]`` of the next ``step_wait``; the motors clip them to [-1, 1]."""
        self._actions = actions

    def step_wait(self) -> tuple[Floats, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Advance by one control step; environments that end start their next episode.

        Returns:
            Observations ``[N, D]``, rewards and dones ``[N]``, and one info for each environment.

        Raises:
            BadInput: the actions are not ``[N, J]`` finite numbers.
        """
        step = self._simulation.step(self._actions)
        self._returns += step.reward
        self._lengths += 1
        done = step.done
        infos: list[dict[str, Any]] = [
            {"speed": speed, "TimeLimit.truncated": truncated}
            for speed, truncated in zip(step.speed.tolist(), step.truncated.tolist(), strict=True)
        ]
        for row in np.flatnonzero(done):
            infos[row] |= self._end_of_episode(step, int(row))
        return step.observation.copy(), step.reward.astype(np.float32), done, infos

    def _end_of_episode(self, step: Step, row: int) -> dict[str, Any]:
        seconds = round(time.time() - self._began, 6)
        episode = {"r": round(float(self._returns[row]), 6), "l": int(self._lengths[row]), "t": seconds}
        self._returns[row], self._lengths[row] = 0.0, 0
        return {
            "ended_by": ENDED_BY[step.ended_by[row]],
            "terminal_observation": step.final_observation[row].copy(),
            "episode": episode,
        }

    @property
    def streams(self) -> EpisodeStreams:
        """The randomness of environments that were given no seed."""
        return self._simulation.streams

    @property
    def threads(self) -> int:
        """On which MuJoCo steps the swimmers."""
        return self._simulation.threads

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the future depends on but ``streams``: arrays ``[N, ...]``, one row for each environment.

        The rows of some environments are the state of a ``SwimmerVecEnv`` of those alone, whose ``streams`` number
        its environments as they are numbered here (``shifted_streams``).
        """
        return {**self._simulation.state(), "returns": self._returns.copy(), "lengths": self._lengths.copy()}

    def restore(self, state: dict[str, NDArray[Any]]) -> Floats:
        """Go on from ``state``, bit for bit, and return the observations ``[N, D]``."""
        self._returns[:], self._lengths[:] = state["returns"], state["lengths"]
        return self._simulation.restore(state)

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return a picture ``[height, width, 3]`` of each environment, or None for each without a render mode."""
        return [swimmer.render() for swimmer in self._swimmers]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of some environments, such as ``body``, ``task``, ``steps`` or ``goal``."""
        return [getattr(swimmer, attr_name) for swimmer in self._chosen(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set ``render_mode`` of some environments; the rest of a simulation is built once.

        Raises:
            BadInput: it is another attribute, which would do nothing.
        """
        if attr_name != "render_mode":
            expected = "render_mode: another body or task takes other environments"
            raise bad_input("attribute", where="set_attr of swimmers", expected=expected, got=attr_name)
        for swimmer in self._chosen(indices):
            swimmer.render_mode = value

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of some environments, such as ``render``."""
        return [getattr(swimmer, method_name)(*method_args, **method_kwargs) for swimmer in self._chosen(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return True for ``Monitor``, whose episode infos these environments give, and False for other wrappers."""
        return [issubclass(Monitor, wrapper_class) for _ in self._chosen(indices)]

    def _chosen(self, indices: VecEnvIndices) -> list[_Swimmer]:
        return [self._swimmers[row] for row in self._get_indices(indices)]


class _Swimmer:
    """One environment of the batch, as ``get_attr``, ``set_attr`` and ``env_method`` see it."""

    spec = None

    def __init__(self, simulation: SeededSimulation, row: int, render_mode: str | None) -> None:
        self._simulation, self._row = simulation, row
        self.render_mode = render_mode

    @property
    def body(self) -> Body:
        return self._simulation.body

    @property
    def task(self) -> Task:
        return self._simulation.task

    @property
    def unwrapped(self) -> _Swimmer:
        return self

    @property
    def steps(self) -> int:
        """Control steps since reset."""
        return int(self._simulation.simulation.steps[self._row])

    @property
    def goal(self) -> Floats:
        """``[goal_size]`` what the episode asks for."""
        goal: Floats = self._simulation.simulation.goals[self._row]
        return goal

    def render(self) -> NDArray[np.uint8] | None:
        return None if self.render_mode is None else self._simulation.draw(self._row)
