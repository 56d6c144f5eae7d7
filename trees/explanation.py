"""Which features a forest's outputs come from: exact Shapley values of the trees' conditional expectations."""

from __future__ import annotations

from math import factorial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wormwood.compilation import inlined, kernel
from wormwood.trees.binning import check_features
from wormwood.trees.forest import Forest

__all__ = ["Explanation", "explain"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


class Explanation(NamedTuple):
    """``base + contributions.sum(axis=1)`` is the forest's prediction, up to rounding."""

    base: Floats
    """[D]: what the forest expects of a row of which nothing is known."""
    contributions: Floats
    """[N, F, D]: what is added to it by knowing each feature of each row."""


class _Trees(NamedTuple):
    """The arrays of ``Forest.arrays`` that are walked."""

    features: Ints
    thresholds: Floats
    categorical: npt.NDArray[np.bool_]
    leaves: Floats
    covers: Ints


class _Path(NamedTuple):
    """The m different features on the way to a leaf, and the d comparisons."""

    nodes: Ints
    """[d]: the nodes that are split."""
    rights: npt.NDArray[np.bool_]
    """[d]: whether the way goes right there."""
    slots: Ints
    """[d]: which of the m features each asks for."""
    features: Ints
    """[m]: the features."""
    shares: Floats
    """[m]: the share of rows that goes this way where the feature is not known: the product over its nodes."""


def explain(forest: Forest, features: npt.ArrayLike) -> Explanation:
    """Explain the outputs for rows by the path-dependent TreeSHAP game (Lundberg et al., arXiv 1802.03888).

    A coalition of features is worth the mean of the leaves that rows reach which agree with x in these features: at a
    node that asks for another feature, both ways are taken in the shares of the rows by which the tree was grown, or by
    halves where none came through. For a leaf w with m features on its way, of which x agrees with feature j (o_j = 1)
    or not (o_j = 0) and z_j is that share,
    ``phi_i = w (o_i - z_i) sum_S |S|! (m - |S| - 1)! / m! prod_{j in S} o_j prod_{j not in S} z_j`` over S without i.
    The sums over S are the coefficients of a polynomial, so that nothing is divided or sampled.

    Args:
        forest: the forest. The time grows with rows x trees x leaves.
        features: [N, F] finite numbers.

    Raises:
        BadInput: another shape, or a number that is not finite.
    """
    rows = check_features(features, forest.features)
    arrays = forest.arrays()
    trees = _Trees(*(arrays[name] for name in _Trees._fields))
    weights = np.zeros((forest.depth + 1, forest.depth + 1))
    for count in range(1, forest.depth + 1):
        for size in range(count):
            weights[count, size] = factorial(size) * factorial(count - size - 1) / factorial(count)
    base, contributions = arrays["initial"], np.zeros((len(rows), forest.features, forest.outputs))
    _explain(rows, trees, weights, base, contributions)
    return Explanation(base, contributions)


class _Cases(NamedTuple):
    """What each feature on the way to a leaf contributes, by which of them agree: bit j of the case is feature j."""

    parts: Floats
    """[2**depth, depth]"""
    leaves: npt.NDArray[np.int64]
    """[2**depth]: the leaf, counted over all trees from 1 on, for which the parts were last worked out."""


@kernel
def _explain(rows: Floats, trees: _Trees, weights: Floats, base: Floats, contributions: Floats) -> None:
    count, inner = trees.features.shape
    depth = len(weights) - 1
    path = _Path(
        np.empty(depth, np.int32),
        np.empty(depth, np.bool_),
        np.empty(depth, np.int32),
        np.empty(depth, np.int32),
        np.empty(depth),
    )
    cases = _Cases(np.empty((2**depth, depth)), np.zeros(2**depth, np.int64))
    agrees, sums = np.empty(depth), np.empty(depth)
    for tree in range(count):
        for leaf in range(inner + 1):
            steps, different = _follow(trees, tree, leaf, path)
            if steps < 0:
                continue
            reach = 1.0
            for slot in range(different):
                reach *= path.shares[slot]
            _subtract(base, trees.leaves[tree, leaf], reach)
            number = tree * (inner + 1) + leaf + 1
            for row in range(len(rows)):
                case = _case(rows[row], trees, tree, path, steps, different)
                parts = cases.parts[case]
                if cases.leaves[case] != number:
                    cases.leaves[case] = number
                    for slot in range(different):
                        agrees[slot] = float(case >> slot & 1)
                    for slot in range(different):
                        parts[slot] = _shapley(agrees[:different], path.shares, slot, sums, weights[different])
                for slot in range(different):
                    _subtract(contributions[row, path.features[slot]], trees.leaves[tree, leaf], parts[slot])


@inlined
def _case(row: Floats, trees: _Trees, tree: int, path: _Path, steps: int, different: int) -> int:  # noqa: PLR0917
    """Return as bits which features of a row agree with the way to a leaf."""
    case = (1 << different) - 1
    for step in range(steps):
        node = path.nodes[step]
        value, threshold = row[trees.features[tree, node]], trees.thresholds[tree, node]
        right = value == threshold if trees.categorical[tree, node] else value > threshold
        if right != path.rights[step]:
            case &= ~(1 << path.slots[step])
    return case


@inlined
def _follow(trees: _Trees, tree: int, leaf: int, path: _Path) -> tuple[int, int]:
    """Fill the path to a leaf. Return its comparisons and different features, or -1 and 0 where no row can come."""
    node, steps, different = leaf + trees.features.shape[1], 0, 0
    while node > 0:
        parent, right = (node - 1) // 2, node % 2 == 0
        feature = trees.features[tree, parent]
        if feature < 0 and right:
            return -1, 0
        if feature >= 0:
            whole, part = trees.covers[tree, parent], trees.covers[tree, node]
            share = part / whole if whole > 0 else 0.5
            slot = 0
            while slot < different and path.features[slot] != feature:
                slot += 1
            if slot == different:
                path.features[slot], path.shares[slot] = feature, 1.0
                different += 1
            path.shares[slot] *= share
            path.nodes[steps], path.rights[steps], path.slots[steps] = parent, right, slot
            steps += 1
        node = parent
    return steps, different


@inlined
def _subtract(target: Floats, leaf: Floats, factor: float) -> None:
    for output in range(len(leaf)):
        target[output] -= factor * leaf[output]


@inlined
def _shapley(agrees: Floats, shares: Floats, slot: int, sums: Floats, weights: Floats) -> float:
    """Return a feature's Shapley value in the game ``v(S) = prod_{j in S} o_j prod_{j not in S} z_j``.

    ``sums[k]`` becomes the sum of the products over all S of size k that leave out the feature.
    """
    sums[0], size = 1.0, 0
    for other in range(len(agrees)):
        if other != slot:
            sums[size + 1] = 0.0
            for k in range(size, -1, -1):
                sums[k + 1] += agrees[other] * sums[k]
                sums[k] *= shares[other]
            size += 1
    total = 0.0
    for k in range(size + 1):
        total += weights[k] * sums[k]
    difference: float = agrees[slot] - shares[slot]
    return difference * total
