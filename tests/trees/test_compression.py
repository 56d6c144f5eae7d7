import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.errors import BadInput
from wormwood.trees.binning import fit_grid
from wormwood.trees.compression import distil, merge_structures
from wormwood.trees.config import TreeConfig
from wormwood.trees.explanation import explain
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


# --- merging ---


def structure(forest, tree):
    """What a tree asks, whatever the order of levels whose nodes all ask the same."""
    arrays = {name: values[tree].tolist() for name, values in forest.arrays().items() if values.ndim > 1}
    nodes = list(zip(arrays["features"], arrays["thresholds"], arrays["categorical"], strict=True))
    levels = [set(nodes[2**level - 1 : 2 ** (level + 1) - 1]) for level in range(forest.depth)]
    if all(len(level) == 1 for level in levels):
        return tuple(sorted(nodes[2**level - 1] for level in range(forest.depth)))
    return tuple(nodes)


def test_leaves_of_equal_stumps_add_up_where_the_first_of_them_stood():
    forest = Forest([10.0], features=1, depth=1)
    for threshold, leaves in ((0.0, [1.0, 2.0]), (1.0, [5.0, 7.0]), (0.0, [0.25, -4.0])):
        forest.append(make_stump(threshold, leaves, (3, 4)), [1.0])
    arrays = merge_structures(forest).arrays()
    assert arrays["thresholds"].tolist() == [[0.0], [1.0]]
    assert arrays["leaves"][:, :, 0].tolist() == [[1.25, -2.0], [5.0, 7.0]]
    assert arrays["covers"].tolist() == [[14, 6, 8], [7, 3, 4]]
    assert arrays["initial"].tolist() == [10.0]


@settings(max_examples=25)
@given(
    st.integers(0, 1000),
    st.sampled_from(["greedy", "oblivious"]),
    st.sampled_from([(), (0,), (0, 1)]),
    st.integers(1, 3),
)
def test_merging_changes_outputs_by_no_more_than_its_bound(seed, grower, categorical, depth):
    forest, x = grow_forest(seed, grower=grower, categorical=categorical, depth=depth, trees=60)
    merged = merge_structures(forest)
    assert len(merged) == len({structure(forest, tree) for tree in range(60)})
    rows = np.concatenate([x, 3 * x])
    largest = np.abs(forest.initial) + np.abs(forest.arrays()["leaves"]).max(axis=1).sum(axis=0)
    unit = 60 * 2.0**-53
    assert (np.abs(merged.predict(rows) - forest.predict(rows)) <= 2 * unit / (1 - unit) * largest).all()


def test_levels_in_another_order_are_the_same_structure():
    forest = Forest([0.0], features=2, depth=2)
    # Leaves by the turns at x0 > 0 and x1 > 1, and by the turns at x1 > 1 and x0 > 0.
    for features, thresholds, leaves in (
        ([0, 1, 1], [0.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]),
        ([1, 0, 0], [1.0, 0.0, 0.0], [10.0, 20.0, 30.0, 40.0]),
    ):
        covers = np.array([10, 3, 7, 1, 2, 3, 4], np.int32)
        structure = np.array(features, np.int32), np.array(thresholds), np.zeros(3, np.bool_)
        forest.append(Tree(*structure, np.array(leaves)[:, None], covers), [1.0])
    arrays = merge_structures(forest).arrays()
    assert arrays["features"].tolist() == [[0, 1, 1]]
    assert arrays["leaves"][0, :, 0].tolist() == [11.0, 32.0, 23.0, 44.0]
    assert arrays["covers"].tolist() == [[20, 7, 13, 2, 5, 5, 8]]
    rows = [[-1.0, 0.0], [-1.0, 2.0], [1.0, 0.0], [1.0, 2.0]]
    np.testing.assert_array_equal(merge_structures(forest).predict(rows), forest.predict(rows))


def test_a_merged_forest_merges_no_further_and_explains_the_same_sum():
    forest, x = grow_forest(1)
    merged = merge_structures(forest)
    assert len(merged) < len(forest) / 2
    assert len(merge_structures(merged)) == len(merged)
    base, contributions = explain(merged, x)
    np.testing.assert_allclose(base + contributions.sum(axis=1), forest.predict(x), rtol=1e-10)


def test_covers_that_would_not_fit_in_32_bits_keep_their_shares():
    forest = Forest([0.0], features=1, depth=1)
    for _ in range(3):
        forest.append(make_stump(0.0, [1.0, 2.0], (400_000_000, 1_600_000_000)), [1.0])
    # 1.2 and 4.8 thousand million: more than 2 and less than 3 times what 32 bits hold.
    assert merge_structures(forest).arrays()["covers"].tolist() == [[2_000_000_000, 400_000_000, 1_600_000_000]]


def test_a_forest_without_trees_stays_as_it_is_and_sums_that_overflow_are_refused():
    empty = Forest([1.0, 2.0], features=3, depth=2)
    assert len(merge_structures(empty)) == 0
    assert merge_structures(empty).predict(np.ones((1, 3))).tolist() == [[1.0, 2.0]]
    forest = Forest([0.0], features=1, depth=1)
    for _ in range(2):
        forest.append(make_stump(0.0, [1e308, 0.0]), [1.0])
    with pytest.raises(BadInput, match="expected leaves with finite sums"):
        merge_structures(forest)


# --- distilling ---


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
