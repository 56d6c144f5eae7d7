"""Learning rates of the trees of a forest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field

from wormwood.configs.checked import check_fields
from wormwood.errors import bad_input

__all__ = ["RateSchedule"]


@dataclass(frozen=True)
class RateSchedule:
    """A learning rate that is constant, or changes linearly with the index of the tree."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    first: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Rate of the first tree. Larger rates fit faster, and follow the noise of a minibatch further."""
    last: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Rate of tree ``trees`` and all later ones; the same as ``first`` where left out."""
    trees: Annotated[int, Field(ge=1)] | None = None
    """Trees over which the rate goes from ``first`` to ``last``."""

    def __post_init__(self) -> None:
        """Check every value, and what types alone do not say."""
        check_fields(self)
        if (self.last is None) != (self.trees is None):
            raise bad_input("schedule", where="learning rate", expected="both last and trees, or neither", got=self)

    def rate(self, tree: int) -> float:
        """Return the rate of the tree with this index, from 0 on."""
        if self.last is None or self.trees is None:
            return self.first
        progress = min(tree / self.trees, 1.0)
        return (1.0 - progress) * self.first + progress * self.last
