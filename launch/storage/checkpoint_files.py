"""The files of checkpoints: forced to the disk before they count, and read only if they are whole."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from wormwood.configs.regular_files import read_regular
from wormwood.errors import BadInput
from wormwood.launch.storage.files import sync_directory, to_json

__all__ = [
    "TEMPORARY",
    "CheckpointError",
    "DamagedCheckpoint",
    "Watch",
    "describe_file",
    "name_aside",
    "read_checked",
    "read_file",
    "seal",
    "sync",
    "write_file",
]

TEMPORARY = ".temporary-"
"""Begins the name of what is not complete."""
LARGEST = 2**40
"""Bytes of a file that is read."""
_DAMAGED = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO}

Watch = Callable[[str, Path], None]
"""Told of each file operation, by name and path, before it is done."""


class CheckpointError(RuntimeError):
    """A checkpoint could not be written or read, for a reason outside of it such as a full disk."""


class DamagedCheckpoint(BadInput):
    """A checkpoint is not what was saved. ``reason`` says where."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # as they are, so that the error can travel between processes
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"damaged checkpoint {self.path}: {self.reason}"


def describe_file(content: bytes) -> dict[str, Any]:
    """Return the ``size`` in bytes and the ``sha256`` by which ``read_checked`` knows a file again."""
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def seal(described: Mapping[str, Any]) -> bytes:
    """Return JSON as a file that ends with a checksum of what stands before it."""
    checksum = hashlib.sha256(to_json(described, indent=2).encode()).hexdigest()
    return (to_json({**described, "checksum": checksum}, indent=2) + "\n").encode()


def write_file(path: Path, content: bytes, watch: Watch = lambda operation, path: None) -> None:
    """Write a new file and force its content, not yet its name, to the disk."""
    watch("create", path)
    with path.open("xb") as file:
        watch("write", path)
        file.write(content)
        file.flush()
        watch("sync", path)
        os.fsync(file.fileno())


def sync(directory: Path, watch: Watch) -> None:
    """Force the names in a directory to the disk."""
    watch("sync", directory)
    sync_directory(directory)


def read_checked(path: Path, *, checkpoint: Path, size: int, sha256: str) -> bytes:
    """Return the content of a file that ``describe_file`` has described.

    Raises:
        DamagedCheckpoint: it is missing or another; the error names ``checkpoint``, which needs it.
        CheckpointError: the operating system refuses to read it.
    """
    content = read_file(path, checkpoint=checkpoint)
    if len(content) != size:
        raise DamagedCheckpoint(checkpoint, f"{path.name}: expected {size} bytes, got {len(content)}")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DamagedCheckpoint(checkpoint, f"{path.name} does not have the SHA-256 of the manifest")
    return content


def read_file(path: Path, *, checkpoint: Path) -> bytes:
    """Return the content of a file, whatever it is; errors as ``read_checked``."""
    try:
        return read_regular(path, largest=LARGEST, what="checkpoint")
    except BadInput as error:
        raise DamagedCheckpoint(checkpoint, f"{path.name} cannot be read: {error}") from error
    except OSError as error:
        if error.errno in _DAMAGED:
            raise DamagedCheckpoint(checkpoint, f"{path.name} cannot be read: {error.strerror}") from error
        # Not the checkpoint's fault: it may be good tomorrow.
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error


def name_aside(path: Path) -> Path:
    """Return the first free name for what is damaged: ``corrupt-NAME``, ``corrupt-NAME-1`` and so on."""
    names = (f"corrupt-{path.name}" + (f"-{k}" if k else "") for k in count())
    return next(path.with_name(name) for name in names if not path.with_name(name).exists())
