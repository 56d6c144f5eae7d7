"""One thread per process: results depend on it to the bit, and workers share the cores better."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from threadpoolctl import threadpool_limits

__all__ = ["ONE_THREAD", "environment", "one_thread"]

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")
"""Environment variables of a process that is to compute on one thread: they are read when NumPy is imported."""


class _OneThread(contextlib.ContextDecorator):
    """All threads of a process share the libraries and their settings: the last to leave puts these back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._limits = threadpool_limits(1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limits.restore_original_limits()


one_thread = _OneThread()
"""A block or function in which NumPy computes on one thread, whatever the process was started with."""


@contextlib.contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables for what is started within the block, and put them back afterwards."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
