"""How the kernels of this package are compiled: one thread, exact floating point, kept on disk between processes."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

__all__ = ["inlined", "kernel"]

P = ParamSpec("P")
R = TypeVar("R")

# Neither fastmath nor parallel: sums keep the order in which they are written, so results are the same bits everywhere.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "nogil": True}


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays on its first call. It checks no index: callers validate what they pass."""
    compiled = numba.njit(**_OPTIONS)(function)
    try:
        compiled.enable_caching()
        # Numba looks whether the function's own file has changed, but kernels inline functions of other files. A cache
        # may have another stamp only by this private attribute: numba's public settings are those of the whole process.
        file = compiled._cache._cache_file
        if file._source_stamp != _source_stamp():
            file._source_stamp = _source_stamp()
    except (AttributeError, RuntimeError):  # numba has it no more, or no folder can be written: every process compiles
        compiled = numba.njit(**_OPTIONS)(function)
    return cast(Callable[P, R], compiled)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small function into each kernel that calls it."""
    return cast(Callable[P, R], numba.njit(forceinline=True, **_OPTIONS)(function))


@functools.cache
def _source_stamp() -> tuple[str, int]:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest(), len(sources)
