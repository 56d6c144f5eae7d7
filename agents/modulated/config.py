"""Settings of modulated circuits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.circuits.config import NCAPConfig
from wormwood.errors import bad_input

__all__ = ["Cue", "ModulatedNCAPConfig"]

Cue = Literal["links", "return"]


@dataclass(frozen=True)
class ModulatedNCAPConfig:
    """A circuit whose weights depend on what the trial has shown: the number of links, and how well it has swum so far.

    It is for trials of the family ``swimmer-bodies``, where a circuit of one set of weights has to fit all bodies.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["modulated-ncap"] = "modulated-ncap"
    """Which agent this is."""
    cues: Annotated[tuple[Cue, ...], Field(max_length=2)] = ("links", "return")
    """What the weights depend on: ``links``, known from the first step on, for those joints move that a body has;
    ``return``, the mean reward of the episodes that have ended, which tells of the fluid. None is a fixed circuit."""
    circuit: NCAPConfig = field(default_factory=NCAPConfig)
    """What is modulated; its weights are shared among joints, so that it fits every body."""

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        circuit = self.circuit
        if not (circuit.share_weights and circuit.constrain_signs) or circuit.steering != "fixed" or circuit.patience:
            expected = "share_weights: true, constrain_signs: true, steering: fixed and no patience"
            raise bad_input("circuit", where="agent modulated-ncap", expected=expected, got="another circuit")
        if len(set(self.cues)) < len(self.cues):
            expected = "each cue once"
            raise bad_input("cues", where="agent modulated-ncap", expected=expected, got=list(self.cues))
