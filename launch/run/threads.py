"""One thread per process: results depend on it to the bit, and workers share the cores better."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from threadpoolctl import threadpool_limits

__all__ = ["ONE_THREAD", "environment", "one_thread", "usable_processors"]

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


_PROC, _CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def usable_processors(*, own: Path = _PROC, cgroups: Path = _CGROUPS) -> int:
    """Return how many processors this process may use: those of its affinity, up to the quota of its control groups.

    Args:
        own: the file that names the groups of this process.
        cgroups: where the file system of control groups is, version 1 or 2.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _group_folders(own, cgroups) if (quota := _quota(folder)) is not None]
    return max(1, math.ceil(min([allowed, *quotas])))


def _group_folders(own: Path, cgroups: Path) -> list[Path]:
    """Return the folders whose limits hold for this process: its group's and those above, of both versions."""
    with contextlib.suppress(OSError, ValueError):
        lines = [line.split(":", 2) for line in own.read_text(encoding="utf-8").splitlines()]
        paths = [(names, path.strip("/")) for _, names, path in lines if not names or "cpu" in names.split(",")]
        # In a container the path may be the host's, where the group itself is mounted: the root is looked at, too.
        return [
            root / above
            for names, path in paths
            for root in ((cgroups / names, cgroups / "cpu") if names else (cgroups,))
            for above in (Path(path), *Path(path).parents)
            if ".." not in above.parts
        ]
    return []


def _quota(folder: Path) -> float | None:
    """Return the processors that a control group may use on average; None: as many as there are."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip() for name in ("quota", "period")
            )
        processors = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such group, or "max"
        return None
    return processors if processors > 0 else None  # version 1 has -1 for none


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
