"""How rollouts of workers fill the replay buffers of off-policy algorithms: DQN, DDPG, TD3, SAC and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv

from wormwood.launch.distribute.acting import Exploration, RandomRates, random_steps
from wormwood.launch.distribute.collecting import Collector, stand_at_end
from wormwood.launch.distribute.observations import map_arrays

__all__ = ["collect_off_policy"]


def collect_off_policy(  # noqa: PLR0913, PLR0917
    model: Any,
    collector: Collector,
    env: VecEnv,
    callback: BaseCallback,
    train_freq: TrainFreq,
    replay_buffer: ReplayBuffer,
    action_noise: ActionNoise | None = None,
    learning_starts: int = 0,
    log_interval: int | None = None,
) -> RolloutReturn:
    """Collect ``train_freq`` steps or episodes."""
    model.policy.set_training_mode(False)
    callback.on_rollout_start()
    episodes = train_freq.frequency if train_freq.unit == TrainFrequencyUnit.EPISODE else None
    exploration = _exploration(model, action_noise, learning_starts)
    recording = collector.collect(model, exploration, steps=train_freq.frequency, episodes=episodes)
    # Environments of gymnasium stand elsewhere than those of the model, and may have begun another episode.
    model._last_obs = map_arrays(lambda array: array[0], recording.seen)
    if model._vec_normalize_env is not None:
        model._last_original_obs = map_arrays(lambda array: array[0], recording.original)
    num_collected_episodes = 0
    with collector.shown(model, recording) as env:
        for num_collected_steps, actions in enumerate(recording.played, start=1):
            new_obs, rewards, dones, infos = env.step(actions)
            buffer_actions = recording.kept[num_collected_steps - 1]
            model.num_timesteps += env.num_envs
            callback.update_locals(locals())
            taken = num_collected_steps * env.num_envs
            if not callback.on_step():
                stand_at_end(model, recording)
                return RolloutReturn(taken, num_collected_episodes, continue_training=False)
            model._update_info_buffer(infos, dones)
            model._store_transition(replay_buffer, buffer_actions, new_obs, rewards, dones, infos)
            model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
            model._on_step()
            num_collected_episodes += _count_episodes(model, dones, log_interval)
    callback.on_rollout_end()
    return RolloutReturn(taken, num_collected_episodes, continue_training=True)


def _count_episodes(model: Any, dones: NDArray[np.bool_], log_interval: int | None) -> int:
    """Count the episodes that ended, and log every ``log_interval`` of them."""
    for _ in range(int(dones.sum())):
        model._episode_num += 1
        if log_interval is not None and model._episode_num % log_interval == 0:
            model.dump_logs()
    return int(dones.sum())


def _exploration(model: Any, noise: ActionNoise | None, learning_starts: int) -> Exploration:
    """Return how the next steps explore."""
    noises: list[Any] = []
    if noise is not None:
        noises = noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]
    uniform = random_steps(learning_starts, model.num_timesteps, model.n_envs)
    if model.use_sde and model.use_sde_at_warmup:
        uniform = 0
    rates = None
    if hasattr(model, "exploration_schedule"):  # DQN's
        schedule = model.exploration_schedule
        rates = RandomRates(model.exploration_rate, schedule, model.num_timesteps, model.n_envs, model._total_timesteps)
    return Exploration(model.sde_sample_freq if model.use_sde else None, uniform, rates, noises)
