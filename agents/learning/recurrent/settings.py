"""Settings of how recurrent agents learn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.learning.memory.settings import FeedbackConfig, ScheduleConfig
from wormwood.agents.learning.on_policy_settings import TrialPPOConfig
from wormwood.agents.policies.setting_types import Count, Positive, Rate
from wormwood.configs.idle_settings import Uses

__all__ = ["FastSlowConfig", "KickstartConfig", "RecurrentPPOConfig"]


@dataclass(frozen=True)
class KickstartConfig:
    """A teacher for the first updates: kickstarting (Schmitt et al. 2018, https://arxiv.org/abs/1803.03835).

    The agent acts by itself. Of every step, the teacher says what it would have done, having seen the same, and the
    loss gets the cross-entropy to that.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    teacher: str
    """A classic policy of the task family, by name."""
    weight: Positive = 1.0
    """Weight of the cross-entropy in the first update."""
    updates: Annotated[int, Field(ge=1, le=100_000_000)] = 300
    """Updates over which the weight falls in a line to 0. From then on the agent is on its own."""


@dataclass(frozen=True, kw_only=True)
class RecurrentPPOConfig(TrialPPOConfig):
    """PPO (Schulman et al. 2017, https://arxiv.org/abs/1707.06347) by backpropagation through time.

    On trials of a task family it is RL² (Duan et al. 2016, https://arxiv.org/abs/1611.02779).
    """

    kind: Literal["recurrent-ppo"] = "recurrent-ppo"
    steps: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Control steps of each environment in one iteration, through which gradients flow back; 0 is the whole trial.
    Fewer let updates come before a trial ends, and teach less of what has to be remembered for longer."""
    rate: Rate = 2e-3
    """Adam's step size at the start."""
    anneal: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    """Updates over which step size and entropy bonus fall in a line to a tenth, where they stay; 0 keeps them."""
    minibatches: Count = 4
    """Gradient steps of each pass, each on its share of the trials."""
    max_grad_norm: Positive = 0.5
    """Gradients longer than this are scaled down to it."""
    kickstart: KickstartConfig | None = None
    """A teacher for the first updates; none, unless one is named. It needs whole trials (``steps`` 0)."""


@dataclass(frozen=True, kw_only=True)
class FastSlowConfig(TrialPPOConfig):
    """PPO of recurrent agents whose controllers learn fast, from windows of a trial, and slow, from whole ones.

    At a window's end, a feedback module predicts what the rest of the trial wants of the state (synthetic gradients,
    Jaderberg et al. 2017, https://arxiv.org/abs/1608.05343). Its use for reinforcement learning is this project's.
    """

    kind: Literal["fast-slow"] = "fast-slow"
    memories: Annotated[int, Field(ge=1, le=64)] = 1
    """Memories that learn side by side, each from its own share of the shards and with weights of its own. Where
    ``feedback.name`` is set they share one feedback module, which learns from all. The run exports the first."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """When the controllers learn, and how fast. Its trials are minibatches; none is longer than its horizon."""
    feedback: FeedbackConfig = field(default_factory=FeedbackConfig)
    """How the feedback module learns."""

    def uses(self) -> Uses:
        """Return which of the settings that not every schedule uses are used here."""
        predicts = (self.schedule.feedback, "schedule.feedback is true")
        names = ("hidden", "rate", "clip", "decay", "trace")
        shared = (self.schedule.feedback and self.memories > 1, "several memories have feedback to share")
        return {**dict.fromkeys((f"feedback.{name}" for name in names), predicts), "feedback.name": shared}
