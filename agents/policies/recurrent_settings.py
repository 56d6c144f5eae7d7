"""Settings of recurrent agents and of how they learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

__all__ = ["GRUConfig", "LinearTransformerConfig"]


@dataclass(frozen=True)
class GRUConfig:
    """A gated recurrent unit (Cho et al. 2014, https://arxiv.org/abs/1406.1078) that sees the whole observation."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["gru"] = "gru"
    """Which agent this is."""
    units: Annotated[int, Field(ge=1, le=4096)] = 32
    """Numbers that it remembers. More can remember more, and learn slower."""


@dataclass(frozen=True)
class LinearTransformerConfig:
    """A transformer with linear attention, which is a memory of slots (after Katharopoulos et al. 2020)."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["linear-transformer"] = "linear-transformer"
    """Which agent this is."""
    units: Annotated[int, Field(ge=1, le=4096)] = 64
    """Numbers that stand for one step."""
    layers: Annotated[int, Field(ge=1, le=64)] = 2
    """Layers, each with slots of its own. What one has recalled, the next can store."""
    heads: Annotated[int, Field(ge=1, le=256)] = 4
    """Questions that each layer asks at once, each of its own slots."""
    slots: Annotated[int, Field(ge=1, le=4096)] = 16
    """Slots of each head. More can hold more things apart."""
    width: Annotated[int, Field(ge=1, le=4096)] = 16
    """Numbers in each slot."""
