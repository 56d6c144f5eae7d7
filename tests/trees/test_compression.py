import dataclasses

import numpy as np
import pytest

from wormwood.errors import BadInput
from wormwood.trees.binning import fit_grid
from wormwood.trees.compression import distil
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.tree import Tree


def make_stump(threshold, leaves, covers=(1, 1)):
    return Tree(
        features=np.array([0], np.int32),
        thresholds=np.array([threshold], np.float64),
        categorical=np.zeros(1, np.bool_),
        leaves=np.array(leaves, np.float64)[:, None],
        covers=np.array([sum(covers), *covers], np.int32),
    )


def grow_forest(seed, *, trees=200, bins=3, grower="greedy", depth=2, categorical=()):
    """A forest on a coarse grid, so that many trees ask the same."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(80, 2))
    for column in categorical:
        x[:, column] = generator.integers(0, 3, 80)
    grid = fit_grid(x, max_bins=bins, method="quantile", categorical=categorical)
    codes = grid.encode(x)
    forest = Forest([0.5, -1.0], features=2, depth=depth)
    for _ in range(trees):
        gradients = generator.normal(size=(80, 2)) * [1.0, 50.0]
        forest.append(grow_tree(codes, grid, gradients, config=TreeConfig(max_depth=depth, grower=grower)), [0.5, 0.25])
    return forest, x


def make_rows(seed):
    return np.random.default_rng(seed).normal(size=(600, 2))


def test_one_tree_moves_by_the_rate_from_the_mean_to_the_means_of_its_sides():
    forest = Forest([1.0], features=1, depth=1)
    forest.append(make_stump(0.0, [2.0, -2.0]), [1.0])  # -1 up to 0, and 3 above
    rows = [[-1.0], [-2.0], [-3.0], [1.0]]  # a mean of 0
    distilled = distil(forest, rows, trees=1, config=TreeConfig(max_depth=1), held_out=[[-5.0], [5.0]])
    # 0.3 of the way from 0 to -1 and to 3.
    np.testing.assert_allclose(distilled.forest.predict([[-5.0], [5.0]]), [[-0.3], [0.9]], atol=1e-12)
    np.testing.assert_allclose(distilled.largest_change, [2.1])
    np.testing.assert_allclose(distilled.rms_change, [np.sqrt((0.7**2 + 2.1**2) / 2)])


@pytest.mark.parametrize("categorical", [(), (0,)])
def test_a_larger_budget_comes_closer_in_outputs_of_any_size(categorical):
    forest, _ = grow_forest(2, bins=16, categorical=categorical)
    rows, held_out = make_rows(3), make_rows(4)
    for column in categorical:
        rows[:, column], held_out[:, column] = np.arange(600) % 3, np.arange(600) % 3
    spread = forest.predict(held_out).std(axis=0)
    assert spread[1] > 20 * spread[0]
    config = TreeConfig(max_depth=3)
    few, many = (distil(forest, rows, trees=trees, config=config, held_out=held_out) for trees in (5, 50))
    assert len(few.forest) == 5 and len(many.forest) == 50
    assert (many.rms_change < 0.5 * few.rms_change).all()
    assert (many.rms_change < 0.3 * spread).all()
    change = np.abs(many.forest.predict(held_out) - forest.predict(held_out))
    np.testing.assert_array_equal(many.largest_change, change.max(axis=0))
    assert many.forest.arrays()["categorical"].any() == bool(categorical)


def test_a_constant_output_stays_what_it_is():
    forest, leaves = Forest([1.0, 7.0], features=2, depth=1), [[1.0, 0.0], [-1.0, 0.0]]
    forest.append(dataclasses.replace(make_stump(0.0, [0.0, 0.0]), leaves=np.array(leaves)), [1.0, 1.0])
    distilled = distil(forest, make_rows(1), trees=10, config=TreeConfig(max_depth=1), held_out=make_rows(2))
    assert distilled.largest_change[1] == 0.0
    assert 0.0 < distilled.rms_change[0] < 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trees": 0}, "expected at least 1, got 0"),
        ({"features": np.ones((0, 2))}, "at least one row"),
        ({"held_out": np.ones((0, 2))}, "held_out: expected at least one row"),
        ({"features": np.ones((5, 3))}, r"expected shape \[rows, 2\]"),
        ({"held_out": [[1.0, np.nan]]}, "finite number"),
    ],
)
def test_what_cannot_be_distilled_is_refused(changes, message):
    forest, x = grow_forest(0, trees=3)
    options = {"features": x, "trees": 2, "config": TreeConfig(), "held_out": x, **changes}
    features = options.pop("features")
    with pytest.raises(BadInput, match=message):
        distil(forest, features, **options)
