"""Settings of proximal policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from wormwood.agents.learning.on_policy_settings import OnPolicyConfig
from wormwood.agents.policies.perceptron_settings import HiddenLayers
from wormwood.agents.policies.setting_types import Count, Positive, Rate
from wormwood.configs.idle_settings import Uses
from wormwood.trees.config import TreeConfig

__all__ = ["PPOConfig"]

# The bounds are far from what is of use: they keep float32 from overflowing and arrays from being too large to exist.


@dataclass(frozen=True, kw_only=True)
class PPOConfig(OnPolicyConfig):
    """PPO (Schulman et al. 2017, https://arxiv.org/abs/1707.06347).

    A perceptron, or a circuit of one weight for each synapse and without commands, with the critic ``mlp`` learns by a
    compiled update, without torch; all else, and CUDA, by the ``train`` of Stable-Baselines3.
    """

    kind: Literal["ppo"] = "ppo"
    steps: Count = 128
    """Control steps of each environment in one iteration."""
    actor_rate: Rate = 3e-4
    """Adam's step size for the actor. A circuit's few weights take larger steps than a network's many."""
    critic_rate: Rate = 1e-3
    """Adam's step size for the critic."""
    batch_size: Annotated[int, Field(ge=2, le=1_000_000_000)] = 512
    """Transitions of each gradient step."""
    normalize_advantage: bool = True
    """Standardise the advantages of each minibatch."""
    max_grad_norm: Positive = 0.5
    """Gradients longer than this are scaled down to it, actor and critic together."""
    target_kl: Positive | None = None
    """Stop an update's passes where the policy has moved by more than 1.5 times this; None never does."""
    learn_noise: bool = False
    """Learn the noise as well, one standard deviation for each joint."""
    critic: Literal["mlp", "pooled", "forest"] = "mlp"
    """``mlp`` is a perceptron over the whole observation of one body; ``pooled`` looks at every link alike and takes
    the mean, so that it carries over to bodies of other lengths; ``forest`` grows trees over the whole observation."""
    critic_tree: TreeConfig = field(default_factory=TreeConfig)
    """How the trees of a ``forest`` are grown."""
    critic_tree_rate: Rate = 0.05
    """Learning rate of a ``forest``."""
    critic_hidden: HiddenLayers = (64, 64)
    """Units of each hidden layer of the critic."""

    def uses(self) -> Uses:
        """Return which of the settings that not every critic uses are used here."""
        forest = (self.critic == "forest", "critic is forest")
        network = (self.critic != "forest", "critic is mlp or pooled")
        return {"critic_tree": forest, "critic_tree_rate": forest, "critic_hidden": network}
