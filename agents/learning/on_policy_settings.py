"""Settings that the on-policy learners have in common. Each overrides the defaults that are its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.policies.setting_types import Count, Positive, Share
from wormwood.configs.checked import check_fields

__all__ = ["OnPolicyConfig", "TrialPPOConfig"]


@dataclass(frozen=True, kw_only=True)
class OnPolicyConfig:
    """What every learner has that learns once from what its own policy has just collected."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: str
    """Which learner this is."""
    environments: Count = 16
    """Environments that collect experience side by side, split evenly among the shards."""
    lag: Literal[0, 1] = 0
    """Updates by which the policy that collects is older than the one that learns. 1 collects while it learns, which
    is faster where both take long; where the loss has importance weights, they account for the older policy."""
    gamma: Share = 0.99
    """Discount of each control step. Closer to 1 looks further ahead and makes advantages noisier."""
    gae_lambda: Share = 0.95
    """Trust in rewards over the critic, from 0 (the critic alone) to 1 (rewards alone)."""
    clip_range: Positive = 0.2
    """How far an action's probability may move in one update, as a ratio."""
    epochs: Count = 10
    """Passes over each iteration's experience."""
    entropy_coefficient: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    """Weight of the bonus for random actions."""
    value_coefficient: Positive = 0.5
    """Weight of the critic's loss."""
    noise_std: Annotated[float, Field(ge=1e-6, le=1e3, allow_inf_nan=False)] = 0.3
    """Standard deviation of the exploration noise at the start, in units of action."""

    def __post_init__(self) -> None:
        """Check every value."""
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class TrialPPOConfig(OnPolicyConfig):
    """What the learners of recurrent agents have in common: PPO on trials."""

    environments: Count = 256
    """Trials side by side, split evenly among the shards. Many of them are what makes tasks as different as a family's
    average out."""
    gamma: Share = 0.99
    """Discount of each control step, across the episodes of a trial. A trial's end is an end: nothing follows it."""
    reward_scale: Positive = 1.0
    """Rewards are multiplied by it while learning. Choose it so that returns are around 1: the critic learns them."""
    epochs: Count = 3
    """Passes over each iteration's trials."""
    minibatches: Count = 4
    """Parts of each pass, each with its share of the trials."""
    noise_std: Annotated[float, Field(ge=1e-6, le=1e3, allow_inf_nan=False)] = 0.5
    """Standard deviation of the exploration noise at the start, where actions are numbers; it is learned."""
