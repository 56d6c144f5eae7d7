"""Settings of the feedback module, and of when and how fast controllers learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field

from wormwood.agents.policies.setting_types import Positive, Rate, Share

__all__ = ["FeedbackConfig", "ScheduleConfig"]

Units = Annotated[int, Field(ge=1, le=4096)]


@dataclass(frozen=True)
class FeedbackConfig:
    """The module that predicts what later losses want the state to be (Jaderberg et al. 2017)."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    hidden: Units = 64
    """Units of its one hidden layer. More can tell more situations apart, and cost time in every window."""
    rate: Rate = 1e-3
    """Adam's step size. Larger follows the controllers sooner, and more of their noise."""
    clip: Positive = 5.0
    """Bound of its targets, in units of their running size. Smaller ignores rare large gradients."""
    decay: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.98
    """How slowly the running size of the targets forgets, for each update. Closer to 1 is steadier and later."""
    trace: Share = 1.0
    """λ: how far targets trust the gradient through a window over the predictions within it, from 0 (predictions one
    step ahead) to 1 (the window's own gradient up to its end)."""
    name: str | None = None
    """Memories that learn side by side and name the same module share it; None gives each its own."""


@dataclass(frozen=True)
class ScheduleConfig:
    """When the controllers learn, and how fast each of them."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    fast_every: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Steps of a window of the fast path. Longer ones see more true gradient, and hold a larger graph."""
    slow_every: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Every so many trials one learns by full backpropagation, which also gives the feedback module exact targets.
    Smaller is more exact and dearer: 1 is full backpropagation in every trial, 0 never."""
    feedback: bool = True
    """Predict what lies beyond a window. Without, the fast path is truncated backpropagation."""
    windows: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Windows whose gradients are summed before the controllers step. Fewer adapt within a trial, by noisier steps;
    0 sums those of the whole trial."""
    horizon: Annotated[int, Field(ge=1, le=1_000_000)] = 64
    """Longest trial in steps, the unit of the feedback module's clock. A longer trial is an error."""
    read_rate: Rate = 3e-3
    """Adam's step size for the read controller."""
    output_rate: Rate = 3e-3
    """Adam's step size for the output controller and what turns features into losses."""
    write_rate: Rate = 3e-3
    """Adam's step size for the write controller. Larger changes sooner what is kept and what is erased."""
    max_grad_norm: Positive = 1.0
    """Gradients longer than this are scaled down to it, all controllers together."""
