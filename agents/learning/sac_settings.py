"""Settings of SAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from wormwood.agents.learning.off_policy_settings import OffPolicyConfig
from wormwood.agents.policies.setting_types import Positive, Rate

__all__ = ["SACConfig"]


@dataclass(frozen=True, kw_only=True)
class SACConfig(OffPolicyConfig):
    """Soft actor-critic (Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905), by Stable-Baselines3's ``train``.

    The noise is Gaussian, clipped, and the same everywhere; entropy decides how wide it is, not where the actor goes.
    """

    kind: Literal["sac"] = "sac"
    critic_rate: Rate = 1e-3
    """Adam's step size for the critics, the noise and the weight of entropy."""
    tau: Annotated[float, Field(gt=0, le=1)] = 0.005
    """Share by which the target networks move at each step."""
    noise_std: Annotated[float, Field(ge=0.01, le=0.5)] = 0.1
    """Standard deviation of the noise at the start, as a share of half the range of actions."""
    entropy_per_action: Annotated[float, Field(ge=-10, le=2, allow_inf_nan=False)] = -1.0
    """Entropy in nats that the noise of each number of an action is led to; -1 is a standard deviation of 0.09."""
    initial_entropy_coefficient: Positive = 0.01
    """Weight of the entropy bonus at the start; it is learned."""
