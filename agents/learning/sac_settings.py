"""Settings of SAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.policies.perceptron_settings import HiddenLayers
from wormwood.agents.policies.setting_types import Count, Positive, Rate, Share

__all__ = ["SACConfig"]


@dataclass(frozen=True)
class SACConfig:
    """Soft actor-critic (Haarnoja et al. 2018, https://arxiv.org/abs/1812.05905), by Stable-Baselines3's ``train``.

    The noise is Gaussian, clipped, and the same everywhere; entropy decides how wide it is, not where the actor goes.
    No step is taken at random: exploration starts from what the actor does.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["sac"] = "sac"
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
    """Adam's step size for the critics, the noise and the weight of entropy."""
    gamma: Share = 0.99
    """Discount of each control step. Closer to 1 looks further ahead and makes values noisier."""
    tau: Annotated[float, Field(gt=0, le=1)] = 0.005
    """Share by which the target networks move at each step."""
    critics: Annotated[int, Field(ge=1, le=10)] = 2
    """Critics, of which the most pessimistic counts."""
    noise_std: Annotated[float, Field(ge=0.01, le=0.5)] = 0.1
    """Standard deviation of the noise at the start, as a share of half the range of actions."""
    entropy_per_action: Annotated[float, Field(ge=-10, le=2, allow_inf_nan=False)] = -1.0
    """Entropy in nats that the noise of each number of an action is led to; -1 is a standard deviation of 0.09."""
    entropy_coefficient: Positive = 0.01
    """Weight of entropy at the start; it is learned."""
    critic_hidden: HiddenLayers = (256, 256)
    """Units of each hidden layer of the critics."""
