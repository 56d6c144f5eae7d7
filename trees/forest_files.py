"""Forests as one file: written whole or not at all, and checked to the last bit when loaded. Loading runs no code."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import safetensors.numpy
from safetensors import SafetensorError

from wormwood.errors import BadInput, bad_input
from wormwood.trees.forest import Forest

__all__ = ["load_forest", "save_forest"]

FORMAT = "wormwood forest 1"
"""Name and version of the format: the arrays of ``Forest.arrays`` as a safetensors file."""

_NO_CHECKSUM = b"0" * 64  # stands in the place of the file's SHA-256 while that is computed


def save_forest(path: Path, forest: Forest) -> None:
    """Write a forest. Killed at any point, it leaves what was there before or the whole new file.

    Raises:
        BadInput: the file cannot be written.
    """
    metadata = {"format": FORMAT, "sha256": _NO_CHECKSUM.decode()}
    blank = safetensors.numpy.save(forest.arrays(), metadata)
    data = blank.replace(_NO_CHECKSUM, hashlib.sha256(blank).hexdigest().encode(), 1)
    try:
        _write(path, data)
    except OSError as error:
        raise bad_input(
            "cannot write forest", where=str(path), expected="a place for a file", got=error.strerror
        ) from error


def load_forest(path: Path) -> Forest:
    """Read a forest.

    Raises:
        BadInput: there is no such file, any bit of it is not as it was saved, or it is none of this version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise bad_input("cannot read forest", where=str(path), expected="a file", got=error.strerror) from error
    try:
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        found, checksum = str(metadata["format"]), str(metadata["sha256"]).encode("ascii")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, "its header cannot be understood") from error
    if found != FORMAT:
        raise bad_input("cannot read forest", where=str(path), expected=f"format {FORMAT!r}", got=found)
    if hashlib.sha256(data.replace(checksum, _NO_CHECKSUM, 1)).hexdigest().encode() != checksum:
        raise _damaged(path, "another SHA-256 than its header says")
    try:
        arrays = safetensors.numpy.load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, "its arrays cannot be understood") from error
    return Forest.from_arrays(arrays)


def _damaged(path: Path, got: str) -> BadInput:
    return bad_input("damaged forest", where=str(path), expected="a file as it was saved", got=got)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".temporary-{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
