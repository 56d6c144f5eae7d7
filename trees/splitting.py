"""The best split of a node, and how its rows are parted.

The L2 score of a split adds n |mean gradient|^2 over both sides. With n rows and sums T of a node, and k rows and sums
S on one side, it exceeds the score |T|^2 / n of the whole node by ``|n S - k T|^2 / (n k (n - k))``, its gain. The
cosine score is the square root of the L2 score: it orders the splits of one node alike, but sums over nodes
differently.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wormwood.compilation import inlined
from wormwood.trees.vectors import Lanes, difference_square

__all__ = ["SplitRules", "best_split", "node_score", "partition", "split_gain"]

Floats = npt.NDArray[np.float64]


class SplitRules(NamedTuple):
    """Which splits there are, and which may be taken."""

    counts: npt.NDArray[np.int64]
    """[F]: candidates of each feature."""
    categorical: npt.NDArray[np.bool_]
    """[F]: whether the feature is split on equality."""
    weights: Floats
    """[F]: factors of the gains."""
    monotone: npt.NDArray[np.int8]
    """[F, D]: how outputs may change with features, or [0, 0] for anyhow."""
    min_rows: int
    """Rows that each leaf needs."""
    cosine: bool
    """Whether gains are summed over nodes in the cosine score, not in the L2 score."""


@inlined
def split_gain(sides: Floats, candidate: int, total: Floats, width: Lanes) -> Any:
    """Return the gain in the L2 score, from the lanes of one side in ``sides[candidate]`` and of the node.

    Sides are [B, W] and the node's lanes [W]. Both sides have rows.
    """
    rows, part = total[0], sides[candidate, 0]
    square: float = difference_square(sides, candidate * len(width), total, rows, part, width)
    return square / (rows * (part * (rows - part)))


@inlined
def node_score(total: Floats) -> Any:
    """Return the L2 score of a node that is not split, from its lanes [W]."""
    square = 0.0
    for lane in range(1, len(total)):
        square += total[lane] * total[lane]
    return square / total[0]


@inlined
def best_split(histogram: Floats, total: Floats, rules: SplitRules, bounds: Floats, width: Lanes) -> tuple[int, int]:
    """Return the feature and candidate of the largest gain of a node; of equal ones the lowest. -1 for no split.

    Args:
        histogram: [F, B, W], accumulated.
        total: [W] of the node.
        rules: which splits may be taken.
        bounds: [2, D] of the mean gradients; [2, 0] where no output is monotone.
        width: W lanes.
    """
    best, best_feature, best_candidate = 0.0, -1, 0
    rows, least = total[0], rules.min_rows
    for feature in range(len(histogram)):
        sides, weight = histogram[feature], rules.weights[feature]
        for candidate in range(rules.counts[feature]):
            part = sides[candidate, 0]
            if part < least or rows - part < least:
                continue
            gain = split_gain(sides, candidate, total, width) * weight
            if gain > best and (
                len(rules.monotone) == 0 or _is_monotone(sides[candidate], total, rules.monotone[feature], bounds)
            ):
                best, best_feature, best_candidate = gain, feature, candidate
    return best_feature, best_candidate


@inlined
def _is_monotone(left: Floats, total: Floats, signs: npt.NDArray[np.int8], bounds: Floats) -> bool:
    """Tell whether the sides' mean gradients lie within the bounds [2, D] and are ordered against the signs [D].

    Against them, since trees are subtracted: an output rises where its gradient falls.
    """
    for output in range(len(signs)):
        one = left[output + 1] / left[0]
        other = (total[output + 1] - left[output + 1]) / (total[0] - left[0])
        if min(one, other) < bounds[0, output] or max(one, other) > bounds[1, output]:
            return False
        if (other - one) * signs[output] > 0:
            return False
    return True


@inlined
def partition(
    rows: npt.NDArray[np.uint32],
    scratch: npt.NDArray[np.uint32],
    column: npt.NDArray[np.uint8],
    candidate: int,
    equality: bool,
) -> int:
    """Move the rows [n] that go left to the front, keep the order on both sides, and return how many they are.

    The column [N] holds the codes of one feature; ``scratch`` has room for n rows.
    """
    left, right = 0, 0
    for position in range(len(rows)):
        row = rows[position]
        code = column[row]
        goes_right = (code == candidate) if equality else (code > candidate)
        rows[left] = row
        scratch[right] = row
        left += not goes_right
        right += goes_right
    for index in range(right):
        rows[left + index] = scratch[index]
    return left
