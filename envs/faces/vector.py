"""Many swimmers as a gymnasium ``VectorEnv``, stepped together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

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

__all__ = ["SwimmerVectorEnv"]

Flags = NDArray[np.bool_]
Infos = dict[str, Any]


class SwimmerVectorEnv(VectorEnv[Floats, NDArray[np.float32], NDArray[Any]]):
    """N swimmers: ``gymnasium.make_vec("wormwood.envs:Swim6-v0", 8, vectorization_mode="vector_entry_point")``.

    It gives the same numbers as gymnasium's ``SyncVectorEnv`` of N ``SwimmerEnv`` in the mode
    ``AutoresetMode.SAME_STEP``: the step that ends an episode returns the first observation of the next one, and the
    last one of the old in ``infos["final_obs"]``, with its info in ``infos["final_info"]``. ``reset(seed=s)`` gives
    environment ``i`` the seed ``s + i``. It can be copied and pickled, and goes on bit for bit.
    """

    # gymnasium reads the class's before it builds an environment.
    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 33,
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        task: str | Task = "swim",
        *,
        body: str | Path | Body = "swimmer-6",
        render_mode: str | None = None,
        horizon: int | None = None,
        threads: int = 1,
        streams: EpisodeStreams | None = None,
    ) -> None:
        """Build the environments.

        Args:
            num_envs: how many.
            task: a task or its name.
            body: a body, its name, a YAML or an MJCF file.
            render_mode: ``"rgb_array"`` makes ``render`` return pictures.
            horizon: control steps of an episode; None keeps the task's own.
            threads: on which MuJoCo steps the swimmers.
            streams: the randomness until the first seed; None takes fresh entropy.

        Raises:
            BadInput: there is no such task, body or render mode, or a number is wrong.
        """
        self.body, self.task = choose_body(body), choose_task(task, horizon=horizon)
        self.metadata = {**render_metadata(self.body, render_mode), "autoreset_mode": AutoresetMode.SAME_STEP}
        self.render_mode = render_mode
        self._simulation = SeededSimulation(self.body, self.task, num_envs, threads=threads, streams=streams)
        self.num_envs = self._simulation.count
        self.single_observation_space = observation_space(self.body, self.task)
        self.single_action_space = action_space(self.body)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, Infos]:
        """Start an episode in each environment and return the observations ``[N, D]``.

        Args:
            seed: environment ``i`` plays the first episode of ``seed + i``, or of ``seed[i]``; where it is None, the
                next episode of the seed that it has.
            options: ``{"reset_mask": [N] of bool}`` leaves the environments as they are where it is False.

        Raises:
            BadInput: a seed or the mask is wrong, or there are other options.
        """
        refuse_options(options, known=["reset_mask"])
        rows = self._chosen_rows((options or {}).get("reset_mask"))
        if seed is None or isinstance(seed, int | np.integer):
            seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
            observation = self._simulation.start(seeds, rows=rows)
            super().reset(seed=None if seed is None else int(seed))
        else:
            observation = self._simulation.start(seed, rows=rows)
        return observation, {}

    def _chosen_rows(self, mask: Any) -> NDArray[np.intp] | None:
        if mask is None:
            return None
        array = np.asarray(mask)
        if array.shape != (self.num_envs,) or array.dtype != np.bool_ or not array.any():
            expected = f"{self.num_envs} truth values, at least one of them True"
            raise bad_input("reset_mask", where="reset", expected=expected, got=mask)
        return np.flatnonzero(array)

    def step(self, actions: NDArray[np.float32]) -> tuple[Floats, Floats, Flags, Flags, Infos]:
        """Advance by one control step with ``actions [N, J]``, which the motors clip to [-1, 1].

        Returns:
            Observations ``[N, D]``, rewards, terminations and truncations ``[N]``, and infos: ``speed`` in m/s, and
            where episodes ended ``final_obs`` and ``final_info`` with ``speed`` and ``ended_by``; ``_key`` is the mask
            of the environments that have the key.

        Raises:
            BadInput: the actions are not ``[N, J]`` finite numbers.
        """
        step = self._simulation.step(actions)
        return step.observation.copy(), step.reward, step.terminated, step.truncated, _infos(step)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return a picture ``[height, width, 3]`` of each environment, or None without a render mode."""
        if self.render_mode is None:
            return None
        return tuple(self._simulation.draw(row) for row in range(self.num_envs))


def _infos(step: Step) -> Infos:
    done = step.done
    if not done.any():
        return {"speed": step.speed, "_speed": ~done}
    infos: Infos = {
        "final_obs": _objects(done, list(step.final_observation[done].copy())),
        "_final_obs": done,
        "final_info": {
            "speed": np.where(done, step.speed, 0.0),
            "_speed": done.copy(),
            "ended_by": _objects(done, [ENDED_BY[reason] for reason in step.ended_by[done]]),
            "_ended_by": done.copy(),
        },
        "_final_info": done.copy(),
    }
    # What is not final is the info of a reset, which is empty.
    if not done.all():
        infos |= {"speed": np.where(done, 0.0, step.speed), "_speed": ~done}
    return infos


def _objects(mask: Flags, values: Sequence[Any]) -> NDArray[np.object_]:
    array = np.full(len(mask), None, dtype=object)
    for row, value in zip(np.flatnonzero(mask), values, strict=True):
        array[row] = value
    return array
