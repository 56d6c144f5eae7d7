"""Structured actors as policies of Stable-Baselines3's SAC: ``SAC(NCAPSACPolicy, env)``."""

from __future__ import annotations

import math
from typing import Any

import torch
from gymnasium.spaces import Box, Space
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.stable_baselines3.off_policy import StructuredOffPolicy
from wormwood.agents.stable_baselines3.off_policy_modules import BoundedActor

__all__ = ["NCAPSACPolicy", "StructuredSACPolicy"]

LEAST_NOISE, MOST_NOISE = 0.01, 0.5
"""Standard deviations of the noise, as shares of half the range of actions."""


class _Actor(BoundedActor):
    """A structured actor with Gaussian noise, clipped to the bounds in place of SAC's tanh.

    A circuit's muscles often pull with all their force, where the tanh of SAC would need an infinite mean. The noise
    is the same everywhere, so that entropy widens or narrows it and leaves the mean to the critics: SAC's bonus cannot
    unlearn what the actor knows. The density is that of the action before it was clipped.
    """

    def __init__(self, module: nn.Module, spaces: tuple[Space[Any], Box], noise_std: float) -> None:
        super().__init__(module, spaces)
        self.log_std = nn.Parameter(torch.full(spaces[1].shape, math.log(noise_std)))

    def forward(self, observation: Tensor, deterministic: bool = False) -> Tensor:
        if deterministic:
            return self.bounded(self.mean(observation))
        return self.action_log_prob(observation)[0]

    def action_log_prob(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions ``[N, J]``, and return them with the logarithms of their densities ``[N]``."""
        mean = self.mean(observation)
        standard = torch.randn_like(mean)
        action = self.bounded(mean + self.log_std.exp() * standard)
        log_prob = -0.5 * standard**2 - self.log_std - 0.5 * math.log(2 * math.pi)
        return action, log_prob.sum(dim=1)

    def _predict(self, observation: Tensor, deterministic: bool = False) -> Tensor:  # type: ignore[override]
        return self.forward(observation, deterministic)


class StructuredSACPolicy(StructuredOffPolicy):
    """An actor of ``wormwood.agents`` with noise that it learns, and its critics, for Stable-Baselines3's SAC."""

    def __init__(self, *spaces_and_schedule: Any, noise_std: float = 0.1, **kwargs: Any) -> None:
        """Build the policy; the other arguments are those of ``StructuredOffPolicy``.

        Args:
            spaces_and_schedule: observation space, action space and learning rate.
            noise_std: standard deviation of the noise at the start, as a share of half the range of actions.
            kwargs: of ``StructuredOffPolicy``.
        """
        self._noise_std = noise_std
        super().__init__(*spaces_and_schedule, **kwargs)

    def _build_actors(self, weights: Arrays) -> None:
        actor = _Actor(self._make_module(weights), self._bounds(), self._noise_std)
        self.actor = actor.to(self.device)  # type: ignore[assignment]

    def _noise_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self._noise], "rate_scale": 1.0}]

    @torch.no_grad()
    def _project(self) -> None:
        super()._project()
        self._noise.clamp_(math.log(LEAST_NOISE), math.log(MOST_NOISE))

    @property
    def _noise(self) -> nn.Parameter:
        actor: Any = self.actor
        noise: nn.Parameter = actor.log_std
        return noise

    def policy_weights(self) -> Arrays:
        """Return the weights of the policy in NumPy: the actor's, its noise, and what it standardises by."""
        assert isinstance(self.action_space, Box)
        half = (self.action_space.high - self.action_space.low) / 2
        noise = self._noise.detach().exp().cpu().double().numpy() * half
        return {**super().policy_weights(), "log_std": torch.as_tensor(noise).log().numpy()}

    def set_training_mode(self, mode: bool) -> None:
        self.actor.set_training_mode(mode)
        self.critic.set_training_mode(mode)
        self.training = mode

    def _predict(self, observation: Any, deterministic: bool = False) -> Tensor:
        actor: Any = self.actor
        action: Tensor = actor(observation, deterministic)
        return action

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "noise_std": self._noise_std}


class NCAPSACPolicy(StructuredSACPolicy):
    """The C. elegans circuit for SAC: ``SAC(NCAPSACPolicy, make_swimmers("swimmer-6", 8), learning_starts=0)``."""

    def __init__(
        self, observation_space: Space[Any], action_space: Space[Any], lr_schedule: Schedule, **kwargs: Any
    ) -> None:
        """Build the policy; ``kwargs`` are those of ``StructuredSACPolicy``, of which none is required."""
        kwargs.setdefault("agent", NCAPConfig(constraint="straight_through"))
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)
