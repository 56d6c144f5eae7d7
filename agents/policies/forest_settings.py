"""Settings of forests that act."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.configs.checked import check_fields
from wormwood.configs.idle_settings import Uses
from wormwood.trees.config import TreeConfig

__all__ = ["ForestConfig"]


@dataclass(frozen=True)
class ForestConfig:
    """A policy whose outputs are those of a boosted forest."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["forest"] = "forest"
    """Which agent this is."""
    tree: TreeConfig = field(default_factory=TreeConfig)
    """How each tree is grown."""
    shares_trees: bool = True
    """One forest for policy and value, so that both split where either gains, or one for each."""
    features: Literal["flat", "joint"] = "flat"
    """What the forest looks at: the whole observation but its clock, or each joint of a swimmer by itself. With
    ``joint`` one forest moves every joint of a body with any number of them."""
    period: Annotated[float, Field(gt=0, le=10_000)] = 60.0
    """With ``joint``: control steps of the clock's period, whose phase the forest sees."""

    def __post_init__(self) -> None:
        """Check every value."""
        check_fields(self)

    def uses(self) -> Uses:
        """Return which of the settings that not every forest uses are used here."""
        return {"period": (self.features == "joint", "features is joint")}
