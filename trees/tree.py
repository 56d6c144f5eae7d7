"""One decision tree with a vector in each leaf, as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Tree"]


@dataclass(frozen=True)
class Tree:
    """A perfect binary tree of some depth, in which every row walks ``depth`` steps.

    Node i has the children 2i + 1 (left) and 2i + 2 (right); nodes 2**depth - 1 and up are the leaves. A row goes right
    if ``x[feature] > threshold``, or if ``x[feature] == threshold`` where the node is categorical. A node that is not
    split has feature -1 and threshold infinity: every row goes left, and its other leaves hold the same vector.
    """

    features: npt.NDArray[np.int32]
    """[2**depth - 1]: the feature of each node, or -1."""
    thresholds: npt.NDArray[np.float64]
    """[2**depth - 1]: the threshold or category of each node."""
    categorical: npt.NDArray[np.bool_]
    """[2**depth - 1]: whether the node asks for equality."""
    leaves: npt.NDArray[np.float64]
    """[2**depth, D]: mean gradient of each leaf's rows; 0 where an oblivious tree has none."""
    covers: npt.NDArray[np.int32]
    """[2**(depth + 1) - 1]: rows that came through each node and leaf while the tree was grown."""

    @property
    def depth(self) -> int:
        """Splits between root and leaf."""
        return len(self.leaves).bit_length() - 1

    def deepened(self, depth: int) -> Tree:
        """Return the same tree with further levels of nodes that are not split, down to a depth of at least its own."""
        levels = depth - self.depth
        if levels == 0:
            return self
        nodes, leaves = 2**depth - 1, len(self.leaves)
        new = nodes - len(self.features)
        covers = [self.covers]
        for level in range(1, levels + 1):
            below = np.zeros((leaves, 2**level), np.int32)
            below[:, 0] = self.covers[-leaves:]
            covers.append(below.reshape(-1))
        return Tree(
            features=np.concatenate([self.features, np.full(new, -1, np.int32)]),
            thresholds=np.concatenate([self.thresholds, np.full(new, np.inf)]),
            categorical=np.concatenate([self.categorical, np.zeros(new, np.bool_)]),
            leaves=np.repeat(self.leaves, 2**levels, axis=0),
            covers=np.concatenate(covers),
        )
