"""Where each quantity stands in a flat observation."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["ObservationLayout"]


@dataclass(frozen=True)
class ObservationLayout:
    """The columns of an observation ``[N, size]`` that hold joints, velocities, the task's command and the clock."""

    size: int
    """Length of the observation."""
    joints: slice
    """Joint angles in rad, head to tail."""
    velocities: slice
    """Velocities in m/s and rad/s."""
    command: slice = field(default_factory=lambda: slice(0, 0))
    """What the task asks for: the target in the head's frame (2, m), or the commanded speed (1, m/s)."""
    clock: int | None = None
    """Column of the number of control steps since reset, where there is one."""
