"""Weights on their way to workers: where arrays have only grown at their ends, what is new is sent alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays

__all__ = ["MOST_PIECES", "Piece", "Shipper", "growth", "join_pieces"]

MOST_PIECES = 32
"""Pieces after which everything is sent anew, so that joining them stays cheap."""


@dataclass(frozen=True)
class Piece:
    """Arrays, and the names of those that go on where the pieces before ended."""

    arrays: Arrays
    grown: frozenset[str] = frozenset()


class Shipper:
    """Sends the weights of one iteration after the other, a growing forest as its new trees."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        """Take what sends a piece and returns a reference to it, such as ``ray.put``."""
        self._send = send
        self._sent: Arrays = {}
        self._references: list[Any] = []

    def ship(self, weights: Arrays | Any) -> Sequence[Any]:
        """Return references to the pieces of which ``join_pieces`` makes these weights, to the bit.

        Pieces are added to those that were sent before as long as that saves at least half of the bytes. What is no
        dictionary of arrays is sent as it is.
        """
        if not isinstance(weights, dict):
            return (self._send(weights),)
        piece = growth(self._sent, weights)
        if len(self._references) >= MOST_PIECES or 2 * _size(piece.arrays) > _size(weights):
            self._references, piece = [], Piece(weights)
        self._references.append(self._send(piece))
        self._sent = {name: array.copy() for name, array in weights.items()}  # whoever owns them may change them
        return tuple(self._references)


def growth(before: Arrays, weights: Arrays) -> Piece:
    """Return what is new in ``weights``: of arrays that begin with the bits of those before, the rows behind them."""
    grown = frozenset(name for name, array in weights.items() if name in before and _begins_with(array, before[name]))
    new = {name: array[len(before[name]) :] if name in grown else array for name, array in weights.items()}
    return Piece(new, grown)


def join_pieces(pieces: Sequence[Any]) -> Any:
    """Return the weights of which pieces were made."""
    if not isinstance(pieces[0], Piece):
        return pieces[0]
    parts: dict[str, list[NDArray[Any]]] = {}
    for piece in pieces:
        for name, array in piece.arrays.items():
            parts[name] = [*parts[name], array] if name in piece.grown else [array]
    last = pieces[-1].arrays
    return {name: parts[name][0] if len(parts[name]) == 1 else np.concatenate(parts[name]) for name in last}


def _begins_with(array: NDArray[Any], start: NDArray[Any]) -> bool:
    if array.ndim == 0 or (array.dtype, array.shape[1:]) != (start.dtype, start.shape[1:]) or len(array) < len(start):
        return False
    return np.array_equal(_bytes_of(array[: len(start)]), _bytes_of(start))  # as bytes: zeros differ in sign


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _size(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())
