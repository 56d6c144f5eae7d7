"""The state of a run as named arrays: joined under prefixes, put into one byte layout, and hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.errors import bad_input

__all__ = ["State", "little_endian", "nest", "state_sha256", "unnest"]

State = dict[str, NDArray[Any]]
"""Flat name, such as ``"shards/0/physics"``, to array of any shape."""

_DTYPES = frozenset(
    {"bool", "complex64", "float16", "float32", "float64"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
"""Element types without padding, references or code, which a safetensors file can hold."""


def state_sha256(state: Mapping[str, NDArray[Any]]) -> str:
    """Hash names, element types, shapes and values of arrays of any shape to 64 hexadecimal digits.

    Neither the order of the entries, nor the byte order or memory layout of the arrays, makes a difference.

    Raises:
        BadInput: an entry is not an array of numbers or booleans.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        array = little_endian(name, state[name])
        # A JSON list shows its own end, and gives the number of bytes that follow: no two states read the same.
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.data)
    return digest.hexdigest()


def little_endian(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, of any shape, in C order with little-endian elements; itself where it is so already.

    Raises:
        BadInput: it is not an array of numbers or booleans; ``name`` says which.
    """
    array = np.asarray(array)
    if array.dtype.name not in _DTYPES:
        raise bad_input(
            "state entry that cannot be kept", where=repr(name), expected="numbers or booleans", got=str(array.dtype)
        )
    # np.ascontiguousarray would give a zero-dimensional array one dimension.
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def nest(prefix: str, state: Mapping[str, NDArray[Any]]) -> State:
    """Put arrays of any shape under ``prefix``: ``"steps"`` becomes ``"shards/0/steps"`` for ``"shards/0"``."""
    return {f"{prefix}/{name}": array for name, array in state.items()}


def unnest(prefix: str, state: Mapping[str, NDArray[Any]]) -> State:
    """Return the arrays of any shape under ``prefix``, without it: the inverse of ``nest``; empty if there are none."""
    start = f"{prefix}/"
    return {name.removeprefix(start): array for name, array in state.items() if name.startswith(start)}
