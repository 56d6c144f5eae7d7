"""How rollouts of workers fill the buffers of on-policy algorithms: PPO, A2C and their kin, masked and recurrent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv

from wormwood.launch.distribute.acting import (
    Acting,
    Exploration,
    MaskedActing,
    OnPolicyActing,
    RecurrentActing,
    unpacked_states,
)
from wormwood.launch.distribute.collecting import Collector, stand_at_end
from wormwood.launch.distribute.observations import Observation, map_arrays
from wormwood.launch.distribute.workers import Recording

__all__ = ["Judged", "Masked", "Recurrent", "collect_on_policy"]

CHUNK = 4096
"""Observations whose values are computed at once."""
Cut = tuple[int, int, Observation]
"""Step and environment of an episode that was cut, and its last observation."""


class Judged:
    """What a model makes of a recording, and its buffer keeps beside what happened."""

    acting: type[Acting] = OnPolicyActing
    """How its policy acts in workers."""

    def __init__(self, model: Any, recording: Recording) -> None:
        """Compute what the policy did not say as it acted."""
        self._model, self._recording = model, recording
        self.values = self._values()
        """``[T + 1, N, 1]``"""

    def _values(self) -> torch.Tensor:
        recording, values = self._recording, _values(self._model, self._recording.seen)
        if "values" in recording.notes:
            values[:-1, :, 0] = torch.as_tensor(recording.notes["values"], device=values.device)
        return values

    def kept(self, t: int) -> dict[str, Any]:
        """Return what the buffer takes of step ``t`` besides."""
        return {}

    def value_of(self, cut: Cut) -> float:
        """Return what an episode that was cut would still have earned."""
        return float(self._model.policy.predict_values(self._model.policy.obs_to_tensor(cut[2])[0]))

    def go_on(self) -> None:
        """Let the model go on from what its policy remembers at the end."""


class Masked(Judged):
    """That of MaskablePPO."""

    acting = MaskedActing

    def kept(self, t: int) -> dict[str, Any]:
        masks = self._recording.notes.get("action_masks")
        return {"action_masks": None if masks is None else masks[t]}


class Recurrent(Judged):
    """That of RecurrentPPO."""

    acting = RecurrentActing

    def _values(self) -> torch.Tensor:
        model, recording = self._model, self._recording
        seen = map_arrays(lambda array: array[-1], recording.seen)
        starts = torch.as_tensor(recording.dones[-1], dtype=torch.float32, device=model.device)
        with torch.no_grad():
            last = model.policy.predict_values(obs_as_tensor(seen, model.device), self._states(-1).vf, starts)
        acted = torch.as_tensor(recording.notes["values"], device=model.device)[..., None]
        return torch.cat([acted, last[None]])

    def _states(self, t: int) -> Any:
        """Return the states before step ``t``; -1 is the end."""
        hidden = self._recording.notes["hidden"]
        packed = self._recording.hidden if t in {-1, len(hidden)} else hidden[t]
        assert packed is not None
        states = unpacked_states(packed)
        return type(states)(*(tuple(part.to(self._model.device) for part in each) for each in states))

    def kept(self, t: int) -> dict[str, Any]:
        return {"lstm_states": self._states(t)}

    def value_of(self, cut: Cut) -> float:
        t, row, observation = cut
        state = tuple(part[:, row : row + 1].contiguous() for part in self._states(t + 1).vf)
        goes_on = torch.zeros(1, device=self._model.device)
        policy = self._model.policy
        return float(policy.predict_values(policy.obs_to_tensor(observation)[0], state, goes_on))

    def go_on(self) -> None:
        self._model._last_lstm_states = self._states(-1)


def collect_on_policy(  # noqa: PLR0917 # SB3's own signature from `env` on
    kind: type[Judged],
    model: Any,
    collector: Collector,
    env: VecEnv,
    callback: BaseCallback,
    rollout_buffer: RolloutBuffer,
    n_rollout_steps: int,
    use_masking: bool = False,
) -> bool:
    """Collect a whole rollout; what callbacks see of it is shown step by step.

    Raises:
        ValueError: the environments do not say which actions may be taken, and are to.
    """
    if use_masking and not env.has_attr("action_masks"):
        raise ValueError("Environment does not support action masking. Consider using ActionMasker wrapper")
    model.policy.set_training_mode(False)
    rollout_buffer.reset()
    callback.on_rollout_start()
    exploration = Exploration(model.sde_sample_freq if model.use_sde else None, masked=use_masking)
    recording = collector.collect(model, exploration, steps=n_rollout_steps)
    judged = kind(model, recording)
    model._last_episode_starts = model._last_episode_starts | recording.episode_start
    cut: list[Cut] = []
    with collector.shown(model, recording) as env:
        for n_steps, clipped_actions in enumerate(recording.played):
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            actions, values, kept = recording.kept[n_steps], judged.values[n_steps], judged.kept(n_steps)
            log_probs = torch.as_tensor(recording.log_prob[n_steps], device=model.device)
            model.num_timesteps += env.num_envs
            callback.update_locals({**locals(), **kept})
            if not callback.on_step():
                stand_at_end(model, recording)
                judged.go_on()
                return False
            model._update_info_buffer(infos, dones)
            cut += _cuts(n_steps, dones, infos)
            seen = map_arrays(lambda array, t=n_steps: array[t], recording.seen)
            rollout_buffer.add(seen, actions, rewards, model._last_episode_starts, values, log_probs, **kept)
            model._last_obs, model._last_episode_starts = new_obs, dones
    # A policy that must not see standardised observations says so, also where the first statistics changed nothing.
    model.policy.obs_to_tensor(new_obs)
    judged.go_on()
    for each in cut:
        with torch.no_grad():
            rollout_buffer.rewards[each[0], each[1]] += model.gamma * judged.value_of(each)
    rollout_buffer.compute_returns_and_advantage(last_values=judged.values[-1], dones=dones)
    callback.update_locals(locals())
    callback.on_rollout_end()
    if model.num_timesteps < model._total_timesteps:
        collector.begin_ahead(model, exploration, steps=n_rollout_steps)
    return True


def _cuts(t: int, dones: Any, infos: Sequence[dict[str, Any]]) -> list[Cut]:
    """Return the episodes that were cut at step ``t`` by a limit, and not lost."""
    return [
        (t, row, infos[row]["terminal_observation"])
        for row in map(int, np.flatnonzero(dones))
        if infos[row].get("TimeLimit.truncated") and infos[row].get("terminal_observation") is not None
    ]


def _values(model: Any, observation: Observation) -> torch.Tensor:
    """Return values ``[T + 1, N, 1]`` of observations ``[T + 1, N, ...]``."""
    flat = map_arrays(lambda array: array.reshape(-1, *array.shape[2:]), observation)
    first = next(iter(observation.values())) if isinstance(observation, dict) else observation
    values = []
    for start in range(0, first.shape[0] * first.shape[1], CHUNK):
        part = map_arrays(lambda array, start=start: array[start : start + CHUNK], flat)
        with torch.no_grad():
            values.append(model.policy.predict_values(obs_as_tensor(part, model.device)))
    return torch.cat(values).reshape(*first.shape[:2], 1)
