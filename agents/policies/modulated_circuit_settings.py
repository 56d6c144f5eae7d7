"""Settings of modulated circuits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.configs.idle_settings import Uses
from wormwood.errors import bad_input

__all__ = ["WHERE", "Cue", "ModulatedNCAPConfig"]

WHERE = "agent modulated-ncap"
Cue = Literal["links", "return"]


@dataclass(frozen=True)
class ModulatedNCAPConfig:
    """A circuit whose weights depend on what the trial tells: the number of links, and how well it has swum so far.

    It is for trials of the family ``swimmer-bodies``, where a circuit of one set of weights has to fit all bodies.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["modulated-ncap"] = "modulated-ncap"
    """Which agent this is."""
    cues: Annotated[tuple[Cue, ...], Field(max_length=2)] = ("links", "return")
    """What the weights depend on: ``links``, one more than the joints that have bent, known from the first step on;
    ``return``, the mean reward of the episodes that have ended, which tells of the fluid. None is a fixed circuit."""
    modulated: tuple[str, ...] = ("period",)
    """What depends on them: ``period``, ``lag``, or names of synapses. The fewer, the better for bodies unlike those of
    training. What evolution does not search is not modulated, either: the period without ``learn_period``."""
    circuit: NCAPConfig = field(default_factory=lambda: NCAPConfig(learn_period=True))
    """What is modulated; its weights are shared among joints, so that it fits every body."""

    def __post_init__(self) -> None:
        """Check what types alone do not say."""
        circuit = self.circuit
        if not (circuit.share_weights and circuit.constrain_signs) or circuit.steering != "fixed" or circuit.patience:
            expected = "share_weights: true, constrain_signs: true, steering: fixed and no patience"
            raise bad_input("circuit", where=WHERE, expected=expected, got="another circuit")
        if len(set(self.cues)) < len(self.cues):
            raise bad_input("cues", where=WHERE, expected="each cue once", got=list(self.cues))
        known = self.searched
        for name in self.modulated:
            if name not in known or self.modulated.count(name) > 1:
                expected = f"some of {', '.join(known)}, each once"
                raise bad_input("modulated", where=WHERE, expected=expected, got=name, nearest_to=known)

    def uses(self) -> Uses:
        """Return which of the settings that not every circuit uses are used here."""
        told = (False, "a trial of swimmer-bodies told a speed or a target, which it does not")
        return {
            "modulated": (bool(self.cues), "there are cues"),
            "circuit.speed_control": told,
            "circuit.turn_control": told,
        }

    @property
    def searched(self) -> tuple[str, ...]:
        """What evolution searches, and cues may modulate."""
        lag, period = ("lag",) * self.circuit.local_oscillators, ("period",) * self.circuit.learn_period
        return (*self.circuit.synapses, *lag, *period)
