"""How the policy of a model acts in a worker, as Stable-Baselines3's own loops let it act."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import NDArray
from stable_baselines3.common.utils import obs_as_tensor

from wormwood.agents.stable_baselines3.perceptron import GaussianPerceptron, has_twin
from wormwood.launch.distribute.observations import Observation

__all__ = [
    "Acted",
    "Acting",
    "Exploration",
    "MaskedActing",
    "OffPolicyActing",
    "OnPolicyActing",
    "RandomRates",
    "RecurrentActing",
    "packed_states",
    "random_steps",
    "unpacked_states",
]

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
    masked: bool = False
    """Whether the environments say which actions may be taken."""


@dataclass(frozen=True)
class Acted:
    """One step's actions ``[N, ...]``."""

    played: NDArray[Any]
    """As the environments take them."""
    kept: NDArray[Any]
    """As the buffer takes them."""
    log_prob: NDArray[np.float32]
    """``[N]`` of on-policy actions."""
    notes: dict[str, NDArray[Any]] = field(default_factory=dict)
    """``[N, ...]`` what the model's own loop would know besides: ``values`` where ``predict_values`` may give others,
    ``action_masks``, and the ``hidden`` state of a recurrent policy before the step."""


Drawn = tuple[NDArray[Any], NDArray[np.float32], dict[str, NDArray[Any]]]
"""Actions ``[N, ...]``, the logarithms of their densities ``[N]``, and notes."""


def has_forward_of_its_own(policy: Any) -> bool:
    """Return whether ``forward`` was overridden, so that it may act otherwise than ``get_distribution``.

    That of a forest does: its choices start where the space's do, and whole numbers are rounded.
    """
    module = str(getattr(type(policy).forward, "__module__", ""))
    return "forward" in vars(policy) or not module.startswith(SAME_FORWARD)


class Acting:
    """How a policy acts in the environments of one shard, in one rollout."""

    hidden: NDArray[np.float32] | None = None
    """``[N, ...]`` what a recurrent policy goes on from."""

    def __init__(self, policy: Any, exploration: Exploration, environments: Any, rng: np.random.Generator) -> None:
        """Act with ``policy`` in ``environments``; what neither it nor torch draws comes from ``rng``."""
        self._policy, self.exploration, self._environments, self._rng = policy, exploration, environments, rng
        self._count: int = environments.num_envs
        self._space: Space[Any] = policy.action_space

    def act(self, observation: Observation, t: int, starts: NDArray[np.bool_]) -> Acted:
        """Act on the observations of step ``t``, of which those with ``starts [N]`` true are the first of episodes."""
        raise NotImplementedError


class OnPolicyActing(Acting):
    """Draws actions from the policy's distribution, in NumPy where it has a twin there."""

    def __init__(self, policy: Any, exploration: Exploration, environments: Any, rng: np.random.Generator) -> None:
        """Act as ``Acting`` says."""
        super().__init__(policy, exploration, environments, rng)
        self._own = has_forward_of_its_own(policy)
        self._twin = GaussianPerceptron(policy) if not self._own and has_twin(policy, self._count) else None

    def act(self, observation: Observation, t: int, starts: NDArray[np.bool_]) -> Acted:
        policy, count = self._policy, self._count
        if self._twin is None:
            _draw_sde(policy, self.exploration, t, count)
        actions, log_prob, notes = self._draw(observation, starts)
        actions = actions.reshape(len(actions), *(self._space.shape or ()))
        if isinstance(self._space, Box):
            squashed = policy.squash_output
            played = policy.unscale_action(actions) if squashed else actions.clip(self._space.low, self._space.high)
            return Acted(played, actions, log_prob, notes)
        # A choice is kept as a number in a row of its own.
        kept = actions.reshape(count, -1) if isinstance(self._space, Discrete) else actions
        return Acted(actions, kept, log_prob, notes)

    def _draw(self, observation: Observation, starts: NDArray[np.bool_]) -> Drawn:
        if self._twin is not None:
            return *self._twin.sample(observation), {}
        return self._draw_by_torch(observation)

    def _draw_by_torch(self, observation: Observation, **given: Any) -> Drawn:
        seen = obs_as_tensor(observation, self._policy.device)
        if self._own:
            drawn, predicted, density = self._policy(seen, **given)
            return drawn.numpy(), density.numpy(), {"values": predicted.numpy().reshape(self._count)}
        distribution = self._policy.get_distribution(seen, **given)
        drawn = distribution.get_actions(deterministic=False)
        return drawn.numpy(), distribution.log_prob(drawn).numpy(), {}


class MaskedActing(OnPolicyActing):
    """Draws from the actions that the environments allow, as MaskablePPO does."""

    def _draw(self, observation: Observation, starts: NDArray[np.bool_]) -> Drawn:
        if not self.exploration.masked:
            return self._draw_by_torch(observation)
        masks = np.stack(self._environments.env_method("action_masks"))
        actions, log_prob, notes = self._draw_by_torch(observation, action_masks=masks)
        return actions, log_prob, {**notes, "action_masks": masks}


class RecurrentActing(OnPolicyActing):
    """Draws actions from a policy that remembers, as RecurrentPPO does."""

    def _draw(self, observation: Observation, starts: NDArray[np.bool_]) -> Drawn:
        assert self.hidden is not None
        before, begun = self.hidden, torch.as_tensor(starts, dtype=torch.float32)
        seen = obs_as_tensor(observation, self._policy.device)
        drawn, values, density, states = self._policy(seen, unpacked_states(before), begun)
        self.hidden = packed_states(states)
        return drawn.numpy(), density.numpy(), {"values": values.numpy().reshape(self._count), "hidden": before}


def packed_states(states: Any) -> NDArray[np.float32]:
    """Return the states of a recurrent policy as ``[N, 2, 2, layers, width]``: of actor and critic, hidden and cell."""
    both = [torch.stack(tuple(each)) for each in (states.pi, states.vf)]
    packed: NDArray[np.float32] = torch.stack(both).movedim(3, 0).detach().cpu().numpy().copy()
    return packed


def unpacked_states(packed: NDArray[np.float32]) -> Any:
    """Return the states of which ``packed_states`` has made ``[N, 2, 2, layers, width]``."""
    from sb3_contrib.common.recurrent.type_aliases import RNNStates

    tensors = torch.as_tensor(packed).movedim(0, 3).contiguous()
    return RNNStates(*((each[0], each[1]) for each in tensors))


class OffPolicyActing(Acting):
    """Takes the policy's actions, with the noise of the algorithm, or uniform ones."""

    def __init__(self, policy: Any, exploration: Exploration, environments: Any, rng: np.random.Generator) -> None:
        """Act as ``Acting`` says."""
        super().__init__(policy, exploration, environments, rng)
        self._space.seed(int(rng.integers(2**31)))

    def act(self, observation: Observation, t: int, starts: NDArray[np.bool_]) -> Acted:
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
