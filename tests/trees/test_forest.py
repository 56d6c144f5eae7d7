import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.errors import BadInput
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.margins import MarginCache
from wormwood.trees.tree import Tree


def make_tree(generator, *, depth=3, features=4, outputs=2, categorical=0.0):
    inner = 2**depth - 1
    equality = generator.random(inner) < categorical
    split = generator.random(inner) < 0.9
    thresholds = np.where(equality, generator.integers(0, 3, inner), generator.normal(size=inner))
    chosen = np.where(split, generator.integers(0, features, inner), -1).astype(np.int32)
    leaf_covers = generator.integers(0, 9, inner + 1)
    covers = np.concatenate([np.zeros(inner, int), leaf_covers])
    for node in reversed(range(inner)):
        covers[node] = covers[2 * node + 1] + covers[2 * node + 2]
    leaves = generator.normal(size=(inner + 1, outputs))
    return Tree(chosen, np.where(split, thresholds, np.inf), equality & split, leaves, covers.astype(np.int32))


def make_forest(generator, trees, *, depth=3, features=4, outputs=2, categorical=0.0):
    forest = Forest(generator.normal(size=outputs), features=features, depth=depth)
    rates = generator.random(outputs)
    for _ in range(trees):
        reached = int(generator.integers(1, depth + 1))
        tree = make_tree(generator, depth=reached, features=features, outputs=outputs, categorical=categorical)
        forest.append(tree, rates)
    return forest


def predict_slowly(forest, rows):
    """One comparison and one difference at a time, from the arrays that a forest hands out."""
    arrays = forest.arrays()
    outputs = np.tile(arrays["initial"], (len(rows), 1))
    for index, row in enumerate(rows):
        for features, thresholds, categorical, leaves in zip(
            arrays["features"], arrays["thresholds"], arrays["categorical"], arrays["leaves"], strict=True
        ):
            node = 0
            while node < len(features):
                value = row[features[node]]
                right = value == thresholds[node] if categorical[node] else value > thresholds[node]
                node = 2 * node + 1 + bool(right)
            outputs[index] = outputs[index] - leaves[node - len(features)]
    return outputs


def make_rows(generator, rows, features=4):
    values = generator.normal(size=(rows, features))
    return np.where(generator.random((rows, features)) < 0.5, values, generator.integers(0, 3, (rows, features)))


@pytest.mark.parametrize("outputs", [1, 2, 4, 7, 9, 17])
@pytest.mark.parametrize("depth", [1, 4, 6, 7])
@pytest.mark.parametrize("categorical", [0.0, 0.3])
def test_predictions_are_those_of_the_slow_reference(outputs, depth, categorical):
    generator = np.random.default_rng(depth)
    forest = make_forest(generator, 70, depth=depth, outputs=outputs, categorical=categorical)
    rows = make_rows(generator, 45)
    np.testing.assert_array_equal(forest.predict(rows), predict_slowly(forest, rows))


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), rows=st.integers(1, 300), trees=st.integers(0, 80), depth=st.integers(1, 5))
def test_batches_and_margins_give_the_same_bits(seed, rows, trees, depth):
    generator = np.random.default_rng(seed)
    forest = make_forest(generator, trees, depth=depth, categorical=0.1)
    features = make_rows(generator, rows)
    whole = forest.predict(features)
    cut = int(generator.integers(0, rows + 1))
    np.testing.assert_array_equal(forest.predict(features[:cut]), whole[:cut])
    np.testing.assert_array_equal(forest.predict(features[-1:]), whole[-1:])
    cache, following = MarginCache(forest, features), MarginCache(forest, features)
    for _ in range(3):
        tree, rates = make_tree(generator, depth=depth, categorical=0.1), generator.random(2)
        forest.append(tree, rates)
        cache.add(tree, rates)
        following.follow(forest)
        np.testing.assert_array_equal(cache.margins, forest.predict(features))
        np.testing.assert_array_equal(following.margins, cache.margins)
        assert len(cache.margins) == rows
    np.testing.assert_array_equal(forest.predict(features, trees=trees), whole)


