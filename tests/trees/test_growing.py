import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.errors import BadInput
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.growing import grow_tree
from wormwood.trees.tree import Tree


class ReferenceGrower:
    """Tries every candidate on the features themselves, and recomputes every sum from the rows."""

    def __init__(self, x, grid, gradients, config, *, structure=None, weights=None, monotone=None):
        self.x, self.grid, self.gradients, self.config = x, grid, gradients, config
        structure = gradients if structure is None else structure
        if config.score == "l2":
            deviation = structure.std(axis=0)
            structure = np.where(deviation > 0, (structure - structure.mean(axis=0)) / deviation, 0.0)
        self.lanes = self.quantised(structure)
        self.weights = np.ones(x.shape[1]) if weights is None else weights
        self.monotone = monotone
        self.inner = 2**config.max_depth - 1
        self.features = np.full(self.inner, -1)
        self.thresholds = np.full(self.inner, np.inf)
        self.rows = [np.empty(0, int)] * (2 * self.inner + 1)
        self.bounds = [(-np.inf, np.inf)] * (2 * self.inner + 1)

    @staticmethod
    def quantised(structure):
        largest, rows = np.abs(structure).max(), len(structure)
        exponent = np.floor(np.log2(largest)) + 1 if largest > 0 else 0.0
        bits = max(24, 52 - 2 * np.ceil(np.log2(rows)))
        lanes = np.zeros((rows, max(4, 2 ** int(np.ceil(np.log2(structure.shape[1] + 1))))))
        lanes[:, 0] = 1
        lanes[:, 1 : structure.shape[1] + 1] = np.rint(structure * 2.0 ** (bits - exponent))
        return lanes

    def goes_right(self, rows, feature, candidate):
        values = self.x[rows, feature]
        return values == candidate if self.grid.categorical[feature] else values > candidate

    def gain(self, rows, right):
        side, total = self.lanes[rows[~right]].sum(axis=0), self.lanes[rows].sum(axis=0)
        squares = (total[0] * side - side[0] * total) ** 2
        while len(squares) > 1:
            squares = squares[: len(squares) // 2] + squares[len(squares) // 2 :]
        return squares[0] / (total[0] * (side[0] * (total[0] - side[0])))

    def candidates(self):
        for feature in range(self.x.shape[1]):
            for candidate in self.grid.candidates(feature):
                yield feature, candidate

    def breaks_constraint(self, node, feature, left, right):
        if self.monotone is None:
            return False
        low, high = self.bounds[node]
        one, other = self.lanes[left, 1:].mean(axis=0), self.lanes[right, 1:].mean(axis=0)
        signs = np.zeros(len(one))
        signs[: self.monotone.shape[1]] = self.monotone[feature]
        out = (np.minimum(one, other) < low) | (np.maximum(one, other) > high)
        return bool(out.any() or ((other - one) * signs > 0).any())

    def split(self, node, feature, candidate):
        rows = self.rows[node]
        right = self.goes_right(rows, feature, candidate) if feature >= 0 else np.zeros(len(rows), bool)
        self.features[node] = feature
        self.thresholds[node] = candidate if feature >= 0 else np.inf
        self.rows[2 * node + 1], self.rows[2 * node + 2] = rows[~right], rows[right]
        low, high = self.bounds[node]
        self.bounds[2 * node + 1] = self.bounds[2 * node + 2] = (low, high)
        if self.monotone is not None and feature >= 0:
            means = [self.lanes[part, 1:].mean(axis=0) for part in (rows[~right], rows[right])]
            middle = (means[0] + means[1]) / 2
            signs = np.zeros(len(middle))
            signs[: self.monotone.shape[1]] = self.monotone[feature]
            floor, ceiling = np.where(signs > 0, middle, low), np.where(signs > 0, middle, high)
            left_low, left_high = floor, np.where(signs < 0, middle, high)
            right_low, right_high = np.where(signs < 0, middle, low), ceiling
            self.bounds[2 * node + 1], self.bounds[2 * node + 2] = (left_low, left_high), (right_low, right_high)

    def best_of_node(self, node):
        best, found, rows, least = 0.0, (-1, np.inf), self.rows[node], self.config.min_data_in_leaf
        for feature, candidate in self.candidates():
            right = self.goes_right(rows, feature, candidate)
            if min(right.sum(), (~right).sum()) < least:
                continue
            gain = self.gain(rows, right) * self.weights[feature]
            if gain > best and not self.breaks_constraint(node, feature, rows[~right], rows[right]):
                best, found = gain, (feature, candidate)
        return found

    def best_of_level(self, nodes):
        best, found = 0.0, (-1, np.inf)
        for feature, candidate in self.candidates():
            total = 0.0
            for node in nodes:
                rows = self.rows[node]
                right = self.goes_right(rows, feature, candidate)
                fewer = min(right.sum(), (~right).sum())
                if fewer == 0:
                    continue
                if fewer < self.config.min_data_in_leaf:
                    total = -np.inf
                    break
                gain = self.gain(rows, right)
                if self.config.score == "cosine":
                    sums = self.lanes[rows].sum(axis=0)
                    base = sum(number * number for number in sums[1:]) / sums[0]
                    gain = np.sqrt(base + gain) - np.sqrt(base)
                total += gain
            if total * self.weights[feature] > best:
                best, found = total * self.weights[feature], (feature, candidate)
        return found

    def grow(self):
        self.rows[0] = np.arange(len(self.x))
        for depth in range(self.config.max_depth):
            nodes = range(2**depth - 1, 2 ** (depth + 1) - 1)
            if self.config.grower == "oblivious":
                found = self.best_of_level(nodes)
                for node in nodes:
                    self.split(node, *found)
            else:
                for node in nodes:
                    parent_is_split = node == 0 or self.features[(node - 1) // 2] >= 0
                    self.split(node, *(self.best_of_node(node) if parent_is_split else (-1, np.inf)))
        leaves = np.array([self.leaf(self.inner + leaf) for leaf in range(self.inner + 1)])
        covers = np.array([len(rows) for rows in self.rows])
        equality = (self.features >= 0) & self.grid.categorical[self.features]
        return Tree(self.features, self.thresholds, equality, leaves, covers)

    def leaf(self, leaf):
        top = leaf  # the highest node that is not split above the leaf, whose rows went left
        node = leaf
        while node > 0:
            node = (node - 1) // 2
            top = node if self.features[node] < 0 else top
        total = np.zeros(self.gradients.shape[1])
        for row in self.rows[top]:
            total = total + self.gradients[row]
        return total / max(len(self.rows[top]), 1)


def make_problem(seed, rows, features=4, outputs=3, *, distinct=0, categorical=()):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, features))
    if distinct:
        x = generator.integers(0, distinct, (rows, features)).astype(float)
    for column in categorical:
        x[:, column] = generator.integers(0, 5, rows)
    gradients = generator.normal(size=(rows, outputs)) + np.sign(x[:, :1]) + (x[:, -1:] == 2)
    return x, gradients


