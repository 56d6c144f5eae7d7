"""Settings of repertoires."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.errors import bad_input

__all__ = ["RepertoireConfig"]


@dataclass(frozen=True)
class RepertoireConfig:
    """Several circuits, each tried for one episode of a trial; from then on the one that has earned most is played.

    It is for trials of the family ``swimmer-bodies``, where a circuit of one set of weights has to fit all bodies.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["repertoire"] = "repertoire"
    """Which agent this is."""
    circuits: Annotated[int, Field(ge=1, le=100)] = 2
    """How many there are to choose from. One is a fixed circuit. More fit more bodies, and take longer to try."""
    spread: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = 1.5
    """By what the period of each is longer than that of the one before at the start, around the circuit's own."""
    circuit: NCAPConfig = field(default_factory=NCAPConfig)
    """What each of them is; its weights are shared among joints, so that it fits every body."""

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        if not self.circuit.share_weights or self.circuit.steering != "fixed":
            expected = "share_weights: true and steering: fixed, so that a circuit fits every body"
            raise bad_input("circuit", where="agent repertoire", expected=expected, got="another circuit")
