"""Forests of fewer trees: merged exactly where structures repeat, or fitted to a budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wormwood.errors import bad_input
from wormwood.trees.binning import check_features, fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.margins import MarginCache

__all__ = ["Distillation", "distil", "merge_structures"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

STRUCTURE = ("features", "thresholds", "categorical")
"""The arrays of a forest that say what its trees ask."""
RATE = 0.3
"""Learning rate of a small forest's trees. A smaller one needs more trees. Fitting all leaves again at the end lowered
the error on the rows that they were fitted to, and raised it on others."""


def merge_structures(forest: Forest) -> Forest:
    """Return the same function with one tree for all trees that ask the same: features, thresholds and categories.

    Trees that ask the same in all nodes of a level are equal in any order of their levels, and get them sorted by
    feature and threshold, nodes without a split last.

    Leaves add up in the order of the trees, and the tree stands where the first of them stood. Only the order of sums
    changes: with K trees and ``u = 2**-53``, an output differs by at most
    ``2 K u / (1 - K u) * (|F_0| + sum_k max |leaf_k|)`` (Higham 2002, equation 4.4, for each of the two orders).

    Covers add up, too, and are divided by a whole number where they would not fit in 32 bits. So ``explain`` weighs
    the ways of a merged tree by the rows of all its parts: its contributions add up to the same, but may be others.

    Raises:
        BadInput: the leaves of a structure add up to more than float64 holds.
    """
    arrays = _with_sorted_levels(forest.arrays())
    groups = _groups_of_structures(arrays)
    count = int(groups.max(initial=-1)) + 1
    _, first = np.unique(groups, return_index=True)
    leaves = np.zeros((count, *arrays["leaves"].shape[1:]))
    with np.errstate(over="ignore", invalid="ignore"):
        np.add.at(leaves, groups, arrays["leaves"])
    if not np.isfinite(leaves).all():
        expected = "leaves with finite sums"
        raise bad_input("forest", where="merge_structures", expected=expected, got="some that overflow")
    covers = np.zeros((count, leaves.shape[1]), np.int64)
    np.add.at(covers, groups, arrays["covers"][:, -leaves.shape[1] :])
    kept = {name: arrays[name][first] for name in STRUCTURE}
    return Forest.from_arrays({**arrays, **kept, "leaves": leaves, "covers": _covers_of_nodes(covers)})


def _with_sorted_levels(arrays: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Sort the levels of the trees that ask the same in all nodes of each level, and their leaves along."""
    leaves = arrays["leaves"].shape[1]
    depth = leaves.bit_length() - 1
    roots, widths = 2 ** np.arange(depth) - 1, 2 ** np.arange(depth)  # the first node of each level, and their number
    levels = {name: arrays[name][:, roots] for name in STRUCTURE}
    regular = np.all(
        [(arrays[name] == np.repeat(levels[name], widths, axis=1)).all(axis=1) for name in STRUCTURE], axis=0
    )
    last = np.where(levels["features"] < 0, np.iinfo(np.int32).max, levels["features"])
    order = np.lexsort((levels["categorical"], levels["thresholds"], last), axis=-1)
    order[~regular] = np.arange(depth)
    # Level j was level order[j], and so were the turns on the way to each leaf: the bits of its number.
    old = np.zeros((len(order), leaves), np.int64)
    for level in range(depth):
        turn = np.arange(leaves) >> (depth - 1 - level) & 1
        old |= turn << (depth - 1 - order[:, level, None])
    moved = dict(arrays)
    for name in STRUCTURE:
        own = np.repeat(np.take_along_axis(levels[name], order, axis=1), widths, axis=1)
        moved[name] = np.where(regular[:, None], own, arrays[name])
    moved["leaves"] = np.take_along_axis(arrays["leaves"], old[:, :, None], axis=1)
    moved["covers"] = _covers_of_nodes(np.take_along_axis(arrays["covers"][:, -leaves:], old, axis=1).astype(np.int64))
    return moved


def _groups_of_structures(arrays: dict[str, npt.NDArray[Any]]) -> Ints:
    """Return the number [K] of each tree's structure, counted in the order in which they first appear."""
    numbers: dict[bytes, int] = {}
    structures = (arrays[name] for name in STRUCTURE)
    keys = (b"".join(part.tobytes() for part in tree) for tree in zip(*structures, strict=True))
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)


def _covers_of_nodes(leaves: Ints) -> npt.NDArray[np.int32]:
    """Return the covers [K, 2 L - 1] of all nodes from those of the leaves [K, L], in 32 bits."""
    largest = int(leaves.sum(axis=1).max(initial=0))
    levels = [leaves // (largest // np.iinfo(np.int32).max + 1)]
    while levels[0].shape[1] > 1:
        levels.insert(0, levels[0][:, 0::2] + levels[0][:, 1::2])
    return np.hstack(levels).astype(np.int32)


@dataclass(frozen=True)
class Distillation:
    """A smaller forest, and how far its outputs are from those of the one that it stands for."""

    forest: Forest
    """Of the budget's number of trees."""
    largest_change: Floats
    """[D] largest absolute difference over the rows that were held out."""
    rms_change: Floats
    """[D] root of the mean squared difference over these rows."""


def distil(
    forest: Forest, features: npt.ArrayLike, *, trees: int, config: TreeConfig, held_out: npt.ArrayLike
) -> Distillation:
    """Fit a forest of a fixed number of trees to the outputs of a larger one, by boosting on the squared error.

    Splits are chosen by differences in units of each output's standard deviation, so that an output of small numbers
    counts as much as one of large ones.

    Args:
        forest: the large one.
        features: [N, F] finite rows to agree on, N > 0, such as all that the forest is asked for in practice. Elsewhere
            nothing is promised.
        trees: of the small forest, at least 1.
        config: of its trees.
        held_out: [M, F] other rows, M > 0, on which the change is measured. It says as much about rows that come later
            as these are like them: take them from other sources than ``features``, not from between those.

    Raises:
        BadInput: another shape, no rows, a number that is not finite, or no trees.
    """
    if trees < 1:
        raise bad_input("wrong number of trees", where="distil", expected="at least 1", got=trees)
    rows, others = check_features(features, forest.features), check_features(held_out, forest.features)
    if not len(others):
        raise bad_input("no rows", where="held_out", expected="at least one row", got=0)
    grid = fit_grid(rows, max_bins=config.max_bins, method=config.binning, categorical=_categorical(forest))
    codes, target = grid.encode(rows), forest.predict(rows)
    scale = target.std(axis=0)
    scale[scale == 0.0] = 1.0
    small = Forest(target.mean(axis=0), features=forest.features, depth=config.max_depth)
    cache, rates = MarginCache(small, rows), np.full(forest.outputs, RATE)
    for _ in range(trees):
        difference = cache.margins - target
        tree = grow_tree(codes, grid, difference, config=config, structure_gradients=difference / scale)
        small.append(tree, rates)
        cache.add(tree, rates)
    change = small.predict(others) - forest.predict(others)
    return Distillation(small, np.abs(change).max(axis=0), np.sqrt((change**2).mean(axis=0)))


def _categorical(forest: Forest) -> list[int]:
    """Return the features that the forest splits on equality."""
    arrays = forest.arrays()
    columns: list[int] = np.unique(arrays["features"][arrays["categorical"]]).tolist()
    return columns