def assert_same(tree, reference):
    for field in dataclasses.fields(Tree):
        np.testing.assert_array_equal(getattr(tree, field.name), getattr(reference, field.name), err_msg=field.name)


def grow_both(x, gradients, config, *, structure=None, weights=None, monotone=None, categorical=()):
    grid = fit_grid(x, max_bins=config.max_bins, method=config.binning, categorical=categorical)
    tree = grow_tree(
        grid.encode(x),
        grid,
        gradients,
        config=config,
        structure_gradients=structure,
        feature_weights=weights,
        monotone=monotone,
    )
    reference = ReferenceGrower(x, grid, gradients, config, structure=structure, weights=weights, monotone=monotone)
    return tree, reference.grow()


@pytest.mark.parametrize("score", ["cosine", "l2"])
@pytest.mark.parametrize("grower", ["greedy", "oblivious"])
@pytest.mark.parametrize("binning", ["quantile", "uniform"])
@pytest.mark.parametrize("min_data_in_leaf", [1, 7])
def test_a_tree_equals_that_of_the_slow_reference(score, grower, binning, min_data_in_leaf):
    x, gradients = make_problem(1, 90)
    config = TreeConfig(
        max_depth=3, max_bins=12, binning=binning, grower=grower, score=score, min_data_in_leaf=min_data_in_leaf
    )
    tree, reference = grow_both(x, gradients, config)
    assert_same(tree, reference)
    assert (tree.features >= 0).sum() > 4


@pytest.mark.parametrize("grower", ["greedy", "oblivious"])
def test_categories_weights_and_structure_gradients_equal_the_reference(grower):
    x, gradients = make_problem(2, 80, features=5, categorical=(1, 4))
    structure = np.random.default_rng(3).normal(size=(80, 2)) + (x[:, 1:2] == 3) * 4
    config = TreeConfig(max_depth=3, max_bins=8, grower=grower)
    weights = np.array([1.0, 0.25, 0.0, 2.0, 1.5])
    assert_same(*grow_both(x, gradients, config, categorical=(1, 4), weights=weights))
    tree, reference = grow_both(x, gradients, config, categorical=(1, 4), structure=structure)
    assert_same(tree, reference)
    assert tree.categorical.any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("score", ["cosine", "l2"])
