"""Forests of fewer trees, fitted to a budget."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wormwood.errors import bad_input
from wormwood.trees.binning import check_features, fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.margins import MarginCache

__all__ = ["Distillation", "distil"]

Floats = npt.NDArray[np.float64]

RATE = 0.3
"""Learning rate of a small forest's trees. A smaller one needs more trees. Fitting all leaves again at the end lowered
the error on the rows that they were fitted to, and raised it on others."""


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
