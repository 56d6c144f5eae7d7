"""Growing trees from histograms of the binned features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wormwood.compilation import inlined, kernel
from wormwood.trees.growing import GrowthProblem
from wormwood.trees.growth import Growth, finished_tree, new_growth, part
from wormwood.trees.histograms import accumulate, build, quantise, standardise, subtract, sum_rows
from wormwood.trees.splitting import SplitRules, best_split, node_score, partition, split_gain
from wormwood.trees.tree import Tree
from wormwood.trees.vectors import Lanes, lanes_of

__all__ = ["grow"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Codes = npt.NDArray[np.uint8]


class _Data(NamedTuple):
    """What is split."""

    codes: Codes
    """[F, n]: the bins of the rows."""
    lanes: Floats
    """[n, W]: their quantised gradients."""


def grow(problem: GrowthProblem) -> Tree:
    """Grow one tree, as ``growing.grow_tree`` describes it."""
    config, grid, gradients = problem.config, problem.grid, problem.gradients
    rows = len(gradients)
    structure = gradients if problem.structure_gradients is None else problem.structure_gradients
    if config.score == "l2":
        structure = standardise(structure)
    width = lanes_of(structure.shape[1] + 1)
    lanes = np.empty((rows, len(width)))
    quantise(structure, lanes)
    rules = SplitRules(
        grid.counts,
        grid.categorical,
        np.ones(grid.features) if problem.feature_weights is None else problem.feature_weights,
        np.empty((0, 0), np.int8) if problem.monotone is None else problem.monotone,
        config.min_data_in_leaf,
        config.score == "cosine",
    )
    data = _Data(problem.codes, lanes)
    growth = new_growth(rows, config.max_depth)
    if config.grower == "greedy":
        histograms = np.empty((config.max_depth, grid.features, grid.bins, len(width)))
        _grow_greedy(data, width, rules, histograms, growth)
    else:
        histogram = np.empty((grid.features, grid.bins, len(width)))
        _grow_oblivious(data, width, rules, histogram, growth)
    return finished_tree(growth, grid, gradients)


@kernel
def _grow_greedy(data: _Data, width: Lanes, rules: SplitRules, histograms: Floats, growth: Growth) -> None:
    """Split each node at its best, depth first, so that few histograms are alive and stay in the cache.

    The smaller child's histogram is built in the slot of its depth; the larger child takes over its parent's slot.
    """
    codes, lanes = data
    order, ends, features, candidates = growth
    inner, monotone = len(features), len(rules.monotone) > 0
    bounds = _unbounded(inner, rules.monotone.shape[1])
    scratch, total = np.empty_like(order), np.empty(len(width))
    stack, slots = np.empty(inner + 1, np.int32), np.zeros(2 * inner + 1, np.int32)
    ends[0, 1] = len(order)
    build(histograms[0], codes, lanes, order, width)
    accumulate(histograms[0], rules.categorical, width)
    stack[0], height = 0, 1
    while height > 0:
        height -= 1
        node = stack[height]
        begin, end, slot = ends[node, 0], ends[node, 1], slots[node]
        if end - begin < 2 * rules.min_rows:
            continue
        rows = order[begin:end]
        sum_rows(total, lanes, rows, width)
        feature, candidate = best_split(histograms[slot], total, rules, bounds[node], width)
        if feature < 0:
            continue
        left, right, has_inner_children = 2 * node + 1, 2 * node + 2, 2 * node + 1 < inner
        if monotone and has_inner_children:
            _narrow(bounds, node, histograms[slot, feature, candidate], total, rules.monotone[feature])
        features[node], candidates[node] = feature, candidate
        middle = begin + partition(rows, scratch, codes[feature], candidate, rules.categorical[feature])
        part(ends, node, middle)
        if has_inner_children:
            small, large = (left, right) if middle - begin <= end - middle else (right, left)
            fresh = _depth_of(small)
            build(histograms[fresh], codes, lanes, order[ends[small, 0] : ends[small, 1]], width)
            accumulate(histograms[fresh], rules.categorical, width)
            subtract(histograms[slot], histograms[fresh])
            slots[small], slots[large] = fresh, slot
            stack[height], stack[height + 1] = large, small
            height += 2
    for node in range(inner):
        if features[node] < 0:
            part(ends, node, ends[node, 1])


@inlined
def _depth_of(node: int) -> int:
    depth = 0
    while node > 0:
        node = (node - 1) // 2
        depth += 1
    return depth


@inlined
def _unbounded(inner: int, outputs: int) -> Floats:
    bounds = np.empty((inner, 2, outputs))
    bounds[:, 0], bounds[:, 1] = -np.inf, np.inf
    return bounds


@inlined
def _narrow(bounds: Floats, node: int, side: Floats, total: Floats, signs: npt.NDArray[np.int8]) -> None:
    """Bound the mean gradients below a split on a constrained feature by the middle of its sides' means."""
    left, right = 2 * node + 1, 2 * node + 2
    for output in range(len(signs)):
        for end in range(2):
            bounds[left, end, output] = bounds[right, end, output] = bounds[node, end, output]
        if signs[output] != 0:
            one = side[output + 1] / side[0]
            middle = 0.5 * (one + (total[output + 1] - side[output + 1]) / (total[0] - side[0]))
            low_child, high_child = (right, left) if signs[output] > 0 else (left, right)
            bounds[low_child, 1, output] = middle
            bounds[high_child, 0, output] = middle


