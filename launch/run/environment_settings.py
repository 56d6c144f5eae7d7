"""What configurations and agents' files say about an environment: a swimmer, gymnasium's, or trials of a family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, body_fields, body_from_mapping, load_body
from wormwood.envs.families.table import family_name
from wormwood.envs.families.trials import TrialSpec, trial_from_name
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.task_table import options_of, task_from_name, task_name
from wormwood.errors import bad_input

__all__ = ["DEFAULTS", "Spec", "build_others", "build_spec", "describe_spec", "read_spec", "settings_without_effect"]

Spec = SwimmerSpec | GymnasiumSpec | TrialSpec

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "family": {"family": None, "family_options": {}, "trial_episodes": 1},
    "environment": {"environment": None, "environment_options": {}, "environment_wrappers": ()},
    "body": {"body": "swimmer-6", "other_bodies": (), "task": "swim", "task_options": {}},
}
"""The settings of each kind of environment, by the one that chooses it; a body is chosen where no other kind is."""

WITHOUT_CHOICE = {
    "family": "the name of the task family that options are for",
    "environment": "the id that options are for",
}


def _chosen(settings: Mapping[str, Any]) -> str:
    return next((kind for kind in ("family", "environment") if settings[kind] is not None), "body")


def settings_without_effect(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the settings that belong to other kinds of environment than the chosen one."""
    chosen = _chosen(settings)
    return [name for kind, defaults in DEFAULTS.items() if kind != chosen for name in defaults]


def build_spec(settings: Mapping[str, Any]) -> Spec:
    """Return the environment that a configuration asks for.

    Args:
        settings: all of ``DEFAULTS``.

    Raises:
        BadInput: there is no such environment, or settings of several kinds of it are mixed.
    """
    chosen = _chosen(settings)
    for kind, defaults in DEFAULTS.items():
        given = [name for name in defaults if settings[name] != defaults[name]]
        if kind != chosen and given:
            raise _mixed(settings, chosen=chosen, kind=kind, given=given)
    if chosen == "family":
        return trial_from_name(settings["family"], settings["family_options"], settings["trial_episodes"])
    if chosen == "environment":
        return GymnasiumSpec(settings["environment"], settings["environment_options"], settings["environment_wrappers"])
    task = task_from_name(settings["task"], options=settings["task_options"])
    return SwimmerSpec(_build_body(settings["body"], "body"), task)


def build_others(settings: Mapping[str, Any], spec: Spec) -> tuple[SwimmerSpec, ...]:
    """Return the same task on the other bodies that a configuration asks for.

    Raises:
        BadInput: there is no such body.
    """
    if not isinstance(spec, SwimmerSpec):
        return ()
    return tuple(SwimmerSpec(_build_body(body, "other_bodies"), spec.task) for body in settings["other_bodies"])


def _build_body(body: str | Mapping[str, Any], key: str) -> Body:
    if isinstance(body, str):
        return load_body(body)
    return body_from_mapping(body, name="body", where=f"{WHERE}, {key}", folder=Path())


WHERE = "configuration"


def _mixed(settings: Mapping[str, Any], *, chosen: str, kind: str, given: list[str]) -> Exception:
    if chosen == "body" and kind in WITHOUT_CHOICE:
        got = f"only {settings[given[0]]}"
        return bad_input(kind, where=WHERE, expected=WITHOUT_CHOICE[kind], got=got)
    first, *rest = DEFAULTS[kind]
    names = f"{', '.join([first, *rest[:-1]])} or {rest[-1]}"
    an = "a task family" if chosen == "family" else "an environment"
    return bad_input(given[0], where=WHERE, expected=f"no {names} beside {an}", got=settings[given[0]])


def describe_spec(spec: Spec) -> dict[str, Any]:
    """Return what an environment is in plain values; ``read_spec`` reads it back."""
    if isinstance(spec, TrialSpec):
        options = {
            name: list(value) if isinstance(value, tuple) else value for name, value in vars(spec.family).items()
        }
        return {"family": family_name(spec.family), "family_options": options, "trial_episodes": spec.episodes}
    if isinstance(spec, GymnasiumSpec):
        return {
            "environment": spec.id,
            "environment_options": dict(spec.options),
            "environment_wrappers": list(spec.wrappers),
        }
    body = {**body_fields(spec.body), "model": spec.body.model}
    return {"task": task_name(spec.task), "task_options": options_of(spec.task), "body": body}


def read_spec(described: Mapping[str, Any], *, where: str) -> Spec:
    """Return the environment that was described; ``where`` is the file that it stands in.

    Raises:
        BadInput: a name or value in it is wrong.
        LookupError, TypeError, ValueError: it is no such description.
    """
    if "family" in described:
        return trial_from_name(str(described["family"]), described["family_options"], described["trial_episodes"])
    if "environment" in described:
        name, wrappers = described["environment"], described["environment_wrappers"]
        # As they were asked for when it was looked at what is to be trusted.
        if not isinstance(name, str) or not isinstance(wrappers, list):
            raise TypeError("environment is a text, environment_wrappers are a list")
        return GymnasiumSpec(name, dict(described["environment_options"]), tuple(wrappers))
    task = task_from_name(str(described["task"]), options=described["task_options"])
    return SwimmerSpec(_read_body(described["body"], where), task)


def _read_body(fields: Mapping[str, Any], where: str) -> Body:
    if fields.get("model") == "gymnasium":
        return GYMNASIUM_SWIMMER
    kept = {name: value for name, value in fields.items() if name != "model"}
    return body_from_mapping(kept, name="body", where=where)
