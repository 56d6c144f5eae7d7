"""Settings that the off-policy learners have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.policies.perceptron_settings import HiddenLayers
from wormwood.agents.policies.setting_types import Count, Rate, Share
from wormwood.configs.checked import check_fields

__all__ = ["OffPolicyConfig"]


@dataclass(frozen=True, kw_only=True)
class OffPolicyConfig:
    """What every learner has that learns from a buffer of transitions, by Stable-Baselines3's ``train``.

    No step is taken at random: exploration starts from what the actor does.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: str
    """Which learner this is."""
    environments: Count = 16
    """Environments that collect experience side by side, split evenly among the shards."""
    steps: Count = 32
    """Control steps of each environment in one iteration."""
    lag: Literal[0, 1] = 0
    """Updates by which the policy that collects is older than the one that learns. 1 collects while it learns."""
    buffer_size: Annotated[int, Field(ge=1, le=100_000_000)] = 200_000
    """Transitions that are remembered; the oldest iteration is forgotten first."""
    replay_ratio: Annotated[float, Field(gt=0, le=64, allow_inf_nan=False)] = 0.25
    """Gradient steps for each new transition."""
    batch_size: Annotated[int, Field(ge=4, le=1_000_000)] = 256
    """Transitions of each gradient step."""
    critic_iterations: Annotated[int, Field(ge=0, le=100_000)] = 4
    """First iterations in which only the critics learn, so that an actor that starts well is not led astray by critics
    that know nothing yet."""
    actor_rate: Rate = 1e-4
    """Adam's step size for the actor. A circuit's few weights take larger steps than a network's many."""
    critic_rate: Rate = 1e-3
    """Adam's step size for the critics."""
    gamma: Share = 0.99
    """Discount of each control step. Closer to 1 looks further ahead and makes values noisier."""
    tau: Annotated[float, Field(gt=0, le=1)] = 0.005
    """Share by which the target networks move at each step of the actor."""
    critics: Annotated[int, Field(ge=1, le=10)] = 2
    """Critics, of which the most pessimistic counts."""
    critic_hidden: HiddenLayers = (256, 256)
    """Units of each hidden layer of the critics."""

    def __post_init__(self) -> None:
        """Check every value."""
        check_fields(self)
