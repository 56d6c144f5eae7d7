"""Modules of the user's own on their way to other processes: whatever needs them is sent along with their source."""

from __future__ import annotations

import atexit
import functools
import hashlib
import io
import pickletools
import site
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

import wormwood
from wormwood.configs.custom import load_modules
from wormwood.errors import bad_input

__all__ = ["Packed", "opened", "own_folders", "pack", "source_files", "zip_files"]

MOST_BYTES, MOST_FILES = 20_000_000, 2000
"""Of the source that is sent along."""
DATE = (2020, 1, 1, 0, 0, 0)
"""Of every file in an archive: equal content gives equal bytes."""


@dataclass(frozen=True)
class Packed:
    """Something that needs modules of the user's, and their source."""

    content: bytes
    """The pickled value."""
    modules: tuple[str, ...]
    """Top-level modules that it needs."""
    sources: bytes
    """A zip file of the folders that they are in."""
    shards: int = 0
    """Of a plan: see ``wormwood.launch.run.rollouts.Plan``."""

    @property
    def digest(self) -> str:
        """Name of the source: processes that import it are for it alone, so that no two versions of a module meet."""
        return hashlib.sha256(self.sources).hexdigest()[:8]

    def worker(self) -> Any:
        """Build what executes the rollouts of a plan."""
        return opened(self).worker()


def pack(value: Any) -> Any:
    """Return a value as it is, or ``Packed`` where its pickle names modules that are not installed.

    Raises:
        BadInput: there is too much source around them.
    """
    content = cloudpickle.dumps(value)
    modules = _own_modules(content)
    if not modules:
        return value
    sources = zip_files(source_files(modules.values()))
    return Packed(content, tuple(sorted(modules)), sources, getattr(value, "shards", 0))


def opened(value: Any) -> Any:
    """Return what ``pack`` was given, having imported the modules that it needs."""
    if not isinstance(value, Packed):
        return value
    load_modules([f"{module}:" for module in value.modules], _unpacked(value.sources))
    return cloudpickle.loads(value.content)  # sent by a process of this run


def source_files(folders: Iterable[Path]) -> dict[str, bytes]:
    """Return the modules and packages in some folders, by their paths within them.

    Raises:
        BadInput: there are too many.
    """
    files: dict[str, bytes] = {}
    for folder in sorted(set(folders)):
        packages = [path.parent for path in folder.glob("*/__init__.py")]
        paths = [*folder.glob("*.py"), *(path for package in packages for path in package.rglob("*.py"))]
        if len(paths) > MOST_FILES or sum(path.stat().st_size for path in paths) > MOST_BYTES:
            expected = f"at most {MOST_FILES} Python files, {MOST_BYTES // 10**6} MB: they are sent to the workers"
            got = f"{len(paths)} files: give your classes a folder of their own, or install them"
            raise bad_input("folder", where=str(folder), expected=expected, got=got)
        files |= {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    return files


def zip_files(files: Mapping[str, bytes]) -> bytes:
    """Return a zip file of files by their paths; equal files give equal bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, DATE), files[name], zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _own_modules(content: bytes) -> dict[str, Path]:
    """Return the top-level modules that a pickle names and that are not installed, with their folders.

    A module may also be named in a text, as in ``module:Name-v0`` of an environment.
    """
    texts = {argument for _, argument, _ in pickletools.genops(content) if isinstance(argument, str)}
    return own_folders(module for module in (text.partition(":")[0] for text in texts) if module in sys.modules)


def own_folders(modules: Iterable[str]) -> dict[str, Path]:
    """Return the folder of each top-level module of some that are loaded, but for those that are installed."""
    found = {}
    for top in {name.partition(".")[0] for name in modules} - {"__main__", "wormwood"}:
        file = getattr(sys.modules.get(top), "__file__", None)
        if file is not None and not _is_installed(Path(file)):
            path = Path(file).resolve()
            found[top] = path.parents[1] if path.name == "__init__.py" else path.parent
    return found


def _is_installed(file: Path) -> bool:
    # Not all below sys.prefix: that is /usr for a system's Python, and a container's own code may be in /usr/src.
    roots = [*(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))]
    roots += [*site.getsitepackages(), site.getusersitepackages(), str(Path(wormwood.__file__).parent)]
    return any(file.is_relative_to(root) or file.resolve().is_relative_to(Path(root).resolve()) for root in roots)


@functools.cache
def _unpacked(sources: bytes) -> Path:
    """Unpack source into a new folder, which is there until the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="wormwood-code-")
    atexit.register(folder.cleanup)
    with zipfile.ZipFile(io.BytesIO(sources)) as archive:
        archive.extractall(folder.name)
    return Path(folder.name)
