"""Kinds of numbers that settings hold, with the bounds within which learners work."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

__all__ = ["Count", "Positive", "Rate", "Share"]

Count = Annotated[int, Field(ge=1, le=100_000)]
"""Environments, steps, passes."""
Positive = Annotated[float, Field(ge=1e-9, le=1e6, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=1e-12, le=10, allow_inf_nan=False)]
"""Adam's step size."""
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
