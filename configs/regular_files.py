"""Files that others give, read with a limit: no device, pipe or folder, and nothing larger than was asked for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from wormwood.errors import bad_input

__all__ = ["read_regular"]


def read_regular(path: Path, *, largest: int, what: str = "file") -> bytes:
    """Return the content of a regular file, which the size it states allows to read.

    Args:
        path: of the file.
        largest: number of bytes that are read at most.
        what: the kind of file, for error messages.

    Raises:
        BadInput: it is no regular file, or it is larger.
        OSError: it cannot be read.
    """
    # A pipe without a writer would otherwise block for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        described = os.fstat(descriptor)
        if stat.S_ISDIR(described.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(described.st_mode):
            raise bad_input(what, where=str(path), expected="a regular file", got="a device or pipe")
        if described.st_size > largest:
            raise bad_input(what, where=str(path), expected=f"at most {largest} bytes", got=described.st_size)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(described.st_size + 1)
    finally:
        os.close(descriptor)
    if len(content) > described.st_size:
        raise bad_input(what, where=str(path), expected=f"the {described.st_size} bytes that it states", got="more")
    return content
