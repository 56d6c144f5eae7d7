"""Compiling what forests need before any deadline starts."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree

__all__ = ["warm_up"]


def warm_up(outputs: Collection[int] = (1,)) -> None:
    """Compile the kernels that grow and predict, or load them from the disk, for forests of so many outputs each.

    Takes some 7 seconds once on a machine and 3 for each further width, and half a second after that.
    """
    rows = np.linspace(0.0, 1.0, 64)[:, None]
    grid = fit_grid(rows, max_bins=4, method="quantile")
    codes = grid.encode(rows)
    for count in outputs:
        forest = Forest(np.zeros(count), features=1, depth=1)
        for grower in ("greedy", "oblivious"):
            tree = grow_tree(codes, grid, np.repeat(rows, count, axis=1), config=TreeConfig(max_depth=1, grower=grower))
        for _ in range(64):
            forest.append(tree, np.ones(count))
        forest.predict(rows)
        forest.predict(rows[:1])
