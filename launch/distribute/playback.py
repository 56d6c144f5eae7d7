"""The environments of a distributed model, as its callbacks and wrappers see them: played elsewhere, and shown here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv
from wormwood.launch.distribute.environments import GymnasiumRecipe, Maker, Recipe, SwimmerRecipe, makers_of
from wormwood.launch.distribute.observations import Observation, map_arrays, wrappers_of
from wormwood.launch.distribute.workers import Recording

__all__ = ["Playback", "attach"]


class Playback(VecEnv):
    """Environments that show a recording step by step, and are what they are where there is none.

    Swimmers stand where the recording ends: their state has been put back. Environments of gymnasium live in the
    workers; those of the model itself are only reset, and played where the user does.
    """

    def __init__(self, venv: VecEnv, make: Maker | None) -> None:
        """Show what happens to ``venv``."""
        self.venv = venv
        super().__init__(venv.num_envs, venv.observation_space, venv.action_space)
        self.metadata = venv.metadata
        self.recipe: Recipe
        if isinstance(venv, SwimmerVecEnv):
            self.recipe = SwimmerRecipe(venv.body, venv.task, venv.streams, venv.threads)
        else:
            self.recipe = GymnasiumRecipe(makers_of(venv, make))
        self._recording: Recording | None = None
        self._next = 0
        self._states: list[dict[str, Any]] = []
        self.resets = 0
        """How often the environments were reset, all together."""

    @property  # type: ignore[misc]
    def __class__(self) -> type[Any]:
        # SB3 compares the types of the environments to train and to evaluate on, and counts their wrappers.
        return type(self.venv)

    def __getattr__(self, name: str) -> Any:
        if name == "venv":  # not there yet
            raise AttributeError(name)
        return getattr(self.venv, name)

    def reset(self) -> Observation:
        """Begin episodes."""
        self._states, self._recording = [], None
        self.resets += 1
        return self.venv.reset()

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next step."""
        if self._recording is None:
            self.venv.step_async(actions)

    def step_wait(self) -> tuple[Observation, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Return the next step of the recording, or what the environments give."""
        shown = self._recording
        if shown is None:
            return self.venv.step_wait()
        t = self._next
        self._next += 1
        if self._next == len(shown.rewards):
            self._recording = None
        observation = map_arrays(lambda values: values[t + 1].copy(), shown.observation)
        return observation, shown.rewards[t].copy(), shown.dones[t].copy(), shown.infos[t]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the environments at their next reset."""
        return self.venv.seed(seed)

    def set_options(self, options: Any = None) -> None:
        """Set the options of the next reset."""
        self.venv.set_options(options)

    def close(self) -> None:
        """Close the environments."""
        self.venv.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return a picture of each environment."""
        return self.venv.get_images()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of some environments."""
        return self.venv.get_attr(attr_name, indices)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of some environments."""
        self.venv.set_attr(attr_name, value, indices)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of some environments."""
        return self.venv.env_method(method_name, *method_args, indices=indices, **method_kwargs)

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Return whether environments are wrapped."""
        return self.venv.env_is_wrapped(wrapper_class, indices)

    def show(self, recording: Recording) -> None:
        """Show this from the next step on."""
        self._recording, self._next = recording, 0

    def stop(self) -> None:
        """Show no more of the recording."""
        self._recording = None

    def states(self, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
        """Return where the environments of each shard go on from."""
        if isinstance(self.venv, SwimmerVecEnv):
            state, ends = self.venv.state(), np.cumsum(sizes)
            return [
                {name: rows[end - size : end] for name, rows in state.items()}
                for size, end in zip(sizes, ends, strict=True)
            ]
        if not self._states:
            # torch's generator is seeded by the model.
            seed = int(torch.randint(2**62, ()))
            self._states = [{"run_seed": seed} for _ in sizes]
        return self._states

    def go_on_from(self, states: list[dict[str, Any]]) -> None:
        """Take the states of all shards after a rollout."""
        if isinstance(self.venv, SwimmerVecEnv):
            names = states[0]
            self.venv.restore({name: np.concatenate([state[name] for state in states]) for name in names})
        else:
            self._states = states


def attach(env: VecEnv, make: Maker | None) -> tuple[VecEnv, Playback, list[VecEnvWrapper]]:
    """Put a ``Playback`` below the wrappers of environments.

    Returns:
        The environments, the playback, and the wrappers around it, the outermost first.

    Raises:
        BadInput: there is a wrapper that workers cannot repeat, or gymnasium did not make the environments.
    """
    wrappers, base = wrappers_of(env)
    playback = base if isinstance(base, Playback) else Playback(base, make)
    if not wrappers:
        return playback, playback, []
    wrappers[-1].venv = playback
    return env, playback, wrappers
