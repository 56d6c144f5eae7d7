from itertools import combinations
from math import factorial

import numpy as np
import pytest

from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.explanation import explain
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree


def grow_forest(seed, *, grower="greedy", features=4, categorical=(), trees=6, least=1):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(60, features))
    for column in categorical:
        x[:, column] = generator.integers(0, 4, 60)
    grid = fit_grid(x, max_bins=16, method="quantile", categorical=categorical)
    codes = grid.encode(x)
    forest = Forest([0.5, -1.0], features=features, depth=3)
    for index in range(trees):
        config = TreeConfig(max_depth=1 + index % 3, grower=grower, min_data_in_leaf=least)
        gradients = generator.normal(size=(60, 2)) + x[:, :2] * x[:, 2:3]
        forest.append(grow_tree(codes, grid, gradients, config=config), [0.5, 0.25])
    return forest, x


def worth(forest, row, known):
    """The mean output [D] where only some features of the row are known, node after node."""
    arrays = forest.arrays()
    total = arrays["initial"].copy()
    for tree in range(len(forest)):
        features, covers = arrays["features"][tree], arrays["covers"][tree]

        def below(node, features=features, covers=covers, tree=tree):
            if node >= len(features):
                return arrays["leaves"][tree, node - len(features)]
            left, right = 2 * node + 1, 2 * node + 2
            if features[node] < 0:
                return below(left)
            threshold, value = arrays["thresholds"][tree, node], row[features[node]]
            if features[node] in known:
                goes = value == threshold if arrays["categorical"][tree, node] else value > threshold
                return below(right if goes else left)
            share = covers[left] / covers[node] if covers[node] else 0.5
            return share * below(left) + (1 - share) * below(right)

        total = total - below(0)
    return total


def shapley_by_all_coalitions(forest, row):
    count = len(row)
    values = np.zeros((count, forest.outputs))
    for feature in range(count):
        others = [other for other in range(count) if other != feature]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for coalition in combinations(others, size):
                gain = worth(forest, row, {*coalition, feature}) - worth(forest, row, set(coalition))
                values[feature] += weight * gain
    return values


@pytest.mark.parametrize("grower", ["greedy", "oblivious"])
@pytest.mark.parametrize("categorical", [(), (0, 3)])
@pytest.mark.parametrize("least", [1, 25])
def test_contributions_are_the_shapley_values_over_all_coalitions(grower, categorical, least):
    forest, x = grow_forest(1, grower=grower, categorical=categorical, least=least)
    rows = np.concatenate([x[:4], x[4:7] * 10])
    base, contributions = explain(forest, rows)
    np.testing.assert_allclose(base, worth(forest, rows[0], set()), atol=1e-12)
    for row, found in zip(rows, contributions, strict=True):
        np.testing.assert_allclose(found, shapley_by_all_coalitions(forest, row), atol=1e-12)


@pytest.mark.parametrize("grower", ["greedy", "oblivious"])
def test_base_and_contributions_add_up_to_the_prediction(grower):
    forest, x = grow_forest(2, grower=grower, features=9, trees=60)
    base, contributions = explain(forest, x)
    np.testing.assert_allclose(base + contributions.sum(axis=1), forest.predict(x), atol=1e-10)


@pytest.mark.parametrize("categorical", [(), (0, 3)])
def test_a_row_gets_the_same_bits_alone_and_among_many(categorical):
    forest, x = grow_forest(4, categorical=categorical)
    together = explain(forest, np.concatenate([x, x])).contributions
    alone = [explain(forest, row[None]).contributions[0] for row in x]
    np.testing.assert_array_equal(together, [*alone, *alone])


def test_a_feature_that_no_tree_asks_for_contributes_nothing():
    forest, x = grow_forest(3)
    wider = Forest(forest.initial, features=6, depth=3)
    arrays = forest.arrays()
    wider.extend({**arrays, "columns": np.array(6)})
    contributions = explain(wider, np.pad(x, ((0, 0), (0, 2)), constant_values=5.0)).contributions
    assert (contributions[:, 4:] == 0).all()
    np.testing.assert_array_equal(contributions[:, :4], explain(forest, x).contributions)


def test_a_forest_without_trees_is_its_start():
    base, contributions = explain(Forest([1.0, 2.0], features=3, depth=2), np.ones((2, 3)))
    assert base.tolist() == [1.0, 2.0]
    assert (contributions == 0).all() and contributions.shape == (2, 3, 2)
