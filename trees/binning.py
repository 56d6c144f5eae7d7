"""Bins of features: thresholds found once per set of rows, and the rows as one byte per feature."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from wormwood.compilation import kernel
from wormwood.errors import bad_input

__all__ = ["MAX_BINS", "BinGrid", "all_finite", "check_features", "fit_grid"]

MAX_BINS = 256  # codes are bytes

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BinGrid:
    """Where each of F features can be split.

    The candidates of feature f are ``values[offsets[f]:offsets[f + 1]]``, ascending: thresholds of a numeric feature,
    whose code is the number of thresholds below x, or the categories of a categorical one, whose code is the index of
    x among them, and their number for a value that is none of them. So for candidate c of feature f, exactly:
    ``x > values[offsets[f] + c]`` is ``code > c``, and ``x == values[offsets[f] + c]`` is ``code == c``.
    """

    values: Floats
    """All candidates, feature after feature."""
    offsets: npt.NDArray[np.int64]
    """[F + 1]: where the candidates of each feature begin."""
    categorical: npt.NDArray[np.bool_]
    """[F]: which features are split on equality."""

    @property
    def features(self) -> int:
        """Number of features F."""
        return len(self.categorical)

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """[F]: candidates of each feature."""
        return np.diff(self.offsets)

    @cached_property
    def bins(self) -> int:
        """Bins of the feature that has most of them: all codes are smaller."""
        return int(self.counts.max(initial=0)) + 1

    def candidates(self, feature: int) -> Floats:
        """Return the C thresholds or categories [C] of one feature, ascending."""
        return self.values[self.offsets[feature] : self.offsets[feature + 1]]

    def encode(self, features: npt.ArrayLike) -> Codes:
        """Return the codes of rows, [F, N]: the bins of one feature lie side by side.

        Args:
            features: [N, F] finite numbers. A category that the grid was not fitted on is equal to none.

        Raises:
            BadInput: another number of columns, or a number that is not finite.
        """
        rows = check_features(features, self.features)
        codes = np.empty((self.features, len(rows)), np.uint8)
        _encode(rows, self.values, self.offsets, self.categorical, codes)
        return codes


def check_features(features: npt.ArrayLike, columns: int | None = None) -> Floats:
    """Return rows of features as contiguous float64.

    Raises:
        BadInput: not [N, columns], or a number that is not finite.
    """
    rows = np.ascontiguousarray(features, np.float64)
    if rows.ndim != 2 or (columns is not None and rows.shape[1] != columns):
        expected = f"shape [rows, {'columns' if columns is None else columns}]"
        raise bad_input("wrong shape", where="features", expected=expected, got=rows.shape)
    if not all_finite(rows.reshape(-1)):
        row, column = np.argwhere(~np.isfinite(rows))[0]
        where = f"row {row}, column {column} of the features"
        raise bad_input("bad number", where=where, expected="a finite number", got=float(rows[row, column]))
    return rows


METHODS = ("quantile", "uniform")


def fit_grid(
    features: npt.ArrayLike,
    *,
    max_bins: int,
    method: Literal["quantile", "uniform"],
    categorical: Collection[int] = (),
) -> BinGrid:
    """Find the bins of features. A constant column has one bin and is never split.

    Args:
        features: [N, F] finite numbers, N > 0.
        max_bins: at most 256; a feature of no more distinct values has a bin for each under ``quantile``.
        method: bins of about equally many rows, or of equal width.
        categorical: columns that are split on equality. Of more than 255 categories the most frequent can be split
            off, and the others share a code.

    Raises:
        BadInput: no rows, a number that is not finite, or a wrong number of bins.
    """
    if not 2 <= max_bins <= MAX_BINS:
        raise bad_input("wrong number of bins", where="max_bins", expected=f"2 to {MAX_BINS}", got=max_bins)
    if method not in METHODS:
        raise bad_input("method", where="bins", expected=" or ".join(METHODS), got=method, nearest_to=METHODS)
    rows = check_features(features)
    if not len(rows):
        raise bad_input("no rows", where="features", expected="at least one row to fit bins on", got=0)
    columns = rows.shape[1]
    is_categorical = np.zeros(columns, np.bool_)
    for column in categorical:
        if not 0 <= column < columns:
            raise bad_input("unknown column", where="categorical", expected=f"0 to {columns - 1}", got=column)
        is_categorical[column] = True
    ascending = np.sort(rows.T, axis=1)
    if method == "quantile":
        thresholds, counts = np.empty((columns, max_bins - 1)), np.zeros(columns, np.int64)
        _quantile_thresholds(ascending, thresholds, counts)
        candidates = [thresholds[column, : counts[column]] for column in range(columns)]
    else:
        candidates = [_uniform_thresholds(values[0], values[-1], max_bins) for values in ascending]
    for column in set(categorical):
        candidates[column] = _categories(ascending[column])
    offsets = np.concatenate([[0], np.cumsum([len(values) for values in candidates])]).astype(np.int64)
    return BinGrid(np.concatenate([np.empty(0), *candidates]), offsets, is_categorical)


def _categories(ascending: Floats) -> Floats:
    """Return the most frequent categories, of equally frequent ones the smallest, ascending."""
    categories, rows = np.unique(ascending, return_counts=True)
    most = np.argsort(-rows, kind="stable")[: MAX_BINS - 1]
    frequent: Floats = categories[np.sort(most)]
    return frequent


def _uniform_thresholds(low: float, high: float, max_bins: int) -> Floats:
    weights = np.arange(1, max_bins) / max_bins
    thresholds = np.unique(low * (1 - weights) + high * weights)
    return thresholds[(thresholds >= low) & (thresholds < high)]


@kernel
def all_finite(numbers: Floats) -> bool:
    """Tell whether all numbers of a flat array [n] are finite."""
    # A sum of flags vectorises, an early return does not.
    bad = 0
    for index in range(len(numbers)):
        bad += not (abs(numbers[index]) < np.inf)
    return bad == 0


@kernel
def _quantile_thresholds(ascending: Floats, thresholds: Floats, counts: npt.NDArray[np.int64]) -> None:
    for column in range(len(ascending)):
        counts[column] = _quantile_cuts(ascending[column], thresholds[column])


@kernel
def _quantile_cuts(ascending: Floats, thresholds: Floats) -> int:
    """Close a bin once it has its share of the rows that are left, or before a value that has a share of its own."""
    rows, free = len(ascending), len(thresholds)
    distinct = 1
    for row in range(1, rows):
        distinct += ascending[row] != ascending[row - 1]
    found, begin, row = 0, 0, 0
    while found < free:
        value, first = ascending[row], row
        while row < rows and ascending[row] == value:
            row += 1
        if row == rows:
            break
        following = row
        if distinct > free + 1:
            share = (rows - begin) / (free - found + 1)
            if row - begin < share:
                while following < rows and ascending[following] == ascending[row]:
                    following += 1
                if following - row < share:
                    continue
        thresholds[found] = _between(ascending[first], ascending[row])
        found, begin = found + 1, row
    return found


@kernel
def _between(low: float, high: float) -> float:
    """Return a number t with low <= t < high, so that ``x > t`` parts the two: the middle where rounding allows."""
    middle = 0.5 * low + 0.5 * high
    return middle if low <= middle < high else low


@kernel
def _encode(
    rows: Floats,
    values: Floats,
    offsets: npt.NDArray[np.int64],
    categorical: npt.NDArray[np.bool_],
    codes: Codes,
) -> None:
    for feature in range(len(codes)):
        begin, count = offsets[feature], offsets[feature + 1] - offsets[feature]
        for row in range(len(rows)):
            x, low, left = rows[row, feature], begin, count
            while left > 0:  # count the values below x, halving without a branch on the data
                half = (left + 1) // 2
                low = low + half if values[low + half - 1] < x else low
                left -= half
            code = low - begin
            if categorical[feature] and (code == count or values[low] != x):
                code = count
            codes[feature, row] = code
