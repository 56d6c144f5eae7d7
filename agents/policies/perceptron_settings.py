"""Settings of the multilayer perceptron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.configs.checked import check_fields

__all__ = ["HiddenLayers", "MLPConfig"]

HiddenLayers = Annotated[tuple[Annotated[int, Field(gt=0, le=4096)], ...], Field(max_length=16)]
"""Units of each layer. A layer of 4096 units behind another has 130 MB of weights."""


@dataclass(frozen=True)
class MLPConfig:
    """A policy without structure: fully connected tanh layers over joints, command and velocities, not the clock."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["mlp"] = "mlp"
    """Which agent this is."""
    hidden: HiddenLayers = (64, 64)
    """Units of each hidden layer. Wider layers can express more and learn slower."""
    normalize: bool = True
    """Standardise velocities and command by their running mean and deviation while learning with PPO."""

    def __post_init__(self) -> None:
        """Check every value."""
        check_fields(self)
