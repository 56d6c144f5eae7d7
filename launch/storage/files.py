"""Files that a crash or a reader never finds half written, and strict JSON."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Literal

import numpy as np

__all__ = [
    "open_own",
    "remove_entry",
    "remove_unfinished",
    "sync_directory",
    "sync_file",
    "to_json",
    "write_private",
    "write_text_atomic",
]


def write_text_atomic(path: Path, text: str) -> None:
    """Replace a file so that a reader, or a crash, finds the old text or the new, never a part.

    Raises:
        OSError: it cannot be written; the old file stands, and no other is left.
    """
    temporary = path.with_name(f".{path.name}.temporary-{secrets.token_hex(4)}")
    with _path_in_errors(path):
        try:
            with temporary.open("x", encoding="utf-8") as file:  # a new one: it follows no link
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what writers of ``write_text_atomic`` left in a folder who were killed; call it as its only writer.

    Raises:
        OSError: one cannot be removed.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            if re.fullmatch(r"\..+\.temporary-[0-9a-f]{8}", entry.name) and entry.is_file(follow_symlinks=False):
                os.unlink(entry.path)


def open_own(path: Path, mode: Literal["a", "a+"]) -> IO[str]:
    """Open a file for appending, made where missing, but never what a link points to.

    Raises:
        OSError: it is a link, or cannot be opened.
    """
    access = os.O_WRONLY if mode == "a" else os.O_RDWR
    flags = access | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o666), mode, encoding="utf-8")


def sync_file(path: Path) -> None:
    """Force the content of a file, if it is there, to the disk."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_entry(path: Path) -> None:
    """Remove a file, a folder with all in it, or a link, but never what a link points to."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def sync_directory(path: Path) -> None:
    """Force the entries of a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot do this for directories; there is nothing better to be had from them.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return strict JSON; NumPy numbers and arrays become plain, and what is not finite becomes null."""
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: object) -> object:
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextlib.contextmanager
def _path_in_errors(path: Path) -> Iterator[None]:
    """Name the file where the operating system does not, as when the disk is full."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
