"""Recordings shown step by step to the wrappers and callbacks of a model, as if they happened now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from wormwood.launch.distribute.observations import Observation, map_arrays
from wormwood.launch.distribute.workers import Recording

__all__ = ["Playback"]


class Playback:
    """Stands in for environments while what workers played is shown; all but the steps are their own."""

    def __init__(self, venv: VecEnv, recording: Recording) -> None:
        """Show what happened to ``venv``."""
        self._venv = venv
        self._recording: Recording | None = recording
        self._next = 0

    def __getattr__(self, name: str) -> Any:
        if name == "_venv":  # not there yet, as in a copy
            raise AttributeError(name)
        return getattr(self._venv, name)

    def reset(self) -> Observation:
        """Show no more: a callback plays with the environments."""
        self._recording = None
        return self._venv.reset()

    def step(self, actions: NDArray[Any]) -> Any:
        """Return the next step of the recording, or what the environments give for ``actions [N, ...]``."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions ``[N, ...]`` of the next step."""
        if self._recording is None:
            self._venv.step_async(actions)

    def step_wait(self) -> tuple[Observation, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Return the next step of the recording, or what the environments give.

        It is observations ``[N, ...]``, rewards and dones ``[N]``, and one info for each environment.
        """
        shown, t = self._recording, self._next
        if shown is None:
            return self._venv.step_wait()
        self._next += 1
        _write_monitors(self._venv, shown.infos[t])
        observation = map_arrays(lambda values: values[t + 1].copy(), shown.observation)
        return observation, shown.rewards[t].copy(), shown.dones[t].copy(), shown.infos[t]


def _write_monitors(venv: VecEnv, infos: Sequence[dict[str, Any]]) -> None:
    """Let the monitors of environments write the episodes that ended: those in workers have no file."""
    if isinstance(venv, DummyVecEnv):
        for environment, info in zip(venv.envs, infos, strict=True):
            monitor = unwrap_wrapper(environment, Monitor) if "episode" in info else None
            if isinstance(monitor, Monitor) and monitor.results_writer is not None:
                monitor.results_writer.write_row(info["episode"])
