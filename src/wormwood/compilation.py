"""How kernels are compiled: one thread, exact floating point, kept on disk between processes."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

__all__ = ["announced", "inlined", "kernel"]

P = ParamSpec("P")
R = TypeVar("R")

# Neither fastmath nor parallel: sums keep the order in which they are written, so results are the same bits everywhere.
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False, "nogil": True}


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function of arrays on its first call. It checks no index: callers validate what they pass."""
    compiled = numba.njit(**_OPTIONS)(function)
    try:
        compiled.enable_caching()
        # Numba looks whether the function's own file has changed, but kernels inline others of their folder. A cache
        # may have another stamp only by this private attribute: numba's public settings are those of the whole process.
        file = compiled._cache._cache_file
        stamp = _source_stamp(Path(cast(Any, function).__code__.co_filename).parent)
        if file._source_stamp != stamp:
            file._source_stamp = stamp
    except (AttributeError, RuntimeError):  # numba has it no more, or no folder can be written: every process compiles
        compiled = numba.njit(**_OPTIONS)(function)
    return cast(Callable[P, R], compiled)


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a small function into each kernel that calls it."""
    return cast(Callable[P, R], numba.njit(forceinline=True, **_OPTIONS)(function))


@contextlib.contextmanager
def announced(function: Callable[..., Any], what: str, *, after: float = 1.0) -> Iterator[None]:
    """Say on stderr what is being compiled, if a kernel's first call in this process takes more than some seconds.

    Later processes load what this one compiles, in a moment and without a word.
    """
    if getattr(function, "signatures", ()):
        yield
        return
    line = f"compiling {what}, once on this machine: this takes some seconds"
    timer = threading.Timer(after, functools.partial(print, line, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@functools.cache
def _source_stamp(folder: Path) -> tuple[str, int]:
    sources = sorted(folder.glob("*.py"))
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes())
    return digest.hexdigest(), len(sources)