def test_constrained_trees_equal_the_reference_and_are_monotone(seed, score):
    x, gradients = make_problem(seed, 120, features=3, outputs=2)
    gradients[:, 0] += np.sin(3 * x[:, 0])
    monotone = np.array([[1, 0], [0, -1], [0, 0]])
    config = TreeConfig(max_depth=4, max_bins=16, score=score)
    tree, reference = grow_both(x, gradients, config, monotone=monotone)
    assert_same(tree, reference)
    for feature, output, sign in ((0, 0, 1), (1, 1, -1)):
        line = np.repeat(np.random.default_rng(seed).normal(size=(20, 1, 3)), 50, axis=1)
        line[:, :, feature] = np.linspace(-3, 3, 50)
        outputs = -walk(tree, line.reshape(-1, 3))[:, output].reshape(20, 50)
        assert (np.diff(outputs, axis=1) * sign >= -1e-9).all()
        unconstrained, _ = grow_both(x, gradients, config)
        free = -walk(unconstrained, line.reshape(-1, 3))[:, output].reshape(20, 50)
        assert (np.diff(free, axis=1) * sign < -1e-3).any()


def walk(tree, rows):
    """The leaves that rows reach, one comparison at a time."""
    reached = []
    for row in rows:
        node = 0
        while node < len(tree.features):
            feature = tree.features[node]
            equal, above = row[feature] == tree.thresholds[node], row[feature] > tree.thresholds[node]
            node = 2 * node + 1 + (feature >= 0 and bool(equal if tree.categorical[node] else above))
        reached.append(tree.leaves[node - len(tree.features)])
    return np.array(reached)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 40),
    outputs=st.integers(1, 9),
    distinct=st.integers(1, 4),
    grower=st.sampled_from(["greedy", "oblivious"]),
    least=st.integers(1, 4),
    depth=st.integers(1, 4),
    exponent=st.sampled_from([-300, 0, 150]),
)
def test_trees_with_many_ties_equal_the_reference(seed, rows, outputs, distinct, grower, least, depth, exponent):
    x, _ = make_problem(seed, rows, distinct=distinct, categorical=(2,))
    gradients = np.random.default_rng(seed).integers(-1, 2, (rows, outputs)) * 2.0**exponent
    config = TreeConfig(max_depth=depth, max_bins=8, grower=grower, min_data_in_leaf=least)
    tree, reference = grow_both(x, gradients, config, categorical=(2,))
    assert_same(tree, reference)
    assert tree.covers[0] == rows
    np.testing.assert_allclose(
        (tree.leaves * tree.covers[len(tree.features) :, None]).sum(axis=0),
        gradients.sum(axis=0),
        atol=1e-12 * 2.0**exponent,
    )


def test_of_equal_gains_the_lowest_feature_and_then_the_lowest_candidate_is_taken():
    x = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    # Both cuts part one row of gradient 3 from two of mean 0: gains 9 * 2 / 3 = 6 on either side, in both columns.
    tree, _ = grow_both(x, np.array([[3.0], [0.0], [-3.0]]), TreeConfig(max_depth=1))
    assert tree.features.tolist() == [0]
    assert tree.thresholds.tolist() == [0.5]
    assert tree.leaves.tolist() == [[3.0], [-1.5]]
    assert tree.covers.tolist() == [3, 1, 2]


@pytest.mark.parametrize("grower", ["greedy", "oblivious"])
@pytest.mark.parametrize(
    ("x", "gradients"),
    [
        (np.ones((5, 2)), np.arange(5.0)[:, None] * [[1.0, 2.0]]),
        (np.array([[1.0, 2.0]]), np.array([[2.0, 4.0]])),
        (np.arange(10.0).reshape(5, 2), np.full((5, 2), [[2.0, 4.0]])),
    ],
    ids=["constant columns", "one row", "equal gradients"],
)
def test_a_tree_that_cannot_split_is_one_vector(grower, x, gradients):
    tree, _ = grow_both(x, gradients, TreeConfig(max_depth=2, grower=grower))
    assert (tree.features == -1).all() and (tree.thresholds == np.inf).all()
    assert tree.leaves.tolist() == [[2.0, 4.0]] * 4
    assert tree.covers.tolist() == [len(x), len(x), 0, len(x), 0, 0, 0]


