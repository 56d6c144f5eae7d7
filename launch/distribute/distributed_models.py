"""Models of Stable-Baselines3 whose experience is collected by workers, and which are otherwise what they were."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv

from wormwood.envs.faces.common import whole_number
from wormwood.errors import bad_input
from wormwood.launch.distribute.acting import Exploration, RandomRates, random_steps
from wormwood.launch.distribute.collecting import Collector, Distribution
from wormwood.launch.distribute.environments import Maker
from wormwood.launch.distribute.observations import Observation, map_arrays
from wormwood.launch.distribute.workers import Recording

__all__ = ["distribute"]

Model = TypeVar("Model", bound=BaseAlgorithm)

CHUNK = 4096
"""Observations whose values are computed at once."""


def distribute(
    model: Model,
    *,
    workers: int,
    address: str = "local",
    shards: int | None = None,
    make: Maker | None = None,
    lag: int = 0,
    deadline: float = 300.0,
) -> Model:
    """Let Ray workers collect the experience of a Stable-Baselines3 model.

    ``model = wormwood.distribute(PPO("MlpPolicy", make_swimmers("swimmer-6", 16)), workers=2)`` learns, calls
    callbacks, logs, predicts, saves and loads as before. The result is the same for any number of workers, killed
    ones among them, in the way that docs/stable_baselines3.md says.

    Args:
        model: of an algorithm that collects as SB3's own do, such as PPO, A2C, DQN, DDPG, TD3 or SAC, with
            environments. It is changed, and returned.
        workers: Ray actors that collect; 0 collects in this process, without Ray.
        address: of a running Ray cluster; ``"local"`` starts one on this machine, which ends with the process.
        shards: groups of environments, the unit of work, of which a worker plays one after the other; None makes 4,
            or one for 16 environments where that is more. The result depends on it.
        make: builds one environment, for those that ``gymnasium.make`` did not.
        lag: 1 lets the workers of an on-policy model collect while it learns, with the policy before the update. That
            is another result, and as reproducible; PPO's ratios account for it.
        deadline: seconds after which a rollout counts as hung, and its worker is ended.

    Raises:
        BadInput: the model collects in another way or has no environments, they cannot be built in workers, or a
            number is wrong.
    """
    if not isinstance(model, BaseAlgorithm):
        raise bad_input("model", where="distribute", expected='a model, as PPO("MlpPolicy", env) makes one', got=model)
    whole_number("workers", workers, minimum=0, where="distribute")
    whole_number("lag", lag, minimum=0, maximum=int(isinstance(model, OnPolicyAlgorithm)), where="distribute")
    if shards is not None:
        whole_number("shards", shards, minimum=1, where="distribute")
    if not isinstance(deadline, int | float) or not deadline > 0:
        raise bad_input("deadline", where="distribute", expected="seconds, more than 0", got=deadline)
    if make is not None and not callable(make):
        raise bad_input("make", where="distribute", expected="a function that builds one environment", got=make)
    if model.env is None:
        raise bad_input("model", where="distribute", expected="one with environments", got=type(model).__name__)
    ours = _collects(type(model))
    changed: Any = model
    changed._collector = Collector(model.env, Distribution(workers, address, shards, make, lag, deadline))
    # SB3 calls these by name, and finds those of the object before those of its class.
    changed.collect_rollouts = functools.partial(ours, model, changed._collector)
    changed._excluded_save_params = functools.partial(_excluded_save_params, model)
    return model


def _collects(algorithm: type[BaseAlgorithm]) -> Callable[..., Any]:
    """Return what takes the place of an algorithm's ``collect_rollouts``."""
    for base, ours in ((OnPolicyAlgorithm, _collect_on_policy), (OffPolicyAlgorithm, _collect_off_policy)):
        if issubclass(algorithm, base) and algorithm.collect_rollouts is base.collect_rollouts:
            return ours
    expected = "an algorithm that collects as Stable-Baselines3's own do: PPO, A2C, DQN, DDPG, TD3, SAC"
    raise bad_input("algorithm", where="distribute", expected=expected, got=algorithm.__name__)


def _excluded_save_params(model: BaseAlgorithm) -> list[str]:
    """Return what is not saved: what ``distribute`` has set, and what the class says."""
    added = ["_collector", "collect_rollouts", "_excluded_save_params"]
    return [*type(model)._excluded_save_params(model), *added]


def _stand_at_end(model: Any, recording: Recording) -> None:
    """Let a model stand at the end of a recording that is not looked at any further."""
    model._last_obs = map_arrays(lambda array: array[-1], recording.seen)
    model._last_episode_starts = recording.dones[-1]


def _collect_on_policy(  # noqa: PLR0917 # SB3's own signature, as below
    model: Any,
    collector: Collector,
    env: VecEnv,
    callback: BaseCallback,
    rollout_buffer: RolloutBuffer,
    n_rollout_steps: int,
) -> bool:
    """Collect a whole rollout; what callbacks see of it is shown step by step."""
    model.policy.set_training_mode(False)
    rollout_buffer.reset()
    callback.on_rollout_start()
    exploration = Exploration(model.sde_sample_freq if model.use_sde else None)
    recording = collector.collect(model, exploration, steps=n_rollout_steps)
    values_seen = _values(model, recording.seen)
    if recording.values is not None:
        values_seen[:-1, :, 0] = torch.as_tensor(recording.values, device=values_seen.device)
    model._last_episode_starts = model._last_episode_starts | recording.episode_start
    cut: list[tuple[int, int, Observation]] = []
    with collector.shown(model, recording) as env:
        for n_steps, clipped_actions in enumerate(recording.played):
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            actions, values = recording.kept[n_steps], values_seen[n_steps]
            log_probs = torch.as_tensor(recording.log_prob[n_steps], device=model.device)
            model.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                _stand_at_end(model, recording)
                return False
            model._update_info_buffer(infos, dones)
            cut += [
                (n_steps, int(row), infos[row]["terminal_observation"])
                for row in np.flatnonzero(dones)
                if infos[row].get("TimeLimit.truncated") and infos[row].get("terminal_observation") is not None
            ]
            seen = map_arrays(lambda array, t=n_steps: array[t], recording.seen)
            rollout_buffer.add(seen, actions, rewards, model._last_episode_starts, values, log_probs)
            model._last_obs, model._last_episode_starts = new_obs, dones
    # A policy that must not see standardised observations says so, also where the first statistics changed nothing.
    model.policy.obs_to_tensor(new_obs)
    for n_steps, row, observation in cut:
        # The episode was cut, not lost: what it would have earned is estimated.
        with torch.no_grad():
            value = model.policy.predict_values(model.policy.obs_to_tensor(observation)[0])
        rollout_buffer.rewards[n_steps, row] += model.gamma * float(value)
    rollout_buffer.compute_returns_and_advantage(last_values=values_seen[-1], dones=dones)
    callback.update_locals(locals())
    callback.on_rollout_end()
    if model.num_timesteps < model._total_timesteps:
        collector.begin_ahead(model, exploration, steps=n_rollout_steps)
    return True


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


def _collect_off_policy(  # noqa: PLR0913, PLR0917
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
                _stand_at_end(model, recording)
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
