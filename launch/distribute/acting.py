"""How the policy of a model acts in a worker, as Stable-Baselines3's own loops let it act."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import obs_as_tensor

from wormwood.agents.stable_baselines3.perceptron import GaussianPerceptron, has_twin
from wormwood.envs.randomness import stream
from wormwood.launch.distribute.observations import Observation

__all__ = ["Acted", "Exploration", "OffPolicyActing", "OnPolicyActing", "RandomRates", "random_steps"]

SAME_FORWARD = ("stable_baselines3.", "sb3_contrib.", "wormwood.agents.stable_baselines3.on_policy")
"""Modules of policies whose ``forward`` draws from ``get_distribution`` and no more."""


@dataclass(frozen=True)
class RandomRates:
    """The shares of uniform actions by which DQN explores, step by step."""

    first: float
    """Of the first step."""
    schedule: Callable[[float], float]
    """Of the share of training that remains, from then on."""
    taken: int
    """Steps of all environments before the first."""
    environments: int
    total: int
    """Steps of the whole training."""

    def __call__(self, t: int) -> float:
        """Return the share at step ``t``, counted from 0."""
        return self.schedule(1.0 - (self.taken + t * self.environments) / self.total) if t else self.first


@dataclass(frozen=True)
class Exploration:
    """How a rollout explores."""

    sde_freq: int | None = None
    """Steps between draws of state-dependent noise: -1 draws once, None has none of that kind."""
    random_steps: int = 0
    """First steps in which actions are uniform."""
    random_rates: RandomRates | None = None
    """The share of actions that are uniform after that; None is none."""
    noises: list[Any] = field(default_factory=list)
    """SB3's action noise of each environment; empty adds none."""


@dataclass(frozen=True)
class Acted:
    """One step's actions ``[N, ...]``."""

    played: NDArray[Any]
    """As the environments take them."""
    kept: NDArray[Any]
    """As the buffer takes them."""
    log_prob: NDArray[np.float32]
    """``[N]`` of on-policy actions."""
    values: NDArray[np.float32] | None = None
    """``[N]`` where the policy has a ``forward`` of its own, which may give others than ``predict_values``."""


def has_forward_of_its_own(policy: Any) -> bool:
    """Return whether ``forward`` was overridden, so that it may act otherwise than ``get_distribution``.

    That of a forest does: its choices start where the space's do, and whole numbers are rounded.
    """
    module = str(getattr(type(policy).forward, "__module__", ""))
    return "forward" in vars(policy) or not module.startswith(SAME_FORWARD)


class OnPolicyActing:
    """Draws actions from the policy's distribution, in NumPy where it has a twin there."""

    def __init__(self, policy: Any, exploration: Exploration, *, seed: int, shard: int, count: int) -> None:
        """Act with ``policy`` in ``count`` environments."""
        self._policy, self.exploration, self._count = policy, exploration, count
        self._space: Space[Any] = policy.action_space
        self._own = has_forward_of_its_own(policy)
        self._twin = GaussianPerceptron(policy) if not self._own and has_twin(policy, count) else None

    def act(self, observation: Observation, t: int) -> Acted:
        """Act on the observations of step ``t``."""
        policy, count = self._policy, self._count
        values = None
        if self._own:
            _draw_sde(policy, self.exploration, t, count)
            drawn, predicted, density = policy(obs_as_tensor(observation, policy.device))
            actions, values, log_prob = drawn.numpy(), predicted.numpy().reshape(count), density.numpy()
        elif self._twin is not None:
            actions, log_prob = self._twin.sample(observation)
        else:
            _draw_sde(policy, self.exploration, t, count)
            distribution = policy.get_distribution(obs_as_tensor(observation, policy.device))
            drawn = distribution.get_actions(deterministic=False)
            actions, log_prob = drawn.numpy(), distribution.log_prob(drawn).numpy()
        actions = actions.reshape(len(actions), *(self._space.shape or ()))
        if isinstance(self._space, Box):
            squashed = policy.squash_output
            played = policy.unscale_action(actions) if squashed else actions.clip(self._space.low, self._space.high)
            return Acted(played, actions, log_prob, values)
        # A choice is kept as a number in a row of its own.
        kept = actions.reshape(count, -1) if isinstance(self._space, Discrete) else actions
        return Acted(actions, kept, log_prob, values)


class OffPolicyActing:
    """Takes the policy's actions, with the noise of the algorithm, or uniform ones."""

    def __init__(self, policy: BasePolicy, exploration: Exploration, *, seed: int, shard: int, count: int) -> None:
        """Act with ``policy`` in ``count`` environments; uniform actions depend on ``seed`` and ``shard`` alone."""
        self._policy, self.exploration, self._count = policy, exploration, count
        self._space: Space[Any] = policy.action_space
        self._rng = stream(seed, "action", shard)
        self._space.seed(int(self._rng.integers(2**31)))

    def act(self, observation: Observation, t: int) -> Acted:
        """Act on the observations of step ``t``."""
        exploration, policy, count = self.exploration, self._policy, self._count
        sde: Any = getattr(policy, "actor", policy)
        _draw_sde(sde, exploration, t, count)
        if t < exploration.random_steps:
            actions = self._uniform(count)
        else:
            actions, _ = policy.predict(observation, deterministic=False)
            if exploration.random_rates is not None:
                chosen = self._rng.random(count) < exploration.random_rates(t)
                actions = np.where(chosen.reshape(-1, *[1] * (actions.ndim - 1)), self._uniform(count), actions)
        nothing = np.zeros(count, dtype=np.float32)
        if not isinstance(self._space, Box):
            return Acted(actions, actions, nothing)
        scaled = policy.scale_action(actions)
        if exploration.noises:
            noise = np.stack([noise() for noise in exploration.noises])
            scaled = np.clip(scaled + noise, -1, 1).astype(scaled.dtype)
        return Acted(policy.unscale_action(scaled), scaled, nothing)

    def _uniform(self, count: int) -> NDArray[Any]:
        return np.array([self._space.sample() for _ in range(count)])


def _draw_sde(owner: Any, exploration: Exploration, t: int, count: int) -> None:
    """Draw state-dependent noise where the loops of SB3 do."""
    freq = exploration.sde_freq
    if freq is not None and (t == 0 or (freq > 0 and t % freq == 0)):
        owner.reset_noise(count)


def random_steps(learning_starts: int, taken: int, environments: int) -> int:
    """Return how many of the next steps of all environments begin before ``learning_starts``."""
    return max(0, math.ceil((learning_starts - taken) / environments))
