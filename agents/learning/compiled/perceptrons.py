"""Perceptrons forwards and backwards, with parameters as a part of one flat array."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.learning.compiled.activations import ACTIVATIONS, activate
from wormwood.agents.learning.compiled.matrices import multiply, padded, transpose
from wormwood.compilation import inlined, kernel

__all__ = ["Perceptron", "Places", "Singles", "backward", "build", "forward", "layers", "load"]

Singles = NDArray[np.float32]
Places = NDArray[np.int64]


class Perceptron(NamedTuple):
    """What kernels know of a perceptron of L layers, and the room in which they compute, for B rows at most.

    Row ``i`` of layer ``l``'s numbers begins at ``starts[l] + i widths[l]``, where layer 0 is the inputs.
    """

    activation: int
    """Number in ``ACTIVATIONS``, of all layers but the last."""
    units: Places
    """``[L + 1]`` inputs, then the units of each layer."""
    widths: Places
    """``[L + 1]`` numbers to a row: the units, but for inputs up to a multiple of ``LANES``."""
    weights: Places
    """``[L]`` where in the parameters the matrices ``[units[l], widths[l + 1]]`` begin."""
    biases: Places
    """``[L]`` where the biases ``[widths[l + 1]]`` begin."""
    starts: Places
    """``[L + 1]``"""
    values: Singles
    """Inputs, hidden units and outputs."""
    slopes: Singles
    """Derivatives of the activations."""
    errors: Singles
    """Derivatives of the loss by the sums of each layer: who calls ``backward`` fills in those of the outputs."""
    turned: Singles
    """Room for a transposed matrix."""
    zeros: Singles
    """As many as the widest layer."""
    one: Singles
    """``[1]``"""


def build(inputs: int, units: Sequence[int], *, activation: str, first: int, rows: int) -> tuple[Perceptron, int]:
    """Return a perceptron whose parameters begin at ``first``, for up to ``rows`` at once, and where they end."""
    sizes = [inputs, *units]
    widths = [inputs, *map(padded, units)]
    weights, biases = [], []
    for (count, _), (_, width) in zip(pairwise(sizes), pairwise(widths), strict=True):
        weights.append(first)
        biases.append(first + count * width)
        first += (count + 1) * width
    ends = np.cumsum([rows * width for width in widths])
    room = int(ends[-1])
    largest = max(before * after for before, after in pairwise(widths))
    numbers = [np.zeros(size, dtype=np.float32) for size in (room, room, room, largest, max(widths))]
    places = [np.array(each, dtype=np.int64) for each in (sizes, widths, weights, biases, [0, *ends[:-1]])]
    arrays: Any = [*places, *numbers, np.ones(1, dtype=np.float32)]
    return Perceptron(ACTIVATIONS.index(activation), *arrays), first


def layers(network: Perceptron, parameters: Singles) -> list[tuple[Singles, Singles]]:
    """Return each layer's weights ``[in, out]`` and biases ``[out]``, as views of the flat parameters."""
    views = []
    for layer, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        count, units, width = network.units[layer], network.units[layer + 1], network.widths[layer + 1]
        matrix = parameters[weight : weight + count * width].reshape(count, width)
        views.append((matrix[:, :units], parameters[bias : bias + units]))
    return views


@inlined
def _multiply_by(values: Any, factors: Any) -> None:
    for i in range(len(values)):
        values[i] *= factors[i]


@inlined
def load(network: Any, inputs: Any) -> None:
    """Take inputs ``[N, D]``."""
    rows, size = inputs.shape
    for row in range(rows):
        for j in range(size):
            network.values[row * size + j] = inputs[row, j]


@kernel
def forward(network: Any, parameters: Any, rows: int) -> None:
    """Compute all layers of the first ``rows`` inputs."""
    n, last = network, len(network.weights) - 1
    for layer in range(last + 1):
        width, start = n.widths[layer + 1], n.starts[layer + 1]
        multiply(
            n.values, n.starts[layer], n.widths[layer], 1,
            parameters, n.weights[layer], width,
            n.values, start, width,
            parameters, n.biases[layer], 0,
            rows, width, n.units[layer],
        )  # fmt: skip
        if layer < last:
            end = start + rows * width
            activate(n.activation, n.values[start:end], n.slopes[start:end])


@kernel
def backward(network: Any, parameters: Any, gradient: Any, rows: int) -> None:
    """Fill in this perceptron's part of the gradient, after ``forward``, from the errors of its outputs."""
    n = network
    for layer in range(len(n.weights) - 1, -1, -1):
        width, start, units = n.widths[layer + 1], n.starts[layer + 1], n.units[layer + 1]
        before, inputs = n.widths[layer], n.starts[layer]
        multiply(
            n.values, inputs, 1, before,
            n.errors, start, width,
            gradient, n.weights[layer], width,
            n.zeros, 0, 0,
            n.units[layer], width, rows,
        )  # fmt: skip
        multiply(
            n.one, 0, 0, 0, n.errors, start, width, gradient, n.biases[layer], width, n.zeros, 0, 0, 1, width, rows
        )
        if layer:
            transpose(parameters[n.weights[layer] :], n.units[layer], units, width, n.turned, before)
            multiply(
                n.errors, start, width, 1,
                n.turned, 0, before,
                n.errors, inputs, before,
                n.zeros, 0, 0,
                rows, before, units,
            )  # fmt: skip
            end = inputs + rows * before
            _multiply_by(n.errors[inputs:end], n.slopes[inputs:end])
