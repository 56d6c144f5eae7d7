"""Who is compared in a report: policies, each by itself or as one of several training runs of the same kind."""

from __future__ import annotations

import glob
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from wormwood.envs.specs import SwimmerSpec
from wormwood.errors import bad_input
from wormwood.launch.run.agent_files import Agent, load_agent
from wormwood.launch.storage.mirrors import is_url

__all__ = ["Entrant", "Entry", "load_entrants", "name_entrants", "runs_of_argument"]


@dataclass(frozen=True)
class Entry:
    """How one policy came into a report: what a report remembers of it."""

    argument: str
    """What was typed."""
    text: str
    """What ``load_agent`` takes: the same, or what the pattern of a group found."""
    own_name: str
    """What the agent calls itself."""
    group: str | None = None
    """The training runs that it is one of; None stands for itself."""

    @property
    def key(self) -> tuple[str | None, str]:
        """What tells it apart in a report."""
        return self.group, self.text


@dataclass(frozen=True)
class Entrant:
    """A policy that is to be measured."""

    entry: Entry
    agent: Agent
    is_file: bool = True
    """It was named; otherwise it was given as an object, in Python."""


def runs_of_argument(argument: str) -> tuple[str | None, list[str]]:
    """Return the group that an argument names, if it does, and what ``load_agent`` takes of each of its policies.

    ``worms=runs/worm-*`` is the group ``worms`` of all runs that the pattern finds, in alphabetical order.

    Raises:
        BadInput: the pattern finds nothing.
    """
    match = re.fullmatch(r"([\w.-]+)=(.+)", argument, re.DOTALL)
    if match is None or Path(argument).exists():
        return None, [argument]
    group, pattern = match[1], match[2]
    if is_url(pattern) or not glob.has_magic(pattern):
        return group, [pattern]
    # A zip stands as ppo:FILE.zip?activation=relu.
    parts = re.fullmatch(r"((?:\w+:)?)(.*?)((?:\?\w+=.*)?)", pattern, re.DOTALL)
    assert parts is not None
    found = sorted(glob.glob(parts[2]))
    if not found:
        raise bad_input(f"group {group}", where="transfer", expected="a pattern that finds runs or zips", got=pattern)
    return group, [f"{parts[1]}{path}{parts[3]}" for path in found]


def load_entrants(arguments: Sequence[str | Agent], *, trust: Collection[str] = ()) -> list[Entrant]:
    """Return the policies of some arguments, in their order.

    Args:
        arguments: agents, what ``load_agent`` takes, or groups ``name=PATTERN``. A group may be named several times.
        trust: classes ``module:Class`` that the agents' files may name.

    Raises:
        BadInput: there is no such agent, it does not swim, or it stands there twice.
    """
    entrants: list[Entrant] = []
    for argument in arguments:
        if isinstance(argument, Agent):
            entrants.append(Entrant(Entry(argument.name, argument.name, argument.name), argument, is_file=False))
            continue
        group, texts = runs_of_argument(argument)
        for text in texts:
            agent = load_agent(text, trust=trust)
            entrants.append(Entrant(Entry(argument, text, agent.name, group), agent))
    if not entrants:
        raise bad_input("agents", where="transfer", expected="at least one agent", got=list(arguments))
    for (_, text), count in Counter(entrant.entry.key for entrant in entrants).items():
        if count > 1:
            raise bad_input("agent", where="transfer", expected="each agent once", got=text)
    for entrant in entrants:
        spec = entrant.agent.spec
        if spec is not None and not isinstance(spec, SwimmerSpec):
            got = f"{entrant.entry.text}, trained in {spec.name}"
            raise bad_input("agent", where="transfer", expected="an agent that swims", got=got)
    return entrants


def name_entrants(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Return for each policy what rows call it or its group, and a name that no other policy has.

    A policy of its own is called as it calls itself, or where two call themselves the same, as it was typed.

    Raises:
        BadInput: a group and an agent have the same name.
    """
    count = Counter(entry.own_name for entry in entries if entry.group is None)
    named = []
    for entry in entries:
        if entry.group is None:
            name = entry.own_name if count[entry.own_name] == 1 else entry.text
            named.append((name, name))
        else:
            named.append((entry.group, f"{entry.group}={entry.text}"))
    singles = {name for (name, _), entry in zip(named, entries, strict=True) if entry.group is None}
    for entry in entries:
        if entry.group in singles:
            expected = "a name that no agent of the report has"
            raise bad_input("group", where="transfer", expected=expected, got=entry.group)
    return named