@kernel
def _grow_oblivious(data: _Data, width: Lanes, rules: SplitRules, histogram: Floats, growth: Growth) -> None:
    """Split all nodes of a level alike, at the largest sum of their gains."""
    codes, lanes = data
    order, ends, features, candidates = growth
    scratch, total = np.empty_like(order), np.empty(len(width))
    gains = np.empty(histogram.shape[:2])
    ends[0, 1] = len(order)
    first = 0
    while first < len(features):
        gains[:] = 0.0
        for node in range(first, 2 * first + 1):
            rows = order[ends[node, 0] : ends[node, 1]]
            if len(rows) > 0:
                build(histogram, codes, lanes, rows, width)
                accumulate(histogram, rules.categorical, width)
                sum_rows(total, lanes, rows, width)
                _add_gains(gains, histogram, total, rules, width)
        feature, candidate = _best_of_level(gains, rules)
        for node in range(first, 2 * first + 1):
            begin, end = ends[node, 0], ends[node, 1]
            if feature < 0:
                part(ends, node, end)
                continue
            features[node], candidates[node] = feature, candidate
            left = partition(order[begin:end], scratch, codes[feature], candidate, rules.categorical[feature])
            part(ends, node, begin + left)
        first = 2 * first + 1


@inlined
def _add_gains(gains: Floats, histogram: Floats, total: Floats, rules: SplitRules, width: Lanes) -> None:
    """Add one node's gain to each candidate of its level. One that may not be taken becomes -infinity for good.

    A candidate that leaves all rows of the node on one side adds nothing.
    """
    base = node_score(total)
    for feature in range(len(histogram)):
        sides = histogram[feature]
        for candidate in range(rules.counts[feature]):
            fewer = min(sides[candidate, 0], total[0] - sides[candidate, 0])
            if fewer == 0:
                continue
            gain = split_gain(sides, candidate, total, width)
            if fewer < rules.min_rows:
                gain = -np.inf
            elif rules.cosine:
                gain = np.sqrt(base + gain) - np.sqrt(base)
            gains[feature, candidate] += gain


@inlined
def _best_of_level(gains: Floats, rules: SplitRules) -> tuple[int, int]:
    best, best_feature, best_candidate = 0.0, -1, 0
    for feature in range(len(gains)):
        for candidate in range(rules.counts[feature]):
            gain = gains[feature, candidate] * rules.weights[feature]
            if gain > best:
                best, best_feature, best_candidate = gain, feature, candidate
    return best_feature, best_candidate
