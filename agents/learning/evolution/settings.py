"""Settings of the evolution strategies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.policies.setting_types import Rate

__all__ = ["CMAESConfig", "OpenAIESConfig"]

# Many more than anyone runs, few enough for their arrays to exist.
MOST = 100_000
# Coordinates are logarithms of magnitudes: a thousand more, and e to their power overflows.
Sigma = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]


@dataclass(frozen=True)
class CMAESConfig:
    """CMA-ES (Hansen 2016, https://arxiv.org/abs/1604.00772) through the ``cmaes`` library.

    It is for up to about 100 parameters, of which it learns how they depend on each other.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["cma-es"] = "cma-es"
    """Which learner this is."""
    population: Annotated[int, Field(ge=4, le=MOST)] = 8
    """Candidates of each generation. Larger ones are slower and less easily misled by a lucky start."""
    starts: Annotated[int, Field(ge=1, le=MOST)] = 1
    """Episodes of each candidate, on the same starts for all of a generation."""
    sigma: Sigma = 0.3
    """Standard deviation of the first generation, in search coordinates: 0.3 changes a magnitude by about a third."""


@dataclass(frozen=True)
class OpenAIESConfig:
    """OpenAI-ES (Salimans et al. 2017, https://arxiv.org/abs/1703.03864) with mirrored noise, centred ranks and Adam.

    It scales to any number of parameters.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["openai-es"] = "openai-es"
    """Which learner this is."""
    population: Annotated[int, Field(ge=2, le=MOST, multiple_of=2)] = 16
    """Candidates of each generation, in mirrored pairs."""
    starts: Annotated[int, Field(ge=1, le=MOST)] = 1
    """Episodes of each candidate, on the same starts for all of a generation."""
    sigma: Sigma = 0.1
    """Standard deviation of the noise. Larger values see further and blur the gradient."""
    learning_rate: Rate = 0.05
    """Adam's step size, about the change of a coordinate in one generation."""
    weight_decay: Annotated[float, Field(ge=0, le=1e3, allow_inf_nan=False)] = 0.0
    """Share of each coordinate that is taken off the gradient."""
