"""The C. elegans locomotion circuit forwards and backwards; ``agents/policies/circuit.py`` has the equations."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.learning.compiled.perceptrons import Places, Singles
from wormwood.compilation import inlined, kernel

__all__ = ["SYNAPSES", "Circuit", "build_circuit", "circuit_backward", "circuit_forward"]

SYNAPSES = ("prop", "osc", "own", "local", "ipsi", "contra")
"""In the order of ``Circuit.places``."""
PROP, OSC, OWN, LOCAL, IPSI, CONTRA = range(6)
SIDES = 2


class Circuit(NamedTuple):
    """What kernels know of a circuit of J joints with one weight for each synapse, and room for B rows at most.

    Outputs and their errors stand as those of a ``Perceptron`` do: row ``i`` begins at ``starts[-1] + i widths[-1]``.
    """

    angles: int
    """Column of the first joint's angle among the inputs ``[N, D]``."""
    clock: int
    """Column of the number of control steps since reset."""
    period: float
    """Of the oscillators, in control steps."""
    lag: float
    """Of each joint's oscillator behind that of the joint before, in periods."""
    through: bool
    """Gradients pass the clamps as if they were not there: straight-through."""
    limit: Singles
    """``[J]`` rad"""
    places: Places
    """``[6]`` where in the parameters the weights of ``SYNAPSES`` stand; -1 where the circuit has none."""
    signs: Places
    """``[6]`` on which side of zero a weight works, +1 or -1; 0 for either."""
    widths: Places
    """``[1]`` J"""
    starts: Places
    """``[1]`` 0"""
    inputs: Singles
    """``[B, D]``"""
    receptors: Singles
    """``[B, 2, J]`` stretch of each joint on both sides."""
    waves: Singles
    """``[B, 2, J]`` the oscillators of both sides, of which the head has the first."""
    drive: Singles
    """``[B, 2, J]`` what the neurons get."""
    pull: Singles
    """``[B, 2, J]`` what the muscles get."""
    values: Singles
    """``[B * J]`` outputs."""
    errors: Singles
    """``[B * J]`` derivatives of the loss by the outputs: who calls ``circuit_backward`` fills them in."""


def build_circuit(  # noqa: PLR0913
    limit: NDArray[np.floating[Any]],
    places: dict[str, int],
    signs: dict[str, int],
    *,
    inputs: int,
    angles: int,
    clock: int,
    period: float,
    lag: float,
    through: bool,
    rows: int,
) -> Circuit:
    """Return a circuit whose weights stand at ``places`` by synapse, for up to ``rows`` observations at once."""
    joints = len(limit)
    room = [np.zeros((rows, SIDES, joints), dtype=np.float32) for _ in range(4)]
    flat = [np.zeros(rows * joints, dtype=np.float32) for _ in range(2)]
    numbers = (np.array([by.get(name, absent) for name in SYNAPSES]) for by, absent in ((places, -1), (signs, 0)))
    sizes = np.array([joints]), np.array([0])
    seen = np.zeros((rows, inputs), dtype=np.float32)
    arrays: Any = [np.asarray(limit, dtype=np.float32), *numbers, *sizes, seen, *room, *flat]
    return Circuit(angles, clock, float(period), float(lag), through, *arrays)


@inlined
def _clamp(x: Any) -> Any:
    return min(max(x, np.float32(0.0)), np.float32(1.0))


@inlined
def _weight(circuit: Any, parameters: Any, synapse: int) -> Any:
    """Return a weight as the circuit uses it: on its side of zero, and 0 where there is no such synapse."""
    place, sign = circuit.places[synapse], circuit.signs[synapse]
    weight = np.float32(0.0) if place < 0 else parameters[place]
    if (sign > 0 and weight < 0) or (sign < 0 and weight > 0):
        return np.float32(0.0)
    return weight


@inlined
def _sense(circuit: Any, row: int) -> None:
    """Fill in what one row's receptors and oscillators do."""
    c = circuit
    time, half = float(c.inputs[row, c.clock]), c.period / 2.0
    for j in range(len(c.limit)):
        stretch = c.inputs[row, c.angles + j] / c.limit[j]
        c.receptors[row, 0, j], c.receptors[row, 1, j] = _clamp(stretch), _clamp(-stretch)
        dorsal = np.float32((time - j * c.lag * c.period) % c.period < half)
        c.waves[row, 0, j], c.waves[row, 1, j] = dorsal, np.float32(1.0) - dorsal


@kernel
def circuit_forward(circuit: Any, parameters: Any, rows: int) -> None:
    """Compute the muscles' pull at each joint, of the first ``rows`` inputs."""
    c, joints = circuit, len(circuit.limit)
    prop, osc, own = _weight(c, parameters, PROP), _weight(c, parameters, OSC), _weight(c, parameters, OWN)
    local, ipsi, contra = _weight(c, parameters, LOCAL), _weight(c, parameters, IPSI), _weight(c, parameters, CONTRA)
    for row in range(rows):
        _sense(c, row)
        for side in range(SIDES):
            for j in range(joints):
                before = prop * c.receptors[row, side, j - 1] + local * c.waves[row, side, j] if j else np.float32(0.0)
                head = osc * c.waves[row, side, j] if j == 0 else np.float32(0.0)
                c.drive[row, side, j] = before + head + own * c.receptors[row, side, j]
        for j in range(joints):
            dorsal, ventral = _clamp(c.drive[row, 0, j]), _clamp(c.drive[row, 1, j])
            c.pull[row, 0, j] = ipsi * dorsal + contra * ventral
            c.pull[row, 1, j] = ipsi * ventral + contra * dorsal
            c.values[row * joints + j] = _clamp(c.pull[row, 0, j]) - _clamp(c.pull[row, 1, j])


@inlined
def _passes(circuit: Any, x: Any) -> Any:
    """Return by what a gradient is multiplied at a clamp to [0, 1]."""
    return np.float32(circuit.through or (x >= 0 and x <= 1))


@kernel
def circuit_backward(circuit: Any, parameters: Any, gradient: Any, rows: int) -> None:
    """Fill in the weights' part of the gradient, after ``circuit_forward``, from the errors of the outputs."""
    c, joints = circuit, len(circuit.limit)
    sums = np.zeros(6)
    ipsi, contra = _weight(c, parameters, IPSI), _weight(c, parameters, CONTRA)
    for row in range(rows):
        for j in range(joints):
            error = c.errors[row * joints + j]
            dorsal, ventral = _clamp(c.drive[row, 0, j]), _clamp(c.drive[row, 1, j])
            one, other = error * _passes(c, c.pull[row, 0, j]), -error * _passes(c, c.pull[row, 1, j])
            sums[IPSI] += one * dorsal + other * ventral
            sums[CONTRA] += one * ventral + other * dorsal
            for side in range(SIDES):
                to_neuron = ipsi * one + contra * other if side == 0 else ipsi * other + contra * one
                slope = to_neuron * _passes(c, c.drive[row, side, j])
                sums[OWN] += slope * c.receptors[row, side, j]
                if j:
                    sums[PROP] += slope * c.receptors[row, side, j - 1]
                    sums[LOCAL] += slope * c.waves[row, side, j]
                else:
                    sums[OSC] += slope * c.waves[row, side, j]
    for synapse in range(6):
        place, sign = c.places[synapse], c.signs[synapse]
        if place >= 0:
            wrong = (sign > 0 and parameters[place] < 0) or (sign < 0 and parameters[place] > 0)
            gradient[place] = 0.0 if wrong and not c.through else sums[synapse]
