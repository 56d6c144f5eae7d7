"""The table of tasks: what a new task adds one line to. A task of the user's own is named ``module:Class`` instead."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from wormwood.configs.custom import is_custom, kind_of, load_class
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim, SwimAtSpeed, Task
from wormwood.errors import bad_input

__all__ = ["TASKS", "build", "options_of", "task_from_name", "task_name"]

TASKS = {cls.name: cls for cls in (Swim, SwimAtSpeed, Navigate, GymnasiumForward)}
NEEDS = {
    "layout": "(body)",
    "start": "(body, rng)",
    "draw_goal": "(rng)",
    "observe": "(readings, joints, goal, steps)",
    "reward": "(readings, goal, action, timestep)",
}
"""Methods of a task of the user's own; ``Swim`` has them all."""


def task_from_name(name: str, *, options: Mapping[str, Any] | None = None) -> Task:
    """Return the task of that name, one of ``TASKS`` or ``module:Class``.

    Raises:
        BadInput: there is no such task, it has no such option, or an option has a wrong value.
    """
    if is_custom(name):
        custom: Task = build(load_class(name, what="task", needs=NEEDS), options, where=f"task {name}")
        return custom
    if name not in TASKS:
        expected = f"one of {', '.join(TASKS)}, or module:Class"
        raise bad_input("unknown task", where="task", expected=expected, got=name, nearest_to=TASKS)
    task: Task = build(TASKS[name], options, where=f"task {name}")
    return task


def task_name(task: Task) -> str:
    """Return the name that ``task_from_name`` finds a task by."""
    return task.name if type(task) in TASKS.values() else kind_of(type(task))


def options_of(task: Task) -> dict[str, Any]:
    """Return the options of a task: the inverse of ``task_from_name``."""
    return {name: getattr(task, name) for name in _option_names(type(task))}


def build(cls: type, options: Mapping[str, Any] | None, *, where: str) -> Any:
    """Call a class with options by name; lists become tuples.

    Raises:
        BadInput: it has no such option, or an option has a wrong value.
    """
    known = _option_names(cls)
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in (options or {}).items()}
    for key in given:
        if key not in known:
            expected = f"one of {', '.join(known)}"
            raise bad_input("unknown option", where=where, expected=expected, got=key, nearest_to=known)
    try:
        return cls(**given)
    except TypeError as error:  # an option without a default is missing
        raise bad_input("options", where=where, expected=f"{', '.join(known)}", got=str(error)) from error


def _option_names(cls: type) -> list[str]:
    return [parameter for parameter in inspect.signature(cls).parameters if parameter != "name"]
