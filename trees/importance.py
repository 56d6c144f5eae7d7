"""How much each feature matters to a forest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wormwood.trees.forest import Forest

__all__ = ["contribution_importance", "split_importance"]

Floats = npt.NDArray[np.float64]


def split_importance(forest: Forest) -> Floats:
    """Return [F]: how often a row is asked for each feature, over all trees.

    A split counts as the share of its tree's rows that came through it while the tree was grown, so that a root counts
    1. It says what trees look at, not what they gain by it.
    """
    arrays = forest.arrays()
    features, covers = arrays["features"], arrays["covers"].astype(np.float64)
    shares = covers[:, : features.shape[1]] / np.maximum(covers[:, :1], 1.0)
    split = features >= 0
    sums = np.zeros(forest.features)
    np.add.at(sums, features[split], shares[split])
    return sums


def contribution_importance(contributions: Floats) -> Floats:
    """Return [F, D]: the mean absolute Shapley value of each feature for each output, from [N, F, D] of N > 0 rows.

    It is in the output's own unit, and depends on the rows. A feature that adds the same to all of them is important by
    this measure, too: it sets them apart from the rows by which the trees were grown.
    """
    importance: Floats = np.abs(contributions).mean(axis=0)
    return importance
