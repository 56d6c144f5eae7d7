"""Growing trees with XGBoost: it finds the splits, and the leaves are computed here, so that they are the same means.

XGBoost maximises the sum of G^2 / H over outputs and leaves, which is the L2 score where each H counts rows.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from wormwood.compilation import kernel
from wormwood.errors import bad_input
from wormwood.trees.binning import MAX_BINS
from wormwood.trees.growing import GrowthProblem
from wormwood.trees.growth import Growth, finished_tree, new_growth, part
from wormwood.trees.histograms import standardise
from wormwood.trees.splitting import partition
from wormwood.trees.tree import Tree

__all__ = ["grow"]


def grow(problem: GrowthProblem) -> Tree:
    """Grow one tree, as ``growing.grow_tree`` describes it, but that gains are rounded to float32.

    So of two splits whose gains differ by less than about one part in a million, either may be taken.

    Raises:
        BadInput: categorical features, monotone constraints, feature weights or more than one row per leaf are asked
            for, which XGBoost refuses or ignores for vectors in the leaves, or a device that is not there.
    """
    config = problem.config
    refused = {
        "categorical features": problem.grid.categorical.any(),
        "monotone": problem.monotone is not None,
        "feature_weights": problem.feature_weights is not None,
        "min_data_in_leaf above 1": config.min_data_in_leaf > 1,
    }
    for name, asked in refused.items():
        if asked:
            raise bad_input("engine xgboost", where="trees", expected=f"no {name}", got=name)
    structure = problem.gradients if problem.structure_gradients is None else problem.structure_gradients
    if config.score == "l2":
        structure = standardise(structure)
    splits = _boosted(problem.codes, _whole_numbers(structure), config.max_depth, config.device)
    growth = new_growth(len(structure), config.max_depth)
    _copy_splits(splits, growth)
    _part_rows(problem.codes, growth)
    return finished_tree(growth, problem.grid, problem.gradients)


def _whole_numbers(gradients: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Scale gradients so that 24 bits are left of the point: exact in float32, and no gain is below XGBoost's 1e-6."""
    largest = float(np.abs(gradients).max())
    exponent = np.floor(np.log2(largest)) + 1.0 if largest > 0 else 0.0
    scaled: npt.NDArray[np.float64] = np.rint(gradients * 2.0 ** min(24.0 - exponent, 1000.0))
    return scaled.astype(np.float32)


def _boosted(
    codes: npt.NDArray[np.uint8], gradients: npt.NDArray[np.float32], depth: int, device: str
) -> dict[str, Any]:
    """Return the tree that one round of boosting grows, as XGBoost's JSON describes it."""
    if device == "cuda" and not xgboost.build_info()["USE_CUDA"]:
        raise bad_input("device", where="trees", expected="cpu: this XGBoost is built without CUDA", got=device)
    settings = {
        "tree_method": "hist",
        "multi_strategy": "multi_output_tree",
        "num_target": gradients.shape[1],
        "max_depth": depth,
        "max_bin": MAX_BINS,
        "reg_lambda": 0,
        "learning_rate": 1,
        "base_score": 0,
        "nthread": 1,
        "device": device,
        "verbosity": 0,
    }
    rows = xgboost.QuantileDMatrix(codes.T.astype(np.float32), max_bin=MAX_BINS, nthread=1)
    booster = xgboost.Booster(settings, [rows])
    booster.boost(rows, 0, grad=gradients, hess=np.ones_like(gradients))
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    if not used.startswith(device):
        raise bad_input("device", where="trees", expected="cpu: XGBoost finds no CUDA device", got=device)
    model = json.loads(booster.save_raw("json"))
    splits: dict[str, Any] = model["learner"]["gradient_booster"]["model"]["trees"][0]
    return splits


def _copy_splits(splits: dict[str, Any], growth: Growth) -> None:
    """Lay the splits out as a perfect tree. XGBoost sends a row left if its code is below the condition."""
    pending = [(0, 0)]
    while pending:
        node, place = pending.pop()
        if splits["left_children"][node] >= 0:
            growth.features[place] = splits["split_indices"][node]
            growth.candidates[place] = int(np.ceil(splits["split_conditions"][node])) - 1
            pending.append((splits["left_children"][node], 2 * place + 1))
            pending.append((splits["right_children"][node], 2 * place + 2))


@kernel
def _part_rows(codes: npt.NDArray[np.uint8], growth: Growth) -> None:
    """Send the rows down, and lower each candidate to the lowest that parts the rows of its node alike."""
    order, ends, features, candidates = growth
    scratch = np.empty_like(order)
    ends[0, 1] = len(order)
    for node in range(len(features)):
        begin, end = ends[node, 0], ends[node, 1]
        middle = end
        if features[node] >= 0:
            column, rows = codes[features[node]], order[begin:end]
            left = partition(rows, scratch, column, candidates[node], False)
            candidates[node] = 0
            for position in range(left):
                candidates[node] = max(candidates[node], column[rows[position]])
            middle = begin + left
        part(ends, node, middle)
