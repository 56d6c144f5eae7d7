"""SB3's loop of an on-policy rollout, with actions and values from one compiled call a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv

from wormwood.agents.learning.compiled.acting import act
from wormwood.agents.learning.compiled.perceptrons import Singles
from wormwood.agents.stable_baselines3.accelerated.policies import features_of, networks_of, read_parameters

__all__ = ["Acting", "collect_rollouts"]


class Acting:
    """Draws what a policy that ``check_policy`` has passed would draw, for N observations at once.

    The noise is from torch's global generator, in SB3's order: under the same seed, actions are the same but for the
    rounding of single precision.
    """

    def __init__(self, policy: ActorCriticPolicy, rows: int) -> None:
        """Take the weights that the policy has now."""
        self._policy, self._rows = policy, rows
        self._networks = networks_of(policy, rows)
        self._parameters = read_parameters(policy, self._networks)
        head = self._networks.head
        self._whole = bool(len(head.choices))

    def draw(self, observation: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return actions ``[N, ...]``, values ``[N, 1]`` and log-probabilities ``[N]`` as ``policy(observation)``."""
        rows, head = self._rows, self._networks.head
        actions = np.empty((rows, head.numbers or len(head.choices)), dtype=np.float32)
        values, log_probs = np.empty((rows, 1), dtype=np.float32), np.empty(rows, dtype=np.float32)
        act(
            self._networks.actor,
            self._networks.critic,
            head,
            self._parameters,
            features_of(self._policy, observation),
            self._noise(),
            actions,
            values[:, 0],
            log_probs,
        )
        drawn = torch.from_numpy(actions)
        if self._whole:
            drawn = drawn.long()
        shape = self._policy.action_space.shape or ()
        return drawn.reshape(rows, *shape), torch.from_numpy(values), torch.from_numpy(log_probs)

    def _noise(self) -> Singles:
        head = self._networks.head
        if not self._whole:
            return torch.randn(self._rows, head.numbers).numpy()
        return torch.cat([torch.empty(self._rows, int(count)).exponential_() for count in head.choices], dim=1).numpy()


def collect_rollouts(  # SB3's own signature
    model: Any, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
) -> bool:
    """Do what ``OnPolicyAlgorithm.collect_rollouts`` does."""
    model.policy.set_training_mode(False)
    rollout_buffer.reset()
    callback.on_rollout_start()
    acting = Acting(model.policy, env.num_envs)
    for n_steps in range(n_rollout_steps):  # noqa: B007 # callbacks may look at it
        obs_tensor = obs_as_tensor(model._last_obs, model.device)
        actions_tensor, values, log_probs = acting.draw(model._last_obs)
        actions = actions_tensor.numpy()
        clipped_actions = actions
        if isinstance(model.action_space, spaces.Box):
            clipped_actions = np.clip(actions, model.action_space.low, model.action_space.high)
        new_obs, rewards, dones, infos = env.step(clipped_actions)
        model.num_timesteps += env.num_envs
        callback.update_locals({**locals(), "self": model})
        if not callback.on_step():
            return False
        model._update_info_buffer(infos, dones)
        if isinstance(model.action_space, spaces.Discrete):
            actions = actions.reshape(-1, 1)
        _bootstrap(model, rewards, dones, infos)
        rollout_buffer.add(model._last_obs, actions, rewards, model._last_episode_starts, values, log_probs)
        model._last_obs, model._last_episode_starts = new_obs, dones
    with torch.no_grad():
        values = model.policy.predict_values(obs_as_tensor(model._last_obs, model.device))
    rollout_buffer.compute_returns_and_advantage(last_values=values, dones=dones)
    callback.update_locals({**locals(), "self": model})
    callback.on_rollout_end()
    return True


def _bootstrap(model: Any, rewards: Any, dones: Any, infos: Any) -> None:
    """Add what episodes that were cut, not lost, would have earned (SB3's issue 633)."""
    for row in np.flatnonzero(dones):
        info = infos[row]
        if info.get("terminal_observation") is not None and info.get("TimeLimit.truncated", False):
            observation = model.policy.obs_to_tensor(info["terminal_observation"])[0]
            with torch.no_grad():
                rewards[row] += model.gamma * model.policy.predict_values(observation)[0]
