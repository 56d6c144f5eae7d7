"""Settings of the multilayer perceptron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

__all__ = ["MLPConfig"]


@dataclass(frozen=True)
class MLPConfig:
    """A policy without structure: fully connected tanh layers over joints, command and velocities, not the clock."""

    kind: Literal["mlp"] = "mlp"
    """Which agent this is."""
    hidden: tuple[Annotated[int, Field(gt=0)], ...] = (64, 64)
    """Units of each hidden layer. Wider layers can express more and learn slower."""
    normalize: bool = True
    """Standardise velocities and command by their running mean and deviation while learning with PPO."""