def test_outputs_are_the_start_less_the_rates_times_the_leaves():
    forest = Forest([10.0, 20.0], features=1, depth=1)
    tree = Tree(
        features=np.array([0], np.int32),
        thresholds=np.array([0.5]),
        categorical=np.array([False]),
        leaves=np.array([[1.0, 2.0], [3.0, -4.0]]),
        covers=np.array([3, 1, 2], np.int32),
    )
    assert forest.predict([[0.0]]).tolist() == [[10.0, 20.0]]
    forest.append(tree, [1.0, 0.5])
    forest.append(tree, [0.5, 0.0])
    # 10 - 1 - 0.5 and 20 - 0.5 * 2; 10 - 3 - 1.5 and 20 + 0.5 * 4
    assert forest.predict([[0.5], [0.6]]).tolist() == [[8.5, 19.0], [5.5, 22.0]]
    assert forest.predict([[0.6]], trees=1).tolist() == [[7.0, 22.0]]
    assert len(forest) == 2


def test_a_tree_that_cannot_split_is_kept_and_applied_once():
    x, gradients = np.ones((4, 3)), np.full((4, 2), [[1.0, -2.0]])
    grid = fit_grid(x, max_bins=8, method="quantile")
    forest = Forest([0.0, 0.0], features=3, depth=4)
    cache = MarginCache(forest, x)
    for count in (1, 2, 3):
        tree = grow_tree(grid.encode(x), grid, gradients, config=TreeConfig())
        forest.append(tree, [0.5, 0.5])
        cache.add(tree, [0.5, 0.5])
        assert len(forest) == count
        assert forest.predict(x).tolist() == [[-0.5 * count, 1.0 * count]] * 4
        assert cache.margins.tolist() == forest.predict(x).tolist()


def test_arrays_rebuild_a_forest_and_later_trees_extend_an_older_copy():
    generator = np.random.default_rng(0)
    forest = make_forest(generator, 30, categorical=0.2)
    rows = make_rows(generator, 20)
    copy = Forest.from_arrays(forest.arrays())
    np.testing.assert_array_equal(copy.predict(rows), forest.predict(rows))
    for _ in range(5):
        forest.append(make_tree(generator, categorical=0.2), [0.1, 0.2])
    later = forest.arrays(start=30)
    assert len(later["features"]) == 5
    copy.extend(later)
    np.testing.assert_array_equal(copy.predict(rows), forest.predict(rows))
    for name, values in forest.arrays().items():
        np.testing.assert_array_equal(copy.arrays()[name], values, err_msg=name)
    with pytest.raises(BadInput, match="trees do not follow in forest: expected start 35"):
        copy.extend(later)


def test_slices_are_forests_of_their_own():
    generator = np.random.default_rng(1)
    forest = make_forest(generator, 12)
    rows = make_rows(generator, 9)
    first = forest[:7]
    np.testing.assert_array_equal(first.predict(rows), forest.predict(rows, trees=7))
    first.append(make_tree(generator), [1.0, 1.0])
    assert (len(first), len(forest), len(forest[-3:]), len(forest[3:3])) == (8, 12, 3, 0)


def test_a_shallower_tree_is_deepened_without_a_change_of_what_it_says():
    generator = np.random.default_rng(2)
    tree = make_tree(generator, depth=2)
    deep = tree.deepened(4)
    assert (deep.depth, deep.covers[0]) == (4, tree.covers[0])
    assert deep.covers[15:].sum() == tree.covers[0]
    plain, deepened = Forest([0.0, 0.0], features=4, depth=2), Forest([0.0, 0.0], features=4, depth=4)
    plain.append(tree, [1.0, 1.0])
    deepened.append(tree, [1.0, 1.0])
    rows = make_rows(generator, 30)
    np.testing.assert_array_equal(plain.predict(rows), deepened.predict(rows))
    assert Forest.from_arrays(deepened.arrays()).arrays()["features"].tolist() == [deep.features.tolist()]


