"""Fitting one tree to gradients, by whichever engine the configuration names."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wormwood.errors import BadInput, bad_input
from wormwood.trees.binning import BinGrid, all_finite
from wormwood.trees.config import TreeConfig
from wormwood.trees.tree import Tree

__all__ = ["ENGINES", "GrowthProblem", "grow_tree"]

ENGINES = {
    "native": "wormwood.trees.native_grower",
    "xgboost": "wormwood.trees.xgboost_grower",
}
"""The module of each engine. Its ``grow(problem)`` returns the tree."""


class GrowthProblem(NamedTuple):
    """What an engine is given: n rows, all checked."""

    codes: npt.NDArray[np.uint8]
    """[F, n]: the bins of the rows."""
    grid: BinGrid
    """Where features can be split."""
    gradients: npt.NDArray[np.float64]
    """[n, D]: what the leaves are the means of."""
    config: TreeConfig
    """How to grow."""
    structure_gradients: npt.NDArray[np.float64] | None
    """[n, D']: what splits are chosen by, if not by the gradients."""
    feature_weights: npt.NDArray[np.float64] | None
    """[F]: factors of the gains."""
    monotone: npt.NDArray[np.int8] | None
    """[F, D]: how outputs may change with features."""


def grow_tree(
    codes: npt.NDArray[np.uint8],
    grid: BinGrid,
    gradients: npt.ArrayLike,
    *,
    config: TreeConfig,
    rows: npt.ArrayLike | None = None,
    structure_gradients: npt.ArrayLike | None = None,
    feature_weights: npt.ArrayLike | None = None,
    monotone: npt.ArrayLike | None = None,
) -> Tree:
    """Fit a tree whose leaves hold the mean gradient of their rows (Fuhrer et al., arXiv 2407.08250).

    A node is split at the largest gain in score, of equal gains at the lowest feature and then the lowest candidate; it
    stays whole where no split gains anything. Results are the same bits on every call.

    Args:
        codes: [F, N] from ``grid.encode``.
        grid: where the features can be split.
        gradients: [n, D] finite numbers: of the loss with respect to the outputs, per row.
        config: how to grow.
        rows: [n] columns of the codes that the gradients belong to, such as a minibatch; all N in order by default.
        structure_gradients: [n, D'] finite numbers by which splits are chosen instead; leaves keep to the gradients.
        feature_weights: [F] numbers >= 0 that multiply each feature's gains, in greedy trees those of the L2 score
            whatever the score; a feature of weight 0 is never split.
        monotone: [F, D] of -1, 0 and 1: outputs of the boosted function that must not rise (-1) or fall (1) with a
            numeric feature, up to rounding. Splits that break this, or could do so further down, are not taken. For
            greedy trees without ``structure_gradients``.

    Raises:
        BadInput: an array of the wrong shape or range, no rows, no finite number, or what the engine cannot do.
    """
    chosen = _checked_codes(codes, grid, rows)
    count = chosen.shape[1]
    checked_gradients = _finite("gradients", gradients, (count, None))
    problem = GrowthProblem(
        codes=chosen,
        grid=grid,
        gradients=checked_gradients,
        config=config,
        structure_gradients=_optional("structure_gradients", structure_gradients, (count, None)),
        feature_weights=_checked_weights(feature_weights, grid.features),
        monotone=_checked_signs(monotone, (grid.features, checked_gradients.shape[1])),
    )
    if problem.monotone is not None:
        _check_monotone(problem)
    tree: Tree = _engine(config.engine).grow(problem)
    return tree


@cache
def _engine(name: str) -> Any:
    return importlib.import_module(ENGINES[name])


def _misfit(name: str, expected: str, got: object) -> BadInput:
    return bad_input("wrong argument", where=name, expected=expected, got=got)


def _checked_codes(codes: npt.NDArray[np.uint8], grid: BinGrid, rows: npt.ArrayLike | None) -> npt.NDArray[np.uint8]:
    if codes.ndim != 2 or codes.dtype != np.uint8 or len(codes) != grid.features:
        raise _misfit("codes", f"bytes of shape [{grid.features}, rows]", f"{codes.dtype} of shape {codes.shape}")
    if rows is not None:
        codes = np.take(codes, _checked_rows(rows, codes.shape[1]), axis=1)
    if not codes.size:
        raise _misfit("codes", "at least one row and one feature", list(codes.shape))
    if codes.max() >= grid.bins:  # kernels index by them
        raise _misfit("codes", f"codes of this grid, below {grid.bins}", int(codes.max()))
    return np.ascontiguousarray(codes)


def _checked_rows(rows: npt.ArrayLike, columns: int) -> npt.NDArray[np.intp]:
    array = np.asarray(rows)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise _misfit("rows", "whole numbers of shape [any]", f"{array.dtype} of shape {array.shape}")
    if array.size and (array.min() < 0 or array.max() >= columns):
        raise _misfit("rows", f"0 to {columns - 1}", [int(array.min()), int(array.max())])
    return array.astype(np.intp)


def _finite(name: str, values: npt.ArrayLike, shape: tuple[int | None, ...]) -> npt.NDArray[np.float64]:
    array = np.ascontiguousarray(values, np.float64)
    fits = len(shape) == array.ndim and all(
        length > 0 if size is None else length == size for size, length in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise _misfit(name, f"numbers of shape [{wanted}]", array.shape)
    if not all_finite(array.reshape(-1)):
        first_bad = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        where = f"{name}{list(first_bad)}"
        raise bad_input("bad number", where=where, expected="a finite number", got=float(array[first_bad]))
    return array


def _optional(name: str, values: npt.ArrayLike | None, shape: tuple[int | None, ...]) -> npt.NDArray[np.float64] | None:
    return None if values is None else _finite(name, values, shape)


def _checked_weights(weights: npt.ArrayLike | None, features: int) -> npt.NDArray[np.float64] | None:
    array = _optional("feature_weights", weights, (features,))
    if array is not None and (array < 0).any():
        raise _misfit("feature_weights", "numbers >= 0", float(array.min()))
    return array


def _checked_signs(signs: npt.ArrayLike | None, shape: tuple[int, int]) -> npt.NDArray[np.int8] | None:
    array = _optional("monotone", signs, shape)
    if array is None:
        return None
    if not np.isin(array, (-1, 0, 1)).all():
        raise _misfit("monotone", "-1, 0 or 1", float(array[~np.isin(array, (-1, 0, 1))][0]))
    return array.astype(np.int8) if array.any() else None


def _check_monotone(problem: GrowthProblem) -> None:
    assert problem.monotone is not None
    if problem.config.grower != "greedy":
        raise _misfit("monotone", "none in an oblivious tree", "some")
    if problem.structure_gradients is not None:
        raise _misfit("monotone", "none along with structure_gradients", "some")
    if problem.monotone[problem.grid.categorical].any():
        column = np.flatnonzero(problem.grid.categorical & problem.monotone.any(axis=1))[0]
        raise _misfit("monotone", "none for a categorical feature", f"some for feature {column}")
