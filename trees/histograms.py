"""Histograms of gradients: per feature and bin, how many rows there are and the sum of their gradients.

A row has W lanes: lane 0 is 1 and counts, the next ones hold its gradients, and zeros fill up to a power of two. All
are whole numbers in float64, small enough that each sum and difference is exact: so sums do not depend on their order,
and the histogram of a node is that of its parent less that of its sibling, bit for bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wormwood.compilation import inlined, kernel
from wormwood.trees.vectors import Lanes, add_lanes

__all__ = ["accumulate", "build", "quantise", "standardise", "subtract", "sum_rows"]

Floats = npt.NDArray[np.float64]
Order = npt.NDArray[np.uint32]


def standardise(gradients: Floats) -> Floats:
    """Return gradients [N, D] less their mean and over their deviation, per output. A constant output becomes 0."""
    largest = np.abs(gradients).max(axis=0)
    scaled = gradients / np.where(largest > 0, largest, 1.0)  # before squares, which overflow
    centred = scaled - scaled.mean(axis=0)
    deviation = np.sqrt((centred * centred).mean(axis=0))
    return np.where(deviation > 1e-12, centred / np.maximum(deviation, 1e-12), 0.0)


@kernel
def quantise(gradients: Floats, lanes: Floats) -> None:
    """Round gradients [N, D], which are finite, to whole numbers in the lanes [N, W] of each row.

    The largest has ``52 - 2 log2(N)`` bits, so that N times a sum of N gradients is exact, too; but at least 24, so
    that beyond 2**14 rows only the sums are.
    """
    rows, outputs = gradients.shape
    largest = 0.0
    for row in range(rows):
        for output in range(outputs):
            largest = max(largest, abs(gradients[row, output]))
    exponent = np.floor(np.log2(largest)) + 1.0 if largest > 0 else 0.0
    bits = max(24.0, 52.0 - 2.0 * np.ceil(np.log2(rows)))
    scale = 2.0 ** min(bits - exponent, 1000.0)
    for row in range(rows):
        lanes[row] = 0.0
        lanes[row, 0] = 1.0
        for output in range(outputs):
            lanes[row, output + 1] = np.rint(gradients[row, output] * scale)


@inlined
def sum_rows(total: Floats, lanes: Floats, rows: Order, width: Lanes) -> None:
    """Fill the total [W] with the sum of the lanes [N, W] of some rows [n]."""
    total[:] = 0.0
    for position in range(len(rows)):
        add_lanes(total, 0, lanes, rows[position] * len(width), width)


@inlined
def build(histogram: Floats, codes: npt.NDArray[np.uint8], lanes: Floats, rows: Order, width: Lanes) -> None:
    """Fill the histogram [F, B, W] from the codes [F, N] and lanes [N, W] of some rows [n]."""
    histogram[:] = 0.0
    for feature in range(len(codes)):
        bins, column = histogram[feature], codes[feature]
        for position in range(len(rows)):
            row = rows[position]
            add_lanes(bins, column[row] * len(width), lanes, row * len(width), width)


@inlined
def accumulate(histogram: Floats, categorical: npt.NDArray[np.bool_], width: Lanes) -> None:
    """Turn the bins of numeric features in the histogram [F, B, W] into running sums.

    Bin c is then what lies left of candidate c. ``categorical`` is [F].
    """
    for feature in range(len(histogram)):
        if not categorical[feature]:
            bins = histogram[feature]
            for code in range(1, len(bins)):
                add_lanes(bins, code * len(width), bins, (code - 1) * len(width), width)


@inlined
def subtract(parent: Floats, child: Floats) -> None:
    """Make of the parent's sums [F, B, W] those of the other child."""
    whole, part = parent.reshape(-1), child.reshape(-1)
    for index in range(len(whole)):
        whole[index] -= part[index]
