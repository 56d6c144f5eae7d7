"""The table of task families: what a new family adds one line to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wormwood.configs.custom import is_custom, kind_of, load_class
from wormwood.envs.families.bandits import BernoulliBandit
from wormwood.envs.families.grid_navigation import GridNavigation
from wormwood.envs.families.half_cheetah import CheetahDirection, CheetahVelocity
from wormwood.envs.families.interfaces import FamilyTask, TaskFamily
from wormwood.envs.families.swimmer_bodies import SwimmerBodies
from wormwood.envs.families.swimmer_goals import SwimmerDirection, SwimmerSpeed
from wormwood.envs.families.tabular import TabularMDP
from wormwood.envs.randomness import evaluation_streams
from wormwood.envs.task_table import build
from wormwood.errors import bad_input

__all__ = ["FAMILIES", "family_from_name", "family_name", "held_out_tasks"]

FAMILIES: Mapping[str, Any] = {
    family.name: family
    for family in (
        BernoulliBandit,
        TabularMDP,
        GridNavigation,
        SwimmerDirection,
        SwimmerSpeed,
        SwimmerBodies,
        CheetahDirection,
        CheetahVelocity,
    )
}
"""The families by name; each is called with its options."""
NEEDS = {"draw": "(rng)", "sample": "(rng)", "dynamics": "(count)"}
"""Methods of a family of the user's own."""


def family_from_name(name: str, *, options: Mapping[str, Any] | None = None) -> TaskFamily:
    """Return the family of that name.

    Args:
        name: a key of ``FAMILIES``, or ``module:Class``.
        options: the family's own, such as ``{"arms": 10}``; lists become tuples.

    Raises:
        BadInput: there is no such family, it has no such option, or an option has a wrong value.
    """
    where = f"task family {name}"
    if is_custom(name):
        custom: TaskFamily = build(load_class(name, what="task family", needs=NEEDS), options, where=where)
        return custom
    if name not in FAMILIES:
        expected = f"one of {', '.join(FAMILIES)}, or module:Class"
        raise bad_input("unknown task family", where="family", expected=expected, got=name, nearest_to=FAMILIES)
    family: TaskFamily = build(FAMILIES[name], options, where=where)
    return family


def family_name(family: TaskFamily) -> str:
    """Return the name that ``family_from_name`` finds a family by."""
    return family.name if type(family) in FAMILIES.values() else kind_of(type(family))


def held_out_tasks(family: TaskFamily, count: int, *, seed: int = 0) -> list[FamilyTask]:
    """Return the tasks that evaluation plays: those of environments 0 to ``count - 1`` of ``evaluation_streams``.

    Training never draws from these streams.
    """
    streams = evaluation_streams(seed)
    return [family.held_out.sample(streams("task", environment, 0)) for environment in range(count)]
