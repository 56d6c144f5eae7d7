"""Whether named arrays, which may come from anyone's file, are the trees of a forest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wormwood.errors import BadInput, bad_input

__all__ = ["DEEPEST", "Arrays", "check_forest_arrays"]

Arrays = Mapping[str, npt.NDArray[Any]]

DEEPEST = 10  # as in TreeConfig
_WIDEST = 2**16  # features are stored in 16 bits


def check_forest_arrays(arrays: Arrays) -> tuple[int, int, int, int]:
    """Return the number of trees K, their depth, and the numbers of features F and outputs D.

    Args:
        arrays: as ``Forest.arrays`` describes them, with nothing more.

    Raises:
        BadInput: an array is missing or too many, or of another type or shape, or does not describe a tree.
    """
    leaves = arrays.get("leaves")
    if not isinstance(leaves, np.ndarray) or leaves.ndim != 3 or leaves.shape[1] < 2:
        raise _misfit("leaves: numbers of shape [trees, leaves, outputs]", _described(leaves))
    trees, count, outputs = leaves.shape
    depth = count.bit_length() - 1
    if count != 2**depth or depth > DEEPEST or outputs < 1:
        raise _misfit(f"leaves: a power of two up to {2**DEEPEST} of at least one output", leaves.shape)
    inner = count - 1
    wanted = {
        "start": (np.int64, ()),
        "columns": (np.int64, ()),
        "initial": (np.float64, (outputs,)),
        "features": (np.int32, (trees, inner)),
        "thresholds": (np.float64, (trees, inner)),
        "categorical": (np.bool_, (trees, inner)),
        "leaves": (np.float64, (trees, count, outputs)),
        "covers": (np.int32, (trees, inner + count)),
    }
    if unknown := sorted(set(arrays) - set(wanted)):
        raise _misfit(f"only {', '.join(wanted)}", unknown[0])
    for name, (kind, shape) in wanted.items():
        values = arrays.get(name)
        if not isinstance(values, np.ndarray) or values.dtype != kind or values.shape != shape:
            raise _misfit(f"{name}: {np.dtype(kind)} of shape {shape}", _described(values))
    columns = int(arrays["columns"])
    if not 1 <= columns <= _WIDEST or arrays["start"] < 0:
        raise _misfit(f"columns of 1 to {_WIDEST} and a start of at least 0", (columns, int(arrays["start"])))
    _check_numbers(arrays, columns)
    return trees, depth, columns, outputs


def _check_numbers(arrays: Arrays, columns: int) -> None:
    features, thresholds, covers = arrays["features"], arrays["thresholds"], arrays["covers"]
    split = features >= 0
    inner = features.shape[1]
    conditions = {
        "initial: finite numbers": np.isfinite(arrays["initial"]),
        "leaves: finite numbers": np.isfinite(arrays["leaves"]),
        f"features: -1 to {columns - 1}": (features >= -1) & (features < columns),
        "thresholds: finite where there is a split, else infinity": np.where(
            split, np.isfinite(thresholds), thresholds == np.inf
        ),
        "categorical: only where there is a split": split | ~arrays["categorical"],
        "covers: at least 0": covers >= 0,
        "covers: of a node the sum of its children's": covers[:, :inner].astype(np.int64)
        == covers[:, 1::2].astype(np.int64) + covers[:, 2::2],
    }
    for expected, holds in conditions.items():
        if not holds.all():
            raise _misfit(expected, f"other at {[int(index) for index in np.argwhere(~holds)[0]]}")


def _described(values: Any) -> str:
    if not isinstance(values, np.ndarray):
        return "none" if values is None else type(values).__name__
    return f"{values.dtype} of shape {values.shape}"


def _misfit(expected: str, got: object) -> BadInput:
    return bad_input("no forest", where="its arrays", expected=expected, got=got)
