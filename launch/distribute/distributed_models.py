"""Models of Stable-Baselines3 whose experience is collected by workers, and which are otherwise what they were."""

from __future__ import annotations

import copyreg
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
from stable_baselines3.common.type_aliases import GymEnv, RolloutReturn, TrainFreq, TrainFrequencyUnit
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
    whole_number("workers", workers, minimum=0)
    whole_number("lag", lag, minimum=0, maximum=int(isinstance(model, OnPolicyAlgorithm)))
    if shards is not None:
        whole_number("shards", shards, minimum=1)
    if model.env is None:
        raise bad_input("model", where="distribute", expected="one with environments", got=type(model).__name__)
    changed: Any = model
    distributed = _class_of(getattr(type(model), "original", type(model)))
    changed._collector = Collector(model, Distribution(workers, address, shards, make, lag, deadline))
    changed.__class__ = distributed
    return model


def _class_of(original: type[Any]) -> type[Any]:
    """Return the class of distributed models of an algorithm."""
    mixins: dict[type[Any], type[Any]] = {OnPolicyAlgorithm: _OnPolicy, OffPolicyAlgorithm: _OffPolicy}
    for base, mixin in mixins.items():
        if issubclass(original, base) and original.collect_rollouts is base.collect_rollouts:
            own = {"original": original, "__module__": original.__module__, "__doc__": original.__doc__}
            return type(original.__name__, (mixin, original), own)
    expected = "an algorithm that collects as Stable-Baselines3's own do: PPO, A2C, DQN, DDPG, TD3, SAC"
    raise bad_input("algorithm", where="distribute", expected=expected, got=original.__name__)


class _Distributed(BaseAlgorithm):
    """What distributed models of all kinds share."""

    original: type[BaseAlgorithm]
    _collector: Collector

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        super().set_env(env, force_reset)
        self._collector.close()
        self._collector = Collector(self, self._collector.distribution)

    @classmethod
    def load(cls, *arguments: Any, **options: Any) -> Any:
        """Load a model of the original class."""
        return cls.original.load(*arguments, **options)

    def _leave(self, recording: Recording) -> None:
        """Stand at the end of a recording that is not looked at any further."""
        self._collector.playback.stop()
        self._last_obs = map_arrays(lambda array: array[-1], recording.seen)
        self._last_episode_starts = recording.dones[-1]

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_collector"]

    def __reduce_ex__(self, protocol: Any) -> Any:
        # A copy is of the original class.
        state = {name: value for name, value in vars(self).items() if name != "_collector"}
        return copyreg.__newobj__, (self.original,), state  # type: ignore[attr-defined]


class _OnPolicy(_Distributed, OnPolicyAlgorithm):
    """Collects whole rollouts; what callbacks see of them is shown step by step."""

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        exploration = Exploration(self.sde_sample_freq if self.use_sde else None)
        recording = self._collector.collect(self, exploration, steps=n_rollout_steps)
        values_seen = self._values(recording.seen)
        self._last_episode_starts = self._last_episode_starts | recording.episode_start  # type: ignore[operator]
        cut: list[tuple[int, int, Observation]] = []
        for n_steps, clipped_actions in enumerate(recording.played):
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            actions, values = recording.kept[n_steps], values_seen[n_steps]
            log_probs = torch.as_tensor(recording.log_prob[n_steps], device=self.device)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                self._leave(recording)
                return False
            self._update_info_buffer(infos, dones)
            cut += [
                (n_steps, int(row), infos[row]["terminal_observation"])
                for row in np.flatnonzero(dones)
                if infos[row].get("TimeLimit.truncated") and infos[row].get("terminal_observation") is not None
            ]
            seen = map_arrays(lambda array, t=n_steps: array[t], recording.seen)
            rollout_buffer.add(seen, actions, rewards, self._last_episode_starts, values, log_probs)
            self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
        for n_steps, row, observation in cut:
            # The episode was cut, not lost: what it would have earned is estimated.
            with torch.no_grad():
                value = self.policy.predict_values(self.policy.obs_to_tensor(observation)[0])
            rollout_buffer.rewards[n_steps, row] += self.gamma * float(value)
        rollout_buffer.compute_returns_and_advantage(last_values=values_seen[-1], dones=dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        if self.num_timesteps < self._total_timesteps:
            self._collector.begin_ahead(self, exploration, steps=n_rollout_steps)
        return True

    def _values(self, observation: Observation) -> torch.Tensor:
        """Return values ``[T + 1, N, 1]`` of observations ``[T + 1, N, ...]``."""
        flat = map_arrays(lambda array: array.reshape(-1, *array.shape[2:]), observation)
        first = next(iter(observation.values())) if isinstance(observation, dict) else observation
        values = []
        for start in range(0, first.shape[0] * first.shape[1], CHUNK):
            part = map_arrays(lambda array, start=start: array[start : start + CHUNK], flat)
            with torch.no_grad():
                values.append(self.policy.predict_values(obs_as_tensor(part, self.device)))
        return torch.cat(values).reshape(*first.shape[:2], 1)


class _OffPolicy(_Distributed, OffPolicyAlgorithm):
    """Collects ``train_freq`` steps or episodes at a time."""

    def collect_rollouts(  # noqa: PLR0917 # SB3's own signature
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        episodes = train_freq.frequency if train_freq.unit == TrainFrequencyUnit.EPISODE else None
        exploration = self._exploration(action_noise, learning_starts)
        recording = self._collector.collect(self, exploration, steps=train_freq.frequency, episodes=episodes)
        # Environments of gymnasium stand elsewhere than those of the model, and may have begun another episode.
        first = map_arrays(lambda array: array[0], recording.seen)
        self._last_obs = first
        if self._vec_normalize_env is not None:
            self._last_original_obs = map_arrays(lambda array: array[0], recording.original)
        num_collected_episodes = 0
        for num_collected_steps, actions in enumerate(recording.played, start=1):
            new_obs, rewards, dones, infos = env.step(actions)
            buffer_actions = recording.kept[num_collected_steps - 1]
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            taken = num_collected_steps * env.num_envs
            if not callback.on_step():
                self._leave(recording)
                return RolloutReturn(taken, num_collected_episodes, continue_training=False)
            self._update_info_buffer(infos, dones)
            self._store_transition(replay_buffer, buffer_actions, new_obs, rewards, dones, infos)  # type: ignore[arg-type]
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            self._on_step()
            num_collected_episodes += self._count_episodes(dones, log_interval)
        callback.on_rollout_end()
        return RolloutReturn(taken, num_collected_episodes, continue_training=True)

    def _count_episodes(self, dones: NDArray[np.bool_], log_interval: int | None) -> int:
        """Count the episodes that ended, and log every ``log_interval`` of them."""
        for _ in range(int(dones.sum())):
            self._episode_num += 1
            if log_interval is not None and self._episode_num % log_interval == 0:
                self.dump_logs()
        return int(dones.sum())

    def _exploration(self, noise: ActionNoise | None, learning_starts: int) -> Exploration:
        """Return how the next steps explore."""
        noises: list[Any] = []
        if noise is not None:
            noises = noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]
        uniform = random_steps(learning_starts, self.num_timesteps, self.n_envs)
        if self.use_sde and self.use_sde_at_warmup:
            uniform = 0
        schedule = getattr(self, "exploration_schedule", None)
        rates = None
        if schedule is not None:  # DQN's
            first: float = self.exploration_rate  # type: ignore[attr-defined]
            rates = RandomRates(first, schedule, self.num_timesteps, self.n_envs, self._total_timesteps)
        return Exploration(self.sde_sample_freq if self.use_sde else None, uniform, rates, noises)