@pytest.mark.parametrize(
    ("tree", "rates", "message"),
    [
        ({"depth": 4}, [1.0, 1.0], "expected depth up to 3"),
        ({"outputs": 3}, [1.0, 1.0, 1.0], "2 outputs, got 'depth 3"),
        ({"features": 40}, [1.0, 1.0], "4 features"),
        ({}, [1.0], "expected 2 finite numbers, got \\[1.0\\]"),
        ({}, [1.0, np.nan], "expected 2 finite numbers"),
    ],
)
def test_a_tree_that_does_not_fit_is_refused(tree, rates, message):
    generator = np.random.default_rng(0)
    forest = make_forest(generator, 1)
    with pytest.raises(BadInput, match=message):
        forest.append(make_tree(generator, **tree), rates)
    assert len(forest) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1, 1), "at least one output"),
        (([np.nan], 1, 1), "initial: finite numbers"),
        (([0.0], 0, 1), "columns of 1 to 65536"),
        (([0.0], 1, 0), "expected 1 to 10, got 0"),
        (([0.0], 1, 11), "expected 1 to 10, got 11"),
        (([[0.0]], 1, 1), "initial"),
    ],
)
def test_a_forest_of_impossible_sizes_is_refused(arguments, message):
    initial, features, depth = arguments
    with pytest.raises(BadInput, match=message):
        Forest(initial, features=features, depth=depth)


def test_rows_and_numbers_of_trees_that_do_not_fit_are_refused():
    forest = make_forest(np.random.default_rng(0), 3)
    with pytest.raises(BadInput, match=r"expected shape \[rows, 4\]"):
        forest.predict(np.ones((2, 3)))
    with pytest.raises(BadInput, match="row 1, column 2 of the features: expected a finite number, got nan"):
        forest.predict([[0, 0, 0, 0], [0, 0, np.nan, 0]])
    with pytest.raises(BadInput, match="expected 0 to 3, got 4"):
        forest.predict(np.ones((2, 4)), trees=4)
    with pytest.raises(BadInput, match="expected 0 to 3, got 4"):
        forest.arrays(start=4)


BROKEN = {
    "a missing array": (lambda a: a.pop("covers"), "covers: int32"),
    "one array too many": (lambda a: a.update(code=np.zeros(1)), "got 'code'"),
    "another type": (lambda a: a.update(features=a["features"].astype(np.int64)), "features: int32"),
    "no array": (lambda a: a.update(leaves=[1.0]), "leaves: numbers of shape"),
    "leaves of no tree": (lambda a: a.update(leaves=a["leaves"][:, :7]), "a power of two"),
    "fewer trees in one": (lambda a: a.update(thresholds=a["thresholds"][1:]), "thresholds: float64"),
    "a feature that is not there": (lambda a: a["features"].__setitem__((1, 0), 4), "features: -1 to 3"),
    "a feature below none": (lambda a: a["features"].__setitem__((1, 0), -2), "features: -1 to 3"),
    "no number": (lambda a: a["leaves"].__setitem__((2, 0, 1), np.nan), r"leaves: finite .* at \[2, 0, 1\]"),
    "an infinite threshold": (lambda a: a["thresholds"].__setitem__((1, 0), -np.inf), "thresholds"),
    "rows from nowhere": (lambda a: a["covers"].__setitem__((1, 0), 10**6), "covers: of a node the sum"),
    "fewer rows than none": (lambda a: a["covers"].__setitem__((1, 14), -1), "covers: at least 0"),
    "a later part": (lambda a: a.update(start=np.array(2)), "trees do not follow"),
    "a start before the first": (lambda a: a.update(start=np.array(-2)), "a start of at least 0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_arrays_that_are_no_forest_are_refused(name):
    breaking, message = BROKEN[name]
    arrays = make_forest(np.random.default_rng(3), 4).arrays()
    breaking(arrays)
    with pytest.raises(BadInput, match=message):
        Forest.from_arrays(arrays)


def test_leaves_that_overflow_are_refused():
    x, gradients = np.arange(4.0)[:, None], np.full((4, 1), 1e308)
    grid = fit_grid(x, max_bins=4, method="quantile")
    forest = Forest([0.0], features=1, depth=4)
    with pytest.raises(BadInput, match="expected finite leaves"):
        forest.append(grow_tree(grid.encode(x), grid, gradients, config=TreeConfig()), [1.0])


def test_no_rows_give_no_outputs():
    forest = make_forest(np.random.default_rng(0), 40)
    assert forest.predict(np.empty((0, 4))).shape == (0, 2)
    assert MarginCache(forest, np.empty((0, 4))).margins.shape == (0, 2)


def test_margins_cannot_be_written_from_outside():
    cache = MarginCache(make_forest(np.random.default_rng(0), 2), np.ones((3, 4)))
    with pytest.raises(ValueError, match="read-only"):
        cache.margins[0] = 0
