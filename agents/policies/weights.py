"""Whether named arrays, which may come from anyone's file, are the weights that an agent needs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from wormwood.agents.policies.interfaces import Arrays
from wormwood.errors import BadInput, bad_input

__all__ = ["Shape", "check_arrays", "check_rows"]

Shape = tuple[int, ...]


def check_arrays(weights: Arrays, shapes: Mapping[str, Shape], *, where: str, positive: Collection[str] = ()) -> None:
    """Check that weights hold finite numbers of these shapes, of one agent or of a population of M.

    Args:
        weights: may have other arrays as well, which are not looked at.
        shapes: of one agent. The first array tells whether there is a population: then all others have its axis, too.
        where: the agent and its body, for the error message.
        positive: arrays whose numbers must be greater than 0.

    Raises:
        BadInput: an array is missing, or has another shape, or something else than such numbers in it.
    """
    first, first_shape = next(iter(shapes.items()))
    population = np.shape(weights.get(first, 0.0))[: -len(first_shape) or None]
    if len(population) > 1 or 0 in population:
        population = ()
    for name, shape in shapes.items():
        wanted, values = (*population, *shape), weights.get(name)
        if not isinstance(values, np.ndarray | np.generic) or values.dtype.kind not in "fiu" or values.shape != wanted:
            raise _misfit(f"{name}: numbers of shape {wanted}", _described(values), where)
        if not np.isfinite(values).all():
            raise _misfit(f"{name}: finite numbers", values[~np.isfinite(values)].flat[0], where)
        if name in positive and not (values > 0).all():
            raise _misfit(f"{name}: positive numbers", values.min(), where)


def check_rows(rows: int, population: int) -> None:
    """Check that each candidate of a population has as many rows of an observation as the others.

    Raises:
        BadInput: it has not.
    """
    if rows % population:
        raise _misfit("one agent, or as many rows for each", f"{population} agents for {rows} rows", "observation")


def _described(values: Any) -> str:
    if not isinstance(values, np.ndarray | np.generic):
        return "none" if values is None else type(values).__name__
    return f"{values.dtype} of shape {values.shape}"


def _misfit(expected: str, got: object, where: str) -> BadInput:
    plain = got.item() if isinstance(got, np.generic) else got
    return bad_input("weights of the agent do not fit", where=where, expected=expected, got=plain)
