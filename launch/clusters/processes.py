"""Which processes are ours, and how exactly those are ended: by mark, number and start time, never by name.

Everything here reads ``/proc``, so it runs on Linux only.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wormwood.errors import bad_input

__all__ = [
    "MARK",
    "MARK_PATTERN",
    "Process",
    "arguments_of",
    "end_processes",
    "identify",
    "is_alive",
    "marked_processes",
]

MARK = "WORMWOOD_CLUSTER"
"""Environment variable that every process of a cluster inherits: ``NAME.PLACE/NODE``."""
MARK_PATTERN = r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?\.[0-9a-f]{8}"
"""Name of the cluster, and the place that its state is kept in: others may have one of that name elsewhere."""
PATIENCE = 5.0
"""Seconds that processes have to end by themselves."""

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process: its number is used again after its end, the pair is not."""

    pid: int
    started: int
    """In clock ticks since the machine started."""


@dataclass(frozen=True)
class _Stat:
    state: str
    parent: int
    started: int
    ticks: int


def identify(pid: int) -> Process | None:
    """Return the process that has this number now, or None."""
    stat = _stat(pid)
    return None if stat is None else Process(pid, stat.started)


def is_alive(process: Process) -> bool:
    """Return True while this very process runs; one that only waits to be buried does not."""
    return identify(process.pid) == process


def arguments_of(process: Process) -> bytes:
    """Return the arguments of a process, each ended by a zero byte; nothing once it has ended."""
    try:
        return (_PROC / str(process.pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def marked_processes(mark: str) -> list[Process]:
    """Return our processes whose mark is ``mark`` or begins with ``mark/``, and their descendants.

    Descendants are needed: what renames itself, as Ray's workers do, may write over its environment.

    Raises:
        BadInput: ``mark`` is none; an empty one would be that of all other processes.
    """
    if re.fullmatch(rf"{MARK_PATTERN}(/[a-z0-9-]+)?", mark) is None:
        raise bad_input("mark", where="cluster", expected="NAME.PLACE, or NAME.PLACE/NODE", got=mark)
    stats = {pid: stat for pid in _pids() if (stat := _stat(pid)) is not None}
    ours = {pid for pid in stats if pid != os.getpid() and _has_mark(pid, mark)}
    grown = True
    while grown:
        more = {pid for pid, stat in stats.items() if stat.parent in ours} - ours - {os.getpid()}
        ours |= more
        grown = bool(more)
    return [Process(pid, stats[pid].started) for pid in sorted(ours)]


def end_processes(mark: str, *, patience: float = PATIENCE) -> int:
    """End the processes of a mark, and return how many there were; see ``marked_processes``."""
    seen: set[Process] = set()
    deadline = time.monotonic() + patience
    number = signal.SIGTERM
    # What is left is looked for again: a dying process may just have started another one.
    while found := {*marked_processes(mark), *filter(is_alive, seen)}:
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        _signal(found if number == signal.SIGKILL else found - seen, number)
        seen |= found
        time.sleep(0.05)
    return len(seen)


def _signal(processes: Iterable[Process], number: signal.Signals) -> None:
    for process in processes:
        if is_alive(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, number)


def _pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets, in which anything may stand.
    fields = text[text.rindex(")") + 2 :].split()
    stat = _Stat(
        state=fields[0], parent=int(fields[1]), started=int(fields[19]), ticks=int(fields[11]) + int(fields[12])
    )
    return None if stat.state in "ZX" else stat


def _has_mark(pid: int, mark: str) -> bool:
    value = _environment(pid).get(MARK, "")
    return value == mark or value.startswith(f"{mark}/")


def _environment(pid: int) -> Mapping[str, str]:
    """Return what the process was started with; nothing for those of other users."""
    try:
        content = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.partition(b"=") for entry in content.split(b"\0") if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
