"""A forest that follows gradients at the rows of one rollout after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Floats
from wormwood.trees.binning import check_features, fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.margins import MarginCache
from wormwood.trees.routing import leaf_means, leaf_of
from wormwood.trees.tree import Tree

__all__ = ["Boosting"]


class Boosting:
    """Grows a forest by one tree for each minibatch, or for several.

    The features of a rollout are binned once, and the forest's outputs are kept for all of its rows, so a minibatch
    costs the same however large the forest is.
    """

    def __init__(
        self, forest: Forest, config: TreeConfig, *, merge: int = 1, categorical: Collection[int] = ()
    ) -> None:
        """Take a forest to grow.

        Args:
            forest: grows in place.
            config: of the trees.
            merge: consecutive minibatches that share a tree's structure. Their changes add up in its leaves.
            categorical: features that are split on equality.
        """
        self.forest, self._config, self._merge, self._categorical = forest, config, merge, categorical
        self._merged: _MergedTree | None = None

    def begin(self, features: Floats) -> None:
        """Take the rows ``[N, F]`` of another rollout."""
        self.features = check_features(features, self.forest.features)
        """``[N, F]`` the rows of this rollout."""
        config = self._config
        self._grid = fit_grid(features, max_bins=config.max_bins, method=config.binning, categorical=self._categorical)
        self._codes = self._grid.encode(features)
        self._cache = MarginCache(self.forest, features)

    def outputs(self, rows: NDArray[np.int64]) -> Floats:
        """Return the forest's outputs ``[n, D]`` at some rows."""
        return self._cache.margins[rows]

    def step(self, rows: NDArray[np.int64], gradients: Floats, rates: Floats) -> None:
        """Move the outputs against ``gradients [n, D]`` at some rows, at learning rates ``[D]``."""
        if self._merge == 1:
            self.forest.append(self._grow(rows, gradients), rates)
            self._cache.follow(self.forest)
        else:
            self._cache.add(self._step_merged(rows, gradients, rates), rates)

    def finish(self) -> None:
        """Put a merged tree that still waits for minibatches into the forest. The outputs stay good to one rounding."""
        if self._merged is not None:
            self.forest.append(self._merged.tree, np.ones(self.forest.outputs))
            self._merged = None

    def _grow(self, rows: NDArray[np.int64], gradients: Floats) -> Tree:
        return grow_tree(self._codes, self._grid, gradients, config=self._config, rows=rows)

    def _step_merged(self, rows: NDArray[np.int64], gradients: Floats, rates: Floats) -> Tree:
        """Return the tree of one minibatch, and add its leaves to those of the structure that it shares."""
        merged = self._merged
        if merged is None:
            tree = self._grow(rows, gradients)
            merged = _MergedTree(tree, leaf_of(tree, self.features), tree.leaves * rates, 1)
        else:
            leaves = leaf_means(merged.places[rows], gradients, len(merged.leaves))
            tree = dataclasses.replace(merged.structure, leaves=leaves)
            merged = dataclasses.replace(
                merged, leaves=merged.leaves + leaves * rates, minibatches=merged.minibatches + 1
            )
        self._merged = merged
        if merged.minibatches == self._merge:
            self.finish()
        return tree


@dataclasses.dataclass(frozen=True)
class _MergedTree:
    """A structure, and the changes of the minibatches that share it."""

    structure: Tree
    places: NDArray[np.int64]
    """``[N]`` leaf of each row of the rollout."""
    leaves: Floats
    """``[L, D]`` sum of the changes, learning rates included."""
    minibatches: int

    @property
    def tree(self) -> Tree:
        return dataclasses.replace(self.structure, leaves=self.leaves)
