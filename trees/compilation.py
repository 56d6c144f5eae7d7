"""How the kernels of this package are compiled: one thread, exact floating point, kept on disk between processes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np

__all__ = ["inlined", "kernel", "warm_up"]

P = ParamSpec("P")
R = TypeVar("R")

# Neither fastmath nor parallel: sums keep the order in which they are written, so results are the same bits everywhere.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "nogil": True}


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays on its first call. It checks no index: callers validate what they pass."""
    compiled = numba.njit(**_OPTIONS)(function)
    try:
        compiled.enable_caching()
        # Numba looks whether the function's own file has changed, but kernels inline functions of other files.
        compiled._cache._cache_file._source_stamp = _source_stamp()
    except RuntimeError:  # no folder can be written: every process compiles
        pass
    return cast(Callable[P, R], compiled)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small function into each kernel that calls it."""
    return cast(Callable[P, R], numba.njit(forceinline=True, **_OPTIONS)(function))


def warm_up(outputs: Collection[int] = (1,)) -> None:
    """Compile the kernels that grow and predict, or load them from the disk, for forests of so many outputs each.

    Takes some 7 seconds once on a machine and 3 for each further width, and half a second after that.
    """
    # Not at the top: they import this module.
    from wormwood.trees.binning import fit_grid
    from wormwood.trees.config import TreeConfig
    from wormwood.trees.forest import Forest
    from wormwood.trees.growing import grow_tree

    rows = np.linspace(0.0, 1.0, 64)[:, None]
    grid = fit_grid(rows, max_bins=4, method="quantile")
    codes = grid.encode(rows)
    for count in outputs:
        forest = Forest(np.zeros(count), features=1, depth=1)
        for grower in ("greedy", "oblivious"):
            tree = grow_tree(codes, grid, np.repeat(rows, count, axis=1), config=TreeConfig(max_depth=1, grower=grower))
        for _ in range(64):
            forest.append(tree, np.ones(count))
        forest.predict(rows)
        forest.predict(rows[:1])


@functools.cache
def _source_stamp() -> tuple[str, int]:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest(), len(sources)