def test_a_minibatch_is_the_same_as_its_rows_alone():
    x, gradients = make_problem(5, 200)
    rows = np.random.default_rng(0).permutation(200)[:60]
    grid = fit_grid(x, max_bins=16, method="quantile")
    codes = grid.encode(x)
    assert_same(
        grow_tree(codes, grid, gradients[rows], config=TreeConfig(), rows=rows),
        grow_tree(grid.encode(x[rows]), grid, gradients[rows], config=TreeConfig()),
    )


def test_more_rows_than_products_are_exact_for_still_equal_the_reference():
    x, gradients = make_problem(6, 20_000, features=2, outputs=2)
    tree, reference = grow_both(x, gradients, TreeConfig(max_depth=2, max_bins=6))
    assert tree.features.tolist() == reference.features.tolist()
    assert tree.thresholds.tolist() == reference.thresholds.tolist()
    np.testing.assert_array_equal(tree.leaves, reference.leaves)


GRID = fit_grid(np.arange(12.0).reshape(6, 2), max_bins=4, method="quantile")
CODES = GRID.encode(np.arange(12.0).reshape(6, 2))
GRADIENTS = np.arange(6.0)[:, None]


def with_number(value):
    gradients = GRADIENTS.copy()
    gradients[4, 0] = value
    return gradients


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gradients": with_number(np.nan)}, r"gradients\[4, 0\]: expected a finite number, got nan"),
        ({"gradients": with_number(-np.inf)}, r"gradients\[4, 0\]: expected a finite number, got -inf"),
        ({"structure_gradients": with_number(np.nan)}, r"structure_gradients\[4, 0\]"),
        ({"gradients": GRADIENTS[:5]}, r"gradients: expected numbers of shape \[6, any\], got \(5, 1\)"),
        ({"gradients": GRADIENTS[:, 0]}, r"gradients: expected numbers of shape \[6, any\]"),
        ({"gradients": np.empty((6, 0))}, r"gradients: expected numbers of shape \[6, any\]"),
        ({"rows": [], "gradients": np.empty((0, 1))}, "at least one row"),
        ({"rows": [0, 6], "gradients": GRADIENTS[:2]}, r"rows: expected 0 to 5, got \[0, 6\]"),
        ({"rows": [0.5], "gradients": GRADIENTS[:1]}, "rows: expected whole numbers"),
        ({"codes": CODES.T}, r"codes: expected bytes of shape \[2, rows\]"),
        ({"codes": CODES.astype(int)}, "codes: expected bytes"),
        ({"codes": CODES + np.uint8(100)}, "codes: expected codes of this grid, below 4"),
        ({"feature_weights": [1.0, -1.0]}, "feature_weights: expected numbers >= 0"),
        ({"feature_weights": [1.0]}, r"feature_weights: expected numbers of shape \[2\]"),
        ({"monotone": [[1], [2]]}, "monotone: expected -1, 0 or 1, got 2.0"),
        ({"monotone": [[1], [0]], "structure_gradients": GRADIENTS}, "none along with structure_gradients"),
        ({"monotone": [[1], [0]], "config": TreeConfig(grower="oblivious")}, "none in an oblivious tree"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(arguments, message):
    given_ones = {"codes": CODES, "grid": GRID, "gradients": GRADIENTS, "config": TreeConfig()} | arguments
    with pytest.raises(BadInput, match=message) as error:
        grow_tree(**given_ones)
    assert "\n" not in str(error.value)


def test_a_categorical_feature_cannot_be_monotone():
    grid = fit_grid(np.arange(4.0)[:, None], max_bins=4, method="quantile", categorical=[0])
    with pytest.raises(BadInput, match="none for a categorical feature, got 'some for feature 0'"):
        grow_tree(grid.encode(np.arange(4.0)[:, None]), grid, np.ones((4, 1)), config=TreeConfig(), monotone=[[1]])


def test_the_engines_that_cannot_do_what_is_configured_say_so():
    with pytest.raises(BadInput, match="device in trees: expected cpu under engine native, got 'cuda'"):
        TreeConfig(device="cuda")
    with pytest.raises(BadInput, match="grower in trees: expected greedy under engine xgboost"):
        TreeConfig(engine="xgboost", grower="oblivious")
