"""Settings of TD3, and so of DDPG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.policies.perceptron_settings import HiddenLayers
from wormwood.agents.policies.setting_types import Count, Rate, Share

__all__ = ["TD3Config"]


@dataclass(frozen=True)
class TD3Config:
    """TD3 (Fujimoto et al. 2018, https://arxiv.org/abs/1802.09477), by the ``train`` of Stable-Baselines3.

    With one critic, an actor delay of 1 and no target noise it is DDPG (Lillicrap et al. 2015,
    https://arxiv.org/abs/1509.02971). No step is taken at random: exploration starts from what the actor does.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["td3"] = "td3"
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
    actor_delay: Annotated[int, Field(ge=1, le=1000)] = 2
    """Steps of the critics for each step of the actor."""
    target_noise: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 0.2
    """Standard deviation of the noise in the target's actions, as a share of half their range; clipped at 2.5 times."""
    noise_std: Annotated[float, Field(ge=1e-6, le=1e3, allow_inf_nan=False)] = 0.1
    """Standard deviation of the exploration noise, in units of action."""
    critic_hidden: HiddenLayers = (256, 256)
    """Units of each hidden layer of the critics."""
