"""Which classes of their own a user's runs were made with. What a file alone names is never imported."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from wormwood.configs.custom import is_custom, load_modules, require_trusted
from wormwood.envs.gymnasium_spec import foreign_names
from wormwood.launch.storage.files import to_json, write_text_atomic
from wormwood.launch.storage.mirrors import is_url

__all__ = ["admit", "custom_names", "recall", "remember"]


def custom_names(mapping: Mapping[str, Any]) -> list[str]:
    """Return the names with a module that a configuration or an agent's file has, each once.

    These are classes ``module:Class``, the environment where it is ``module:Name-v0``, and its wrappers. To import any
    of these modules runs its code.
    """
    classes = [name for name in _kinds(mapping) if is_custom(name)]
    around = mapping.get("environment_wrappers")
    return list(dict.fromkeys([*classes, *foreign_names(mapping.get("environment"), around)]))


def _kinds(mapping: Mapping[str, Any]) -> Iterator[Any]:
    for section in ("agent", "learner", "config"):
        settings = mapping.get(section)
        yield settings.get("kind") if isinstance(settings, Mapping) else None
    yield mapping.get("task")
    yield mapping.get("family")


def admit(mapping: Mapping[str, Any], *, where: str, location: str | None = None, trust: Collection[str] = ()) -> None:
    """Import the modules of all that a file names, once all of it is trusted.

    Args:
        mapping: what the file holds.
        where: the file, for messages.
        location: the run that it is of, a folder or a URL: what it was made with is known, if this user made it here.
        trust: names as ``custom_names`` gives them, or modules, that the user has named.

    Raises:
        BadInput: one is not trusted, and nothing was imported; or a module cannot be imported.
    """
    names = custom_names(mapping)
    if names:
        classes, folder = recall(location) if location else ([], Path())
        require_trusted(names, {*trust, *classes}, where=where)
        load_modules(names, folder)


def recall(location: str) -> tuple[list[str], Path]:
    """Return the classes that a run of this user's was made with, and their folder; none, and the current one, else.

    The location may also be that of the agent which the run has exported.
    """
    places = [location] if is_url(location) else [location, str(Path(location).parent)]
    for place in places if Path(location).name == "agent" else places[:1]:
        try:
            known = json.loads(_file(place).read_text(encoding="utf-8"))
            return [str(name) for name in known["classes"]], Path(known["folder"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return [], Path()


def remember(location: str, names: Collection[str], folder: Path) -> None:
    """Keep which classes a run of this user's was made with, and the folder that they are in.

    Where it cannot be kept, as where the home is read-only, the run needs ``--trust`` later on.
    """
    file = _file(location)
    with contextlib.suppress(OSError):
        if names:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            known = {"location": location, "classes": list(names), "folder": str(folder.resolve())}
            write_text_atomic(file, to_json(known, indent=1) + "\n")
        else:
            file.unlink(missing_ok=True)  # of an earlier run in this place


def _file(location: str) -> Path:
    """Return where a run's classes are kept: each in a file of its own, for several runs may begin at once."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    key = location if is_url(location) else str(Path(location).resolve())
    return Path(state, "wormwood", "own-classes", f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json")
