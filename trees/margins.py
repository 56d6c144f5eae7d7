"""The outputs of a forest for fixed rows, kept up to date while it grows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wormwood.trees.binning import check_features
from wormwood.trees.forest import Forest, pack_tree
from wormwood.trees.predicting import PackedTrees, leaf_masks, subtract_trees
from wormwood.trees.tree import Tree
from wormwood.trees.vectors import lanes_of

__all__ = ["MarginCache"]

Floats = npt.NDArray[np.float64]


class MarginCache:
    """F(x) of N rows, the same bits as ``forest.predict``. A new tree costs the same however many came before it."""

    def __init__(self, forest: Forest, features: npt.ArrayLike) -> None:
        """Predict the rows once.

        Args:
            forest: is not kept, and not changed.
            features: [N, F] finite numbers.

        Raises:
            BadInput: another shape, or a number that is not finite.
        """
        self._rows = check_features(features, forest.features)
        self._outputs, self._width = forest.outputs, lanes_of(forest.outputs)
        self._margins = np.zeros((len(self._rows), len(self._width)))
        self._margins[:, : self._outputs] = forest.predict(self._rows)
        self._trees = len(forest)

    @property
    def margins(self) -> Floats:
        """[N, D]: the outputs of the forest with all trees that were added. A view that follows, to read only."""
        view = self._margins[:, : self._outputs]
        view.flags.writeable = False
        return view

    def follow(self, forest: Forest) -> None:
        """Subtract the trees that the forest has got since it was last looked at."""
        forest.subtract(self._margins, self._rows, (self._trees, len(forest)))
        self._trees = len(forest)

    def add(self, tree: Tree, learning_rates: npt.ArrayLike) -> None:
        """Subtract a tree that is not in the forest yet, as ``forest.append`` does with the same arguments.

        Raises:
            BadInput: the tree has other features or outputs, or a rate is not finite.
        """
        sizes = (self._rows.shape[1], self._outputs, tree.depth)
        packed = pack_tree(tree, learning_rates, sizes=sizes)
        trees = PackedTrees(
            packed["features"].astype(np.uint16),
            packed["thresholds"],
            packed["categorical"],
            bool(packed["categorical"].any()),
            packed["leaves"],
            leaf_masks(tree.depth),
        )
        subtract_trees(self._margins, self._rows, trees, (0, 1), self._width)
