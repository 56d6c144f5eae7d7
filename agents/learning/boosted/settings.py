"""Settings of how forests learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.learning.on_policy_settings import OnPolicyConfig
from wormwood.agents.policies import setting_types as numbers
from wormwood.agents.policies.perceptron_settings import HiddenLayers
from wormwood.agents.policies.setting_types import Count, Positive
from wormwood.configs.checked import check_fields
from wormwood.configs.idle_settings import Uses
from wormwood.trees.schedules import RateSchedule

__all__ = ["BoostedLearnerConfig", "BoostingConfig", "Rate"]

Rate = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | RateSchedule


@dataclass(frozen=True)
class BoostingConfig:
    """How outputs follow gradients."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    policy_rate: Rate = 0.03
    """Learning rate of the policy's outputs: a number, or ``{first, last, trees}`` that changes with the trees."""
    value_rate: Rate = 0.015
    """Learning rate of the value."""
    policy_max_grad_norm: Positive = 100.0
    """A transition's gradient of the policy's outputs is scaled down to this length."""
    value_grad_clip: Positive = 10.0
    """A transition's gradient of the value is clipped to this."""
    merge: Annotated[int, Field(ge=1, le=1000)] = 1
    """Consecutive minibatches that share the structure of one tree, which is kept as one tree: so many times fewer."""
    max_trees: Annotated[int, Field(ge=2, le=10_000_000)] | None = None
    """A forest that has grown beyond this is distilled after the update; None lets it grow for ever."""
    distilled_trees: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    """Trees of a forest that was distilled. More follow the large forest closer, and take longer to fit."""
    distilled_rows: Annotated[int, Field(ge=1, le=10_000_000)] = 16_384
    """Rows on which the distilled forest has to agree with the large one: those that were learned from last."""
    noise_rate: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = 3e-4
    """Adam's step size for the noise of continuous actions; 0 leaves the noise as it is."""

    def __post_init__(self) -> None:
        """Check every value."""
        check_fields(self)

    def uses(self) -> Uses:
        """Return which of the settings that not every forest uses are used here."""
        bounded = (self.max_trees is not None, "max_trees is set")
        return {"distilled_trees": bounded, "distilled_rows": bounded}


@dataclass(frozen=True, kw_only=True)
class BoostedLearnerConfig(OnPolicyConfig):
    """PPO, A2C or AWR of a forest."""

    kind: Literal["boosted"] = "boosted"
    loss: Literal["ppo", "a2c", "awr"] = "ppo"
    """Proximal policy optimisation, the plain policy gradient, which makes one tree of each rollout, or
    advantage-weighted regression."""
    boosting: BoostingConfig = field(default_factory=BoostingConfig)
    """How outputs follow gradients."""
    environments: Count = 8
    steps: Count = 128
    """Control steps of each environment in one iteration."""
    epochs: Count = 4
    batch_size: Annotated[int, Field(ge=2, le=1_000_000_000)] = 256
    """Transitions of each tree."""
    clip_range: Positive = 0.2
    """With ``ppo``: how far an action's probability may move in one update, as a ratio."""
    temperature: Positive = 1.0
    """With ``awr``: an action counts ``exp(advantage / temperature)``, at most 20."""
    value_coefficient: Positive = 0.87
    normalize_advantage: bool = True
    """Standardise the advantages of each minibatch."""
    target_kl: Positive | None = None
    """Stop an update's passes where the policy has moved by more than 1.5 times this; None never does."""
    noise_std: Annotated[float, Field(ge=1e-6, le=1e3, allow_inf_nan=False)] = 0.135
    """Standard deviation of the exploration noise of continuous actions at the start."""
    critic: Literal["forest", "mlp"] = "forest"
    """What estimates the value: trees, or a perceptron over the same features, for a policy that shares no trees."""
    critic_hidden: HiddenLayers = (64, 64)
    """Units of each hidden layer of an ``mlp``."""
    critic_rate: numbers.Rate = 1e-3
    """Adam's step size for an ``mlp``."""

    def uses(self) -> Uses:
        """Return which of the settings that not every loss or critic uses are used here."""
        network = (self.critic == "mlp", "critic is mlp")
        several = (self.loss != "a2c", "loss is not a2c, which makes one tree of each rollout")
        return {
            "epochs": several,
            "batch_size": several,
            "target_kl": several,
            "temperature": (self.loss == "awr", "loss is awr"),
            "clip_range": (self.loss == "ppo", "loss is ppo"),
            "critic_hidden": network,
            "critic_rate": network,
            "boosting.value_rate": (self.critic == "forest", "critic is forest"),
        }
