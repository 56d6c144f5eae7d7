"""Leaves by hand, and against prediction."""

import numpy as np

from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.routing import leaf_means, leaf_of
from wormwood.trees.tree import Tree


def test_leaves_by_hand() -> None:
    tree = Tree(
        np.array([0, 1, -1], np.int32),
        np.array([0.5, 2.0, np.inf]),
        np.array([False, True, False]),
        np.zeros((4, 1)),
        np.zeros(7, np.int32),
    )
    rows = np.array([[0.5, 2.0], [0.5, 1.9], [0.6, 2.0], [-9.0, 2.0]])
    assert leaf_of(tree, rows).tolist() == [1, 0, 2, 1]
    means = leaf_means(np.array([1, 1, 3]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), 4)
    assert means.tolist() == [[0, 0], [2, 3], [0, 0], [5, 6]]


def test_rows_come_to_the_leaf_whose_vector_a_forest_subtracts() -> None:
    rng = np.random.default_rng(0)
    rows, gradients = rng.standard_normal((300, 4)), rng.standard_normal((300, 3))
    grid = fit_grid(rows, max_bins=32, method="quantile")
    tree = grow_tree(grid.encode(rows), grid, gradients, config=TreeConfig(max_depth=5))
    forest = Forest(np.zeros(3), features=4, depth=5)
    forest.append(tree, np.ones(3))
    leaves = leaf_of(tree, rows)
    np.testing.assert_array_equal(forest.predict(rows), -tree.leaves[leaves])
    np.testing.assert_array_equal(leaf_means(leaves, gradients, 32)[np.unique(leaves)], tree.leaves[np.unique(leaves)])
