"""Segments: parts of a state that never change once they are made. Each is one file, which the checkpoints share.

What grows by appending, such as a replay buffer or a forest, would otherwise be written whole at each checkpoint. A
segment's file is named by the SHA-256 of its content. It is there, complete and on the disk, before any manifest says
so, and is removed after the last checkpoint that needs it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.numpy
from numpy.typing import NDArray

from wormwood.launch.storage.checkpoint_files import (
    TEMPORARY,
    DamagedCheckpoint,
    Watch,
    describe_file,
    name_aside,
    read_checked,
    read_file,
    sync,
    write_file,
)
from wormwood.launch.storage.states import State, little_endian, nest

__all__ = [
    "SEGMENTS",
    "pack_arrays",
    "read_segments",
    "referenced_files",
    "remove_segments",
    "set_aside_damaged_segments",
    "split_segments",
    "unreferenced_segments",
    "write_segments",
]

SEGMENTS = "segments"
"""The component of an entry's name that makes it part of a segment, and the folder of the files."""
_ENTRY = re.compile(rf"((?:.*?/)?{SEGMENTS}/[^/]+)/(.+)", re.DOTALL)
_FILE = re.compile(r"([0-9a-f]{64})\.safetensors")

References = Mapping[str, Mapping[str, Any]]
"""Name of a segment, such as ``"learner/replay/segments/000003"``, to ``size`` and ``sha256`` of its file."""


def split_segments(state: Mapping[str, NDArray[Any]]) -> tuple[State, dict[str, State]]:
    """Part a state, arrays of any shape, into the entries that may change and its segments by name.

    ``"learner/replay/segments/000003/rewards"`` is the entry ``"rewards"`` of the segment
    ``"learner/replay/segments/000003"``. Names do not go into a segment's file: where two segments hold the same
    arrays, such as the trees of a forest and of its target, they are one file.
    """
    others: State = {}
    segments: dict[str, State] = {}
    for name, array in state.items():
        if match := _ENTRY.fullmatch(name):
            segments.setdefault(match[1], {})[match[2]] = array
        else:
            others[name] = array
    return others, segments


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays of any shape as a safetensors file: the same bytes for the same arrays in whatever order."""
    return safetensors.numpy.save({name: little_endian(name, array) for name, array in arrays.items()})


def write_segments(folder: Path, segments: Mapping[str, State], watch: Watch) -> dict[str, dict[str, Any]]:
    """Write the segments that ``folder`` does not have, force all to the disk, and return the references to them.

    A file of the right name and size is taken to be right: it is checked when it is loaded.

    Raises:
        OSError: they cannot be written; only complete ones are left.
    """
    if not segments:
        return {}
    if not folder.is_dir():
        watch("make", folder)
        folder.mkdir()
        sync(folder.parent, watch)
    references = {name: _write_segment(folder, arrays, watch) for name, arrays in segments.items()}
    # Also where nothing was written: whoever wrote them may have been killed before this.
    sync(folder, watch)
    return references


def read_segments(folder: Path, references: References, *, checkpoint: Path) -> State:
    """Return the entries of all segments, under their full names.

    Raises:
        DamagedCheckpoint: a segment is missing or not what ``checkpoint`` refers to.
        CheckpointError: the operating system refuses to read one.
        KeyError, TypeError, SafetensorError: the references or files are well sealed, but nonsense.
    """
    state: State = {}
    for name, reference in references.items():
        content = read_checked(folder / _file_name(reference["sha256"]), checkpoint=checkpoint, **reference)
        state |= nest(name, safetensors.numpy.load(content))
    return state


def referenced_files(references: References) -> set[str]:
    """Return the names of the files that a checkpoint needs."""
    return {_file_name(reference["sha256"]) for reference in references.values()}


def unreferenced_segments(folder: Path, needed: Collection[str]) -> list[Path]:
    """Return the segments that no checkpoint needs, given the names of those that one does."""
    return [path for path in _files(folder) if path.name not in needed]


def remove_segments(paths: Collection[Path], watch: Watch) -> None:
    """Remove the files of segments."""
    for path in paths:
        watch("remove", path)
        path.unlink()


def set_aside_damaged_segments(folder: Path) -> None:
    """Rename every file that is not what its name says, so that the next checkpoint writes it again.

    Raises:
        OSError, CheckpointError: one cannot be read or renamed.
    """
    for path in _files(folder):
        try:
            intact = _file_name(hashlib.sha256(read_file(path, checkpoint=folder)).hexdigest()) == path.name
        except DamagedCheckpoint:
            intact = False
        if not intact:
            path.rename(name_aside(path))


def _write_segment(folder: Path, arrays: State, watch: Watch) -> dict[str, Any]:
    content = pack_arrays(arrays)
    reference = describe_file(content)
    final = folder / _file_name(reference["sha256"])
    if final.is_file() and final.stat().st_size == len(content):
        return reference
    temporary = final.with_name(f"{TEMPORARY}{final.name}")
    try:
        write_file(temporary, content, watch)
        watch("rename", temporary)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
    return reference


def _file_name(sha256: str) -> str:
    return f"{sha256}.safetensors"


def _files(folder: Path) -> Iterator[Path]:
    """The segments in ``folder``; what else lies there is left alone."""
    found = sorted(folder.iterdir()) if folder.is_dir() else ()
    return (path for path in found if _FILE.fullmatch(path.name))
