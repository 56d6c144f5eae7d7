"""Which classes of their own a user's runs were made with. What a file alone names is never imported."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from wormwood.configs.custom import is_custom, load_modules, require_trusted
from wormwood.launch.run.files import to_json, write_text_atomic
from wormwood.launch.run.storage import is_url

__all__ = ["admit", "custom_names", "recall", "remember"]


def custom_names(mapping: Mapping[str, Any]) -> list[str]:
    """Return the classes ``module:Class`` that a configuration or an agent's file names, each once."""
    return list(dict.fromkeys(name for name in _kinds(mapping) if is_custom(name)))


def _kinds(mapping: Mapping[str, Any]) -> Iterator[Any]:
    for section in ("agent", "learner", "config"):
        settings = mapping.get(section)
        yield settings.get("kind") if isinstance(settings, Mapping) else None
    yield mapping.get("task")
    yield mapping.get("family")


def admit(mapping: Mapping[str, Any], *, where: str, location: str | None = None, trust: Collection[str] = ()) -> None:
    """Import the classes that a file names, once all of them are trusted.

    Args:
        mapping: what the file holds.
        where: the file, for messages.
        location: the run that it is of, a folder or a URL: what it was made with is known, if this user made it here.
        trust: classes ``module:Class``, or modules, that the user has named.

    Raises:
        BadInput: one is not trusted, and nothing was imported; or a module cannot be imported.
    """
    names = custom_names(mapping)
    if names:
        classes, folder = recall(location) if location else ([], Path())
        require_trusted(names, {*trust, *classes}, where=where)
        load_modules(names, folder)


def recall(location: str) -> tuple[list[str], Path]:
    """Return the classes that a run of this user's was made with, and their folder; none, and the current one, else."""
    known = _read().get(_key(location))
    if not isinstance(known, dict):
        return [], Path()
    return [str(name) for name in known.get("classes", ())], Path(str(known.get("folder", ".")))


def remember(location: str, names: Collection[str], folder: Path) -> None:
    """Keep which classes a run of this user's was made with, and the folder that they are in."""
    if names:
        entries = {**_read(), _key(location): {"classes": list(names), "folder": str(folder.resolve())}}
        _file().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_text_atomic(_file(), to_json(entries, indent=1) + "\n")


def _file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state, "wormwood", "own-classes.json")


def _read() -> dict[str, Any]:
    try:
        entries = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _key(location: str) -> str:
    return location if is_url(location) else str(Path(location).resolve())
