"""Settings of TD3, and so of DDPG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from wormwood.agents.learning.off_policy_settings import OffPolicyConfig

__all__ = ["TD3Config"]


@dataclass(frozen=True, kw_only=True)
class TD3Config(OffPolicyConfig):
    """TD3 (Fujimoto et al. 2018, https://arxiv.org/abs/1802.09477), by the ``train`` of Stable-Baselines3.

    With one critic, an actor delay of 1 and no target noise it is DDPG (Lillicrap et al. 2015,
    https://arxiv.org/abs/1509.02971).
    """

    kind: Literal["td3"] = "td3"
    actor_delay: Annotated[int, Field(ge=1, le=1000)] = 2
    """Steps of the critics for each step of the actor."""
    target_noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.2
    """Standard deviation of the noise in the target's actions, as a share of half their range; clipped at 2.5 times."""
    noise_std: Annotated[float, Field(ge=1e-6, le=1e3, allow_inf_nan=False)] = 0.1
    """Standard deviation of the exploration noise, in units of action."""
