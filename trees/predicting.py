"""Walking rows down trees, and subtracting the leaves that they reach, always in the order of the trees."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wormwood.compilation import inlined, kernel
from wormwood.trees.vectors import GROUP, Lanes, find_leaves, subtract_leaves

__all__ = ["PackedTrees", "leaf_masks", "subtract_trees"]

Floats = npt.NDArray[np.float64]

_DEEPEST_GROUPED = 6  # 64 leaves, a bit each
_FEWEST_GROUPED = 6  # rows from which on a group, always walked whole, is faster than one row after another
_BLOCK = 4 * GROUP  # rows for which a tree is fetched once
_BATCH = 16  # trees whose leaves stay in the first-level cache while a block of rows passes
_CHUNK = 64  # trees whose leaves are found before the first is subtracted, so that fetching them overlaps


class PackedTrees(NamedTuple):
    """K perfect trees of one depth, of I inner nodes and L leaves each."""

    features: npt.NDArray[np.uint16]
    """[K, I]; 0 where there is no split."""
    thresholds: Floats
    """[K, I]; infinity where there is no split."""
    categorical: npt.NDArray[np.bool_]
    """[K, I]: whether the node asks for equality."""
    has_categorical: bool
    """Whether any does."""
    leaves: Floats
    """[K, L, W]: what is subtracted, and zeros from D on."""
    masks: npt.NDArray[np.uint64]
    """[I] from ``leaf_masks``."""


@functools.cache
def leaf_masks(depth: int) -> npt.NDArray[np.uint64]:
    """Return the leaves, as bits, that stay open where each node [I] sends a row right; none for over 64 leaves."""
    if depth > _DEEPEST_GROUPED:
        return np.empty(0, np.uint64)
    masks = []
    for level in range(depth):
        half = 2 ** (depth - level - 1)
        masks += [2**64 - 1 - ((2**half - 1) << (2 * half * place)) for place in range(2**level)]
    return np.array(masks, np.uint64)


def subtract_trees(margins: Floats, rows: Floats, trees: PackedTrees, span: tuple[int, int], width: Lanes) -> None:
    """Subtract the leaves of trees ``span[0]`` to ``span[1]`` that rows reach, one tree after another.

    Args:
        margins: [N, W], changed in place. A row's bits depend neither on the other rows nor on how trees are spanned.
        rows: [N, F] finite features.
        trees: the trees.
        span: first tree, and one past the last.
        width: W lanes.
    """
    few = len(rows) < _FEWEST_GROUPED or span[1] - span[0] < GROUP  # for few trees transposing the rows does not pay
    walk = _subtract_by_rows if few or not len(trees.masks) else _subtract_by_groups
    walk(margins, rows, trees, span, width)


@kernel
def _subtract_by_rows(margins: Floats, rows: Floats, trees: PackedTrees, span: tuple[int, int], width: Lanes) -> None:
    features, thresholds = trees.features.reshape(-1), trees.thresholds.reshape(-1)
    categorical, x = trees.categorical.reshape(-1), rows.reshape(-1)
    inner, columns = trees.features.shape[1], rows.shape[1]
    found = np.empty(_CHUNK, np.uint64)
    for chunk in range(span[0], span[1], _CHUNK):
        count = min(_CHUNK, span[1] - chunk)
        for row in range(len(rows)):
            for tree in range(count):
                begin = (chunk + tree) * inner
                node = 0
                while node < inner:
                    place = np.uint64(begin + node)
                    value = x[np.uint64(row * columns + np.int64(features[place]))]
                    right = value > thresholds[place]
                    if trees.has_categorical:
                        right = value == thresholds[place] if categorical[place] else right
                    node = 2 * node + 1 + right
                found[tree] = (chunk + tree) * (inner + 1) + node - inner
            subtract_leaves(margins, row * len(width), trees.leaves, found, 0, 1, count, width)


@kernel
def _subtract_by_groups(margins: Floats, rows: Floats, trees: PackedTrees, span: tuple[int, int], width: Lanes) -> None:
    columns = rows.shape[1]
    block, found = np.zeros(_BLOCK * columns), np.empty(_BATCH * GROUP, np.uint64)
    for first in range(0, len(rows), _BLOCK):
        past = min(first + _BLOCK, len(rows))
        _transpose(block, rows[first:past])
        for chunk in range(span[0], span[1], _BATCH):
            count = min(_BATCH, span[1] - chunk)
            for begin in range(first, past, GROUP):
                _find_batch(block, (begin - first) * columns, trees, (chunk, count), found)
                for row in range(min(GROUP, past - begin)):
                    subtract_leaves(margins, (begin + row) * len(width), trees.leaves, found, row, GROUP, count, width)


@inlined
def _find_batch(
    block: Floats, start: int, trees: PackedTrees, batch: tuple[int, int], found: npt.NDArray[np.uint64]
) -> None:
    """Find the leaves of a group of rows in ``batch[1]`` trees from tree ``batch[0]`` on."""
    features, thresholds, categorical = trees.features, trees.thresholds, trees.categorical
    for index in range(batch[1]):
        tree, place = batch[0] + index, index * GROUP
        if trees.has_categorical:
            find_leaves(block, start, features, thresholds, categorical, tree, trees.masks, found, place)
        else:
            find_leaves(block, start, features, thresholds, None, tree, trees.masks, found, place)


@inlined
def _transpose(block: Floats, rows: Floats) -> None:
    """Lay the columns of each group of rows one after another."""
    count, columns = rows.shape
    for row in range(count):
        start = row // GROUP * GROUP * columns + row % GROUP
        for column in range(columns):
            block[start + column * GROUP] = rows[row, column]
