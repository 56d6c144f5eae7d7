"""Structured actors as policies of Stable-Baselines3's SAC: ``SAC(NCAPSACPolicy, env)``."""

from __future__ import annotations

import math
from typing import Any

import torch
from gymnasium.spaces import Box, Space
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from wormwood.agents.learning.sac_settings import SACConfig
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig
from wormwood.agents.stable_baselines3.off_policy import StructuredOffPolicy
from wormwood.agents.stable_baselines3.off_policy_modules import BoundedActor
from wormwood.agents.stable_baselines3.pairing import check_algorithm
from wormwood.agents.stable_baselines3.policy_options import checked_options
from wormwood.configs.checked import field_types
from wormwood.envs.bodies import Body
from wormwood.envs.specs import EnvironmentSpec
from wormwood.envs.tasks import Task

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

    def __init__(  # noqa: PLR0913 # SB3 unpacks policy_kwargs
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        lr_schedule: Schedule,
        *,
        agent: AgentConfig | None = None,
        body: str | Body | None = None,
        task: str | Task | None = None,
        spec: EnvironmentSpec | None = None,
        weights: Arrays | None = None,
        noise_std: float = 0.1,
        critic_hidden: tuple[int, ...] = (256, 256),
        n_critics: int = 2,
        actor_rate_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        """Build the policy.

        Args:
            observation_space: as all else, of ``StructuredOffPolicy``.
            action_space: of the task.
            lr_schedule: learning rate of the critics, the noise and the weight of entropy.
            agent: what acts; None is the circuit for ``NCAPSACPolicy``, whose gradients pass its clamps.
            body: a body, its name or YAML file.
            task: whose observation it is.
            spec: of the environment, in place of body and task.
            weights: of ``initial_weights`` or ``policy_weights``; None draws them.
            noise_std: standard deviation of the noise at the start, as a share of half the range of actions.
            critic_hidden: units of each hidden layer of the critics.
            n_critics: how many.
            actor_rate_scale: learning rate of the actor, as a multiple of the critics'.
            kwargs: what SB3's SAC passes on its own: ``use_sde=False``.

        Raises:
            BadInput: as from ``StructuredOffPolicy``.
        """
        check_algorithm(self)
        self._noise_std = checked_options({"noise_std": noise_std}, field_types(SACConfig))["noise_std"]
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            agent=agent,
            body=body,
            task=task,
            spec=spec,
            weights=weights,
            critic_hidden=critic_hidden,
            n_critics=n_critics,
            actor_rate_scale=actor_rate_scale,
            **kwargs,
        )

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

    usual_agent = NCAPConfig(constraint="straight_through")
