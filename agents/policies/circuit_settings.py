"""Settings of the C. elegans locomotion circuit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import ConfigDict

from wormwood.configs.checked import check_fields
from wormwood.configs.idle_settings import Uses
from wormwood.envs.bodies import Body, is_number
from wormwood.errors import bad_input

__all__ = ["SYNAPSES", "NCAPConfig", "Synapse"]

SMALLEST, LARGEST = 1e-6, 1e6  # of every positive number of a circuit: none of them becomes 0 or infinite in float32


@dataclass(frozen=True)
class Synapse:
    """One kind of connection in the circuit."""

    source: str
    target: str
    sign: int
    """+1 excitatory, -1 inhibitory."""


SYNAPSES: Mapping[str, Synapse] = {
    "prop": Synapse("stretch receptor of the joint in front", "B neuron", +1),
    "osc": Synapse("oscillator", "first B neuron", +1),
    "own": Synapse("stretch receptor of the same joint", "B neuron", -1),
    "local": Synapse("oscillator of the joint", "B neuron behind the first", +1),
    "ipsi": Synapse("B neuron", "muscle of the same side", +1),
    "contra": Synapse("B neuron", "muscle of the other side", -1),
    "speed": Synapse("command to slow down", "B neuron", -1),
    "turn": Synapse("command to turn", "B neurons next to the head", +1),
}
"""Every weight by name, in the order of parameter vectors."""


@dataclass(frozen=True)
class NCAPConfig:
    """The circuit and its ablations. The defaults are the published circuit with its 4 shared weights."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["ncap"] = "ncap"
    """Which agent this is."""
    share_weights: bool = True
    """One weight for each kind of synapse; otherwise one for each synapse, and the policy is tied to its body."""
    constrain_signs: bool = True
    """Keep excitatory weights positive and inhibitory ones negative (Dale's law)."""
    constraint: Literal["hard", "straight_through"] = "hard"
    """How gradients pass the clamps on weights and activities: ``hard`` stops them where a clamp is active, as in the
    reference, which leaves most weights without any; ``straight_through`` lets them pass. Actions are the same."""
    initialization: Literal["unit", "uniform"] = "unit"
    """Weights of magnitude 1, or uniform in [0, 1]. Without constrained signs the signs are drawn, too."""
    proprioception: bool = True
    """Let each joint excite the next: what makes the wave travel."""
    oscillator: bool = True
    """Drive the joint next to the head with a square wave."""
    own_feedback: bool = False
    """Let each joint's own stretch inhibit its B neuron: a joint that has bent far enough is let go. It is not in the
    published circuit."""
    local_oscillators: bool = False
    """Drive every joint behind the first by an oscillator of its own, too, each later than the one in front by a
    ``phase_lag``: a circuit that does without its head. It is not in the published circuit."""
    phase_lag: float = 0.15
    """Share of a period by which each local oscillator is later than the one in front, at the start. Evolution searches
    it with the weights, of which it is the one called ``lag``, also in ``bounds``; no gradient reaches it."""
    patience: float = 0.0
    """Longest that the oscillators wait in each half of an oscillation, in periods, until the joint next to the head
    has bent by ``reach``: where links are slow to turn, the period grows by itself. 0 keeps time, as the published
    circuit does. Evolution alone can train with it."""
    reach: float = 0.4
    """Share of its limit by which that joint has to bend before the oscillators turn, if they have patience. More than
    it bends at home slows the circuit down there."""
    speed_control: bool = False
    """Let a command inhibit all B neurons."""
    turn_control: bool = False
    """Let commands excite the B neurons of one side."""
    turn_joints: int = 1
    """Number of joints, from the head, that turning commands reach."""
    steering: Literal["fixed", "learned"] = "fixed"
    """How a target becomes commands: by the reference's thresholds, or by a linear map that is learned."""
    full_speed: float = 0.2
    """Commanded speed in m/s at which nothing is inhibited."""
    period: float = 60.0
    """Control steps of one oscillation."""
    body_periods: dict[str, float] = field(default_factory=dict)
    """Period on bodies of these names, in place of ``period`` or of what was learned."""
    learn_period: bool = False
    """Search the period together with the weights. Only evolution can: no gradient reaches it."""
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Smallest and largest magnitude, by weight or ``period``, that learning keeps to. Unbounded proprioception makes
    the circuit oscillate by itself, and the spread over starts grow."""

    def __post_init__(self) -> None:
        """Check every value, and what types alone do not say."""
        check_fields(self)
        periods = {"period": self.period, **{f"body_periods.{name}": p for name, p in self.body_periods.items()}}
        for name, period in periods.items():
            _check_positive(name, period, "a positive number of control steps")
        _check_positive("phase_lag", self.phase_lag, "a positive share of a period")
        _check_positive("reach", self.reach, "a positive share of a limit")
        if not is_number(self.patience, low=0.0, high=LARGEST):
            expected = f"a number of periods from 0 to {LARGEST:g}"
            raise bad_input("patience", where="agent ncap", expected=expected, got=self.patience)
        known = [*SYNAPSES, "period", "lag"]
        for name, (low, high) in self.bounds.items():
            if name not in known:
                expected = f"one of {', '.join(known)}"
                raise bad_input("bounds", where="agent ncap", expected=expected, got=name, nearest_to=known)
            if not (_in_range(low) and _in_range(high) and low < high):
                expected = f"two positive numbers, the smaller first, from {SMALLEST:g} to {LARGEST:g}"
                raise bad_input(f"bounds.{name}", where="agent ncap", expected=expected, got=(low, high))
        _check_positive("full_speed", self.full_speed, "a positive speed in m/s")
        if self.turn_joints < 1:
            raise bad_input("turn_joints", where="agent ncap", expected="at least 1", got=self.turn_joints)

    @property
    def synapses(self) -> tuple[str, ...]:
        """Names of the kinds of synapse that this circuit has, in the order of ``SYNAPSES``."""
        present = {
            "prop": self.proprioception,
            "osc": self.oscillator,
            "own": self.own_feedback,
            "local": self.local_oscillators,
            "speed": self.speed_control,
            "turn": self.turn_control,
        }
        return tuple(name for name in SYNAPSES if present.get(name, True))

    def uses(self) -> Uses:
        """Return which of the settings that not every circuit uses are used here."""
        clocked = self.oscillator or self.local_oscillators
        clock = (clocked, "oscillator or local_oscillators is true")
        searched = [*self.synapses, *("lag",) * self.local_oscillators, *("period",) * self.learn_period]
        return {
            "steering": (self.turn_control and self.speed_control, "turn_control and speed_control are true"),
            "turn_joints": (self.turn_control, "turn_control is true"),
            "full_speed": (self.speed_control, "speed_control is true"),
            "phase_lag": (self.local_oscillators, "local_oscillators is true"),
            "reach": (self.patience > 0, "patience is above 0"),
            **dict.fromkeys(("patience", "period", "learn_period", "body_periods"), clock),
            "bounds": (set(self.bounds) <= set(searched), f"they are of what is learned: {', '.join(searched)}"),
        }

    def shape(self, synapse: str, joints: int) -> tuple[int, ...]:
        """Return the shape of one weight: () where shared, else ``(sides, joints it reaches)``; dorsal is side 0."""
        if self.share_weights:
            return ()
        reached = {"prop": joints - 1, "osc": 1, "local": joints - 1, "turn": min(self.turn_joints, joints)}
        return 2, reached.get(synapse, joints)

    def period_on(self, body: Body) -> float | None:
        """Return the period that this body was given, or None where it has none of its own."""
        return self.body_periods.get(body.name)


def _in_range(value: float) -> bool:
    return is_number(value, low=SMALLEST, high=LARGEST)


def _check_positive(name: str, value: float, meaning: str) -> None:
    if not _in_range(value):
        raise bad_input(name, where="agent ncap", expected=f"{meaning}, from {SMALLEST:g} to {LARGEST:g}", got=value)
