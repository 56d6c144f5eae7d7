"""The verb `wormwood list`: presets, bodies, tasks, families of tasks, agents and suites."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from wormwood.agents.learners import LEARNERS
from wormwood.agents.policies.table import AGENTS, CUSTOM
from wormwood.configs.yaml_files import preset_names, read_preset_or_file
from wormwood.envs.bodies import body_names
from wormwood.envs.families.table import FAMILIES
from wormwood.envs.task_table import TASKS
from wormwood.launch.cli.arguments import add_verb
from wormwood.launch.cli.console import print_json, print_table
from wormwood.launch.run.agent_files import BUILT_IN

__all__ = ["LISTS", "add_list", "list_command"]


def add_list(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    parser = add_verb(verbs, "list", list_command, "list what there is", "wormwood list presets")
    parser.add_argument("what", metavar="list", choices=tuple(LISTS))


def list_command(options: argparse.Namespace) -> None:
    """List what there is of one kind, with what it is."""
    rows = LISTS[options.what]()
    if options.json:
        print_json({options.what: [{"name": name, "summary": summary} for name, summary in rows]})
        return
    print_table("", ["name", "what it is"], rows)


def _presets() -> list[tuple[str, str]]:
    return [(name, _first_comment("train", name)) for name in preset_names("train")]


def _bodies() -> list[tuple[str, str]]:
    shipped = preset_names("bodies")
    named = [(name, _first_comment("bodies", name)) for name in shipped]
    gymnasium = [(name, "gymnasium's Swimmer-v5") for name in body_names() if name.startswith("gymnasium")]
    return [("swimmer-N", "dm_control's swimmer of N links, 2 to 200"), *gymnasium, *named]


def _tasks() -> list[tuple[str, str]]:
    return [(name, _summary(task)) for name, task in TASKS.items()]


def _families() -> list[tuple[str, str]]:
    return [(name, _summary(family)) for name, family in FAMILIES.items()]


def _agents() -> list[tuple[str, str]]:
    built_in = [(name, summary) for name, (_, summary) in BUILT_IN.items()]
    kinds = [(f"kind: {name}", f"in presets: {kind.summary}") for name, kind in AGENTS.items()]
    learners = [(f"learner: {name}", f"in presets: {kind.summary}") for name, kind in LEARNERS.items()]
    custom = [(f"{what}: module:Class", f"in presets: {CUSTOM.summary}") for what in ("kind", "learner")]
    return [*built_in, *kinds, *learners, *custom]


def _suites() -> list[tuple[str, str]]:
    return [(name, _first_comment("transfer", name)) for name in preset_names("transfer")]


LISTS = {
    "presets": _presets,
    "bodies": _bodies,
    "tasks": _tasks,
    "families": _families,
    "agents": _agents,
    "suites": _suites,
}
"""What can be listed, by name."""


def _first_comment(folder: str, name: str) -> str:
    """Return the sentence that a preset begins with, which may be longer than a line."""
    text, _ = read_preset_or_file(folder, name, what="preset", where="list")
    return _first_sentence([line.lstrip("# ") for line in text.splitlines() if line.startswith("#")])


def _summary(of: type) -> str:
    """Return the sentence that a class's documentation begins with."""
    return _first_sentence((of.__doc__ or "").strip().splitlines())


def _first_sentence(lines: Sequence[str]) -> str:
    end = next((k for k, line in enumerate(lines, start=1) if line.rstrip().endswith((".", "!", "?"))), len(lines))
    return " ".join(line.strip() for line in lines[:end])
