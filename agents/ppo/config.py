"""Settings of proximal policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

__all__ = ["PPOConfig"]

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class PPOConfig:
    """PPO (Schulman et al. 2017, https://arxiv.org/abs/1707.06347), by the ``train`` of Stable-Baselines3."""

    kind: Literal["ppo"] = "ppo"
    """Which learner this is."""
    environments: Annotated[int, Field(ge=1)] = 16
    """Environments that collect experience side by side, split evenly among the shards."""
    steps: Annotated[int, Field(ge=1)] = 128
    """Control steps of each environment in one iteration."""
    lag: Literal[0, 1] = 0
    """Updates by which the policy that collects is older than the one that learns. 1 collects while it learns, which
    is faster where both take long; importance weights account for the older policy."""
    actor_rate: Positive = 3e-4
    """Adam's step size for the actor. A circuit's few weights take larger steps than a network's many."""
    critic_rate: Positive = 1e-3
    """Adam's step size for the critic."""
    gamma: Share = 0.99
    """Discount of each control step. Closer to 1 looks further ahead and makes advantages noisier."""
    gae_lambda: Share = 0.95
    """Trust in rewards over the critic, from 0 (the critic alone) to 1 (rewards alone)."""
    clip_range: Positive = 0.2
    """How far an action's probability may move in one update, as a ratio."""
    epochs: Annotated[int, Field(ge=1)] = 10
    """Passes over each iteration's experience."""
    batch_size: Annotated[int, Field(ge=2)] = 512
    """Transitions of each gradient step."""
    normalize_advantage: bool = True
    """Standardise the advantages of each minibatch."""
    entropy_coefficient: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the bonus for random actions."""
    value_coefficient: Positive = 0.5
    """Weight of the critic's loss."""
    max_grad_norm: Positive = 0.5
    """Gradients longer than this are scaled down to it, actor and critic together."""
    target_kl: Positive | None = None
    """Stop an update's passes where the policy has moved by more than 1.5 times this; None never does."""
    noise_std: Positive = 0.3
    """Standard deviation of the exploration noise at the start, in units of action."""
    learn_noise: bool = False
    """Learn the noise as well, one standard deviation for each joint."""
    critic: Literal["flat", "pooled"] = "flat"
    """``flat`` looks at the whole observation of one body; ``pooled`` looks at every link alike and takes the mean, so
    that it carries over to bodies of other lengths."""
    critic_hidden: tuple[Annotated[int, Field(gt=0)], ...] = (64, 64)
    """Units of each hidden layer of the critic."""
