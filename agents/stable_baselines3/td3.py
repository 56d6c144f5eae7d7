"""Structured actors as policies of Stable-Baselines3's TD3 and DDPG: ``TD3(NCAPTD3Policy, env)``."""

from __future__ import annotations

from stable_baselines3.common.type_aliases import Schedule

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.stable_baselines3.off_policy import StructuredOffPolicy
from wormwood.agents.stable_baselines3.off_policy_modules import BoundedActor

__all__ = ["NCAPTD3Policy", "StructuredTD3Policy"]


class StructuredTD3Policy(StructuredOffPolicy):
    """An actor of ``wormwood.agents`` and its critics, for Stable-Baselines3's TD3 and DDPG."""

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        self.actor_target.load_state_dict(self.actor.state_dict())
        self.actor_target.set_training_mode(False)

    def _build_actors(self, weights: Arrays) -> None:
        self.actor, self.actor_target = self._make_actor(weights), self._make_actor(weights)  # type: ignore[assignment]

    def _make_actor(self, weights: Arrays) -> BoundedActor:
        return BoundedActor(self._make_module(weights), self._bounds()).to(self.device)


class NCAPTD3Policy(StructuredTD3Policy):
    """The C. elegans circuit for TD3 and DDPG: ``TD3(NCAPTD3Policy, make_swimmers("swimmer-6", 8))``."""

    usual_agent = NCAPConfig(constraint="straight_through")
