"""A tree while it grows: its splits so far, and its rows, sorted by the node that they are in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wormwood.compilation import inlined, kernel
from wormwood.trees.binning import BinGrid
from wormwood.trees.tree import Tree

__all__ = ["Growth", "finished_tree", "new_growth", "part"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


class Growth(NamedTuple):
    """A perfect tree of I inner nodes and n rows."""

    order: npt.NDArray[np.uint32]
    """[n]: the rows."""
    ends: Ints
    """[2 I + 1, 2]: where the rows of each node and leaf begin and end in the order."""
    features: Ints
    """[I]: the feature of each split, or -1."""
    candidates: Ints
    """[I]: the candidate of each split."""


def new_growth(rows: int, depth: int) -> Growth:
    """Return a tree that is not split yet."""
    nodes = 2**depth - 1
    return Growth(
        np.arange(rows, dtype=np.uint32),
        np.zeros((2 * nodes + 1, 2), np.int32),
        np.full(nodes, -1, np.int32),
        np.zeros(nodes, np.int32),
    )


def finished_tree(growth: Growth, grid: BinGrid, gradients: Floats) -> Tree:
    """Return the tree with the mean gradients [n, D] of the rows in its leaves."""
    features, ends = growth.features, growth.ends
    leaves = np.zeros((len(features) + 1, gradients.shape[1]))
    _mean_gradients(gradients, growth, leaves)
    split = features >= 0
    thresholds = np.full(len(features), np.inf)
    thresholds[split] = grid.values[(grid.offsets[features] + growth.candidates)[split]]
    return Tree(features, thresholds, grid.categorical[features] & split, leaves, ends[:, 1] - ends[:, 0])


@inlined
def part(ends: Ints, node: int, middle: int) -> None:
    """Give the rows of a node before the middle to its left child, and the others to its right one."""
    left, right = 2 * node + 1, 2 * node + 2
    ends[left, 0], ends[left, 1] = ends[node, 0], middle
    ends[right, 0], ends[right, 1] = middle, ends[node, 1]


@kernel
def _mean_gradients(gradients: Floats, growth: Growth, leaves: Floats) -> None:
    """Fill the leaves [L, D]. Sums run in the order of the rows."""
    inner, outputs = len(growth.features), gradients.shape[1]
    for leaf in range(len(leaves)):
        begin, end = growth.ends[inner + leaf, 0], growth.ends[inner + leaf, 1]
        for position in range(begin, end):
            row = growth.order[position]
            for output in range(outputs):
                leaves[leaf, output] += gradients[row, output]
        for output in range(outputs):
            leaves[leaf, output] /= max(end - begin, 1)
    for node in range(inner):
        if growth.features[node] < 0:
            _share_leaf(leaves, node)


@inlined
def _share_leaf(leaves: Floats, node: int) -> None:
    """Give all leaves below a node that is not split the vector of the leftmost, which has the rows."""
    inner = len(leaves) - 1
    first, past = node, node + 1
    while first < inner:
        first, past = 2 * first + 1, 2 * past + 1
    for leaf in range(first - inner + 1, past - inner):
        for output in range(leaves.shape[1]):
            leaves[leaf, output] = leaves[first - inner, output]
