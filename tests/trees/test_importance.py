import numpy as np

from wormwood.trees.explanation import explain
from wormwood.trees.forest import Forest
from wormwood.trees.importance import contribution_importance, split_importance
from wormwood.trees.tree import Tree


def make_tree(features, thresholds, leaves, leaf_covers):
    """A tree of depth 2 with one output."""
    covers = np.array(leaf_covers, np.int32)
    pairs = covers.reshape(2, 2).sum(axis=1)
    return Tree(
        features=np.array(features, np.int32),
        thresholds=np.array(thresholds, np.float64),
        categorical=np.zeros(3, np.bool_),
        leaves=np.array(leaves, np.float64)[:, None],
        covers=np.concatenate([[pairs.sum()], pairs, covers]).astype(np.int32),
    )


def make_forest():
    forest = Forest([1.0], features=3, depth=2)
    forest.append(make_tree([0, 1, -1], [0.0, 0.0, np.inf], [1.0, 3.0, 4.0, 4.0], [1, 3, 4, 0]), [1.0])
    forest.append(make_tree([1, 0, 0], [0.5, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0], [2, 0, 4, 2]), [0.5])
    return forest


def test_a_split_counts_as_the_share_of_rows_that_came_through_it():
    # First tree: 8 of 8 rows are asked for feature 0, 4 of 8 for feature 1. Second: 8 of 8 for feature 1, and on either
    # side, 2 and 6 rows, for feature 0.
    np.testing.assert_allclose(split_importance(make_forest()), [1 + 0.25 + 0.75, 0.5 + 1, 0])


def test_contributions_are_in_the_outputs_unit():
    # The second tree says the same everywhere. In the first, x1 parts 1 from 3 (covers 1 and 3) where x0 <= 0, and all
    # else is 4 (half of the rows).
    rows = np.array([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0]])
    mean_left = 0.25 * 1 + 0.75 * 3
    first_x0 = 0.5 * ((mean_left - (mean_left + 4) / 2) + (1 - (1 + 4) / 2))
    first_x1 = (1 - (mean_left + 4) / 2) - first_x0
    second_x1 = 0.5 * ((1 + 4) / 2 - (mean_left + 4) / 2)
    second_x0 = (4 - (mean_left + 4) / 2) - second_x1
    expected = [[(abs(first_x0) + abs(second_x0)) / 2], [(abs(first_x1) + abs(second_x1)) / 2], [0.0]]
    np.testing.assert_allclose(
        contribution_importance(explain(make_forest(), rows).contributions), expected, atol=1e-12
    )


def test_a_forest_without_trees_asks_for_nothing():
    forest = Forest([1.0, 2.0], features=3, depth=2)
    assert split_importance(forest).tolist() == [0, 0, 0]
    assert (contribution_importance(explain(forest, np.ones((2, 3))).contributions) == np.zeros((3, 2))).all()
