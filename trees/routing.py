"""Which leaf of a tree each row comes to, and the means of gradients there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wormwood.compilation import kernel
from wormwood.trees.tree import Tree

__all__ = ["leaf_means", "leaf_of"]

Floats = npt.NDArray[np.float64]


def leaf_of(tree: Tree, features: Floats) -> npt.NDArray[np.int64]:
    """Return the number [N] of the leaf, from 0 on, to which each row [N, F] of checked features comes."""
    leaves = np.empty(len(features), np.int64)
    _walk(features, tree.features, tree.thresholds, tree.categorical, leaves)
    return leaves


@kernel
def leaf_means(leaves: npt.NDArray[np.int64], gradients: Floats, count: int) -> Floats:
    """Return the mean [count, D] of the gradients [n, D] in each leaf, and 0 for a leaf without rows."""
    means, rows = np.zeros((count, gradients.shape[1])), np.zeros(count)
    for row in range(len(leaves)):
        rows[leaves[row]] += 1.0
        for output in range(gradients.shape[1]):
            means[leaves[row], output] += gradients[row, output]
    for leaf in range(count):
        for output in range(gradients.shape[1]):
            means[leaf, output] /= max(rows[leaf], 1.0)
    return means


@kernel
def _walk(
    rows: Floats,
    features: npt.NDArray[np.int32],
    thresholds: Floats,
    categorical: npt.NDArray[np.bool_],
    leaves: npt.NDArray[np.int64],
) -> None:
    inner = len(features)
    for row in range(len(rows)):
        node = 0
        while node < inner:
            feature, right = features[node], False
            if feature >= 0:
                x, threshold = rows[row, feature], thresholds[node]
                right = (x == threshold) if categorical[node] else (x > threshold)
            node = 2 * node + (2 if right else 1)
        leaves[row] = node - inner
