"""Settings of proximal policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.policies.perceptron_settings import HiddenLayers
from wormwood.agents.policies.setting_types import Count, Positive, Rate, Share
from wormwood.trees.config import TreeConfig

__all__ = ["PPOConfig"]

# The bounds are far from what is of use: they keep float32 from overflowing and arrays from being too large to exist.


@dataclass(frozen=True)
class PPOConfig:
    """PPO (Schulman et al. 2017, https://arxiv.org/abs/1707.06347), by the ``train`` of Stable-Baselines3."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["ppo"] = "ppo"
    """Which learner this is."""
    environments: Count = 16
    """Environments that collect experience side by side, split evenly among the shards."""
    steps: Count = 128
    """Control steps of each environment in one iteration."""
    lag: Literal[0, 1] = 0
    """Updates by which the policy that collects is older than the one that learns. 1 collects while it learns, which
    is faster where both take long; importance weights account for the older policy."""
    actor_rate: Rate = 3e-4
    """Adam's step size for the actor. A circuit's few weights take larger steps than a network's many."""
    critic_rate: Rate = 1e-3
    """Adam's step size for the critic."""
    gamma: Share = 0.99
    """Discount of each control step. Closer to 1 looks further ahead and makes advantages noisier."""
    gae_lambda: Share = 0.95
    """Trust in rewards over the critic, from 0 (the critic alone) to 1 (rewards alone)."""
    clip_range: Positive = 0.2
    """How far an action's probability may move in one update, as a ratio."""
    epochs: Count = 10
    """Passes over each iteration's experience."""
    batch_size: Annotated[int, Field(ge=2, le=1_000_000_000)] = 512
    """Transitions of each gradient step."""
    normalize_advantage: bool = True
    """Standardise the advantages of each minibatch."""
    entropy_coefficient: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    """Weight of the bonus for random actions."""
    value_coefficient: Positive = 0.5
    """Weight of the critic's loss."""
    max_grad_norm: Positive = 0.5
    """Gradients longer than this are scaled down to it, actor and critic together."""
    target_kl: Positive | None = None
    """Stop an update's passes where the policy has moved by more than 1.5 times this; None never does."""
    noise_std: Annotated[float, Field(ge=1e-6, le=1e3, allow_inf_nan=False)] = 0.3
    """Standard deviation of the exploration noise at the start, in units of action."""
    learn_noise: bool = False
    """Learn the noise as well, one standard deviation for each joint."""
    critic: Literal["flat", "pooled", "boosted"] = "flat"
    """``flat`` is a network over the whole observation of one body; ``pooled`` looks at every link alike and takes the
    mean, so that it carries over to bodies of other lengths; ``boosted`` is a forest over the whole observation."""
    critic_tree: TreeConfig = field(default_factory=TreeConfig)
    """How the trees of a ``boosted`` critic are grown."""
    critic_tree_rate: Rate = 0.05
    """Learning rate of a ``boosted`` critic."""
    critic_hidden: HiddenLayers = (64, 64)
    """Units of each hidden layer of the critic."""
