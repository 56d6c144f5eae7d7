"""Suites: which bodies agents are judged on, how each differs from home, and along which axis."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wormwood.configs.custom import is_custom
from wormwood.configs.yaml_files import parse_mapping, preset_names, read_preset_or_file
from wormwood.envs.bodies import Body, body_from_mapping, is_number, load_body
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import Navigate, Swim, SwimAtSpeed, Task
from wormwood.errors import bad_input
from wormwood.launch.run.trust import admit

__all__ = ["LABELS", "Suite", "SuiteBody", "load_suite", "parse_suite", "suite_names"]

LABELS = ("home", "interpolation", "extrapolation", "combination")
"""How far a body is from home: it, near it along one axis, far along one axis, or along several at once."""
TASKS = tuple(task().name for task in (Swim, SwimAtSpeed, Navigate))
"""Tasks whose reward is at most 1 a step, so that returns of all bodies have one scale."""

KEYS = ("task", "task_options", "axes", "units", "bodies", "retention")
BODY_KEYS = ("body", "label", "axis", "value")
FARTHEST = 1e9  # of a place on an axis


@dataclass(frozen=True)
class SuiteBody:
    """One body of a suite."""

    body: Body
    label: str
    """One of ``LABELS``."""
    axis: str | None = None
    """What was changed; None at home and where several things were."""
    value: float | None = None
    """Where on the axis it stands."""


@dataclass(frozen=True)
class Suite:
    """Bodies with labels, and the task that all of them are asked to do."""

    name: str
    task: Task
    bodies: tuple[SuiteBody, ...]
    """In the order of the file; their names differ."""
    axes: tuple[tuple[str, float | None], ...] = ()
    """Name of each axis, and where home stands on it; None where it has no place, as on that of lesioned joints."""
    units: tuple[tuple[str, str], ...] = ()
    """Of axes, what their numbers are, as figures say it."""
    retention: tuple[str, ...] = ()
    """Names of the bodies on which specialists are trained."""

    def spec(self, entry: SuiteBody) -> SwimmerSpec:
        """Return what an agent acts in on one of the bodies."""
        return SwimmerSpec(entry.body, self.task)


def suite_names() -> list[str]:
    """Return the names of the suites that come with the package."""
    return preset_names("transfer")


def load_suite(name_or_path: str, *, trust: Collection[str] = ()) -> Suite:
    """Return the suite of a name or of a YAML file.

    Args:
        name_or_path: of the suite.
        trust: classes ``module:Class``, or modules, that its task may be.

    Raises:
        BadInput: there is no such suite, anything in it is wrong, or its task is a class that is not trusted.
    """
    text, where = read_preset_or_file("transfer", name_or_path, what="suite", where="--suite")
    folder = None if name_or_path in suite_names() else Path(name_or_path).parent
    return parse_suite(text, name=Path(name_or_path).stem, where=where, folder=folder, trust=trust)


def parse_suite(text: str, *, name: str, where: str, folder: Path | None = None, trust: Collection[str] = ()) -> Suite:
    """Read a suite from YAML.

    Args:
        text: of the file. ``bodies`` is required: a list of mappings with ``body`` (a name, a file or the fields of a
            body) and ``label``, and optionally ``axis`` and ``value``.
        name: of the suite.
        where: the file, for error messages.
        folder: in which files of bodies are looked for.
        trust: classes ``module:Class``, or modules, that its task may be.

    Raises:
        BadInput: anything in it is wrong.
    """
    mapping = parse_mapping(text, where=where)
    _check_keys(mapping, KEYS, where=where)
    task = mapping.get("task", "swim")
    admit(mapping, where=where, trust=trust)
    if task not in TASKS and not is_custom(task):
        expected = f"one of {', '.join(TASKS)}, or module:Class"
        raise bad_input("unknown task", where=where, expected=expected, got=task, nearest_to=TASKS)
    axes = _axes(mapping.get("axes", {}), where=where)
    bodies = _bodies(mapping.get("bodies"), axes, where=where, folder=folder)
    names = [entry.body.name for entry in bodies]
    retention = mapping.get("retention", [])
    if not isinstance(retention, list):
        raise bad_input("retention", where=where, expected="a list of names of its bodies", got=retention)
    for chosen in retention:
        if chosen not in names:
            expected = "the name of one of its bodies"
            raise bad_input("retention", where=where, expected=expected, got=chosen, nearest_to=names)
    options = mapping.get("task_options", {})
    if not isinstance(options, dict):
        raise bad_input("task_options", where=where, expected="a mapping of options to values", got=options)
    units = _units(mapping.get("units", {}), axes, where=where)
    task = task_from_name(task, options=options)
    return Suite(name, task, bodies, tuple(axes.items()), units=units, retention=tuple(retention))


def _check_keys(mapping: Mapping[Any, Any], known: tuple[str, ...], *, where: str) -> None:
    for key in mapping:
        if key not in known:
            expected = f"one of {', '.join(known)}"
            raise bad_input("unknown key", where=where, expected=expected, got=key, nearest_to=known)


def _axes(axes: Any, *, where: str) -> dict[str, float | None]:
    """Return where home stands on each axis."""
    if not isinstance(axes, dict):
        raise bad_input("axes", where=where, expected="a mapping of names to where home stands", got=axes)
    for name, home in axes.items():
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9 -]{0,39}", name):
            raise bad_input("name of an axis", where=where, expected="up to 40 small letters", got=name)
        if home is not None and not is_number(home, low=-FARTHEST, high=FARTHEST):
            raise bad_input(f"axis {name}", where=where, expected="a number, or null without a home", got=home)
    return axes


def _units(units: Any, axes: Mapping[str, float | None], *, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(units, dict) or not all(isinstance(unit, str) and len(unit) <= 40 for unit in units.values()):
        expected = "a mapping of axes to what their numbers are, of up to 40 letters"
        raise bad_input("units", where=where, expected=expected, got=units)
    for name in units:
        if name not in axes:
            expected = f"one of the suite's axes: {', '.join(axes) or 'it has none'}"
            raise bad_input("unknown axis", where=f"{where}, units", expected=expected, got=name, nearest_to=axes)
    return tuple(units.items())


def _bodies(
    entries: Any, axes: Mapping[str, float | None], *, where: str, folder: Path | None
) -> tuple[SuiteBody, ...]:
    if not isinstance(entries, list) or not entries:
        raise bad_input("bodies", where=where, expected="a list of at least one body", got=entries)
    bodies = [_body(entry, axes, where=f"{where}, body {k + 1}", folder=folder) for k, entry in enumerate(entries)]
    seen: set[str] = set()
    for k, entry in enumerate(bodies):
        if entry.body.name in seen:
            expected = "a name that no other body of the suite has"
            raise bad_input("name", where=f"{where}, body {k + 1}", expected=expected, got=entry.body.name)
        seen.add(entry.body.name)
    return tuple(bodies)


def _body(entry: Any, axes: Mapping[str, float | None], *, where: str, folder: Path | None) -> SuiteBody:
    if not isinstance(entry, dict) or "body" not in entry or "label" not in entry:
        raise bad_input("entry", where=where, expected="a mapping with at least body and label", got=entry)
    _check_keys(entry, BODY_KEYS, where=where)
    label, axis, value = entry["label"], entry.get("axis"), entry.get("value")
    if label not in LABELS:
        expected = f"one of {', '.join(LABELS)}"
        raise bad_input("unknown label", where=where, expected=expected, got=label, nearest_to=LABELS)
    if axis is not None and axis not in axes:
        expected = f"one of the suite's axes: {', '.join(axes) or 'it has none'}"
        raise bad_input("unknown axis", where=where, expected=expected, got=axis, nearest_to=axes)
    if (axis is None) != (value is None) or not (value is None or is_number(value, low=-FARTHEST, high=FARTHEST)):
        expected = "a number beside an axis, and none without one"
        raise bad_input("value", where=where, expected=expected, got=value)
    body = _build(entry["body"], where=where, folder=folder)
    return SuiteBody(body, label, axis, None if value is None else float(value))


def _build(body: Any, *, where: str, folder: Path | None) -> Body:
    if isinstance(body, dict):
        if "name" not in body:
            raise bad_input("missing key", where=where, expected="name: a text, beside the body's fields", got=body)
        return body_from_mapping(body, name="body", where=where, folder=folder)
    if not isinstance(body, str):
        raise bad_input("body", where=where, expected="a name, a YAML or MJCF file, or the fields of a body", got=body)
    if folder is not None and Path(body).suffix.lower() in (".yaml", ".yml", ".xml"):
        return load_body(folder / body)
    return load_body(body)
