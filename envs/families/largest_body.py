"""The body that an agent for trials of many bodies has to fit."""

from __future__ import annotations

from wormwood.envs.bodies import Body
from wormwood.envs.families.swimmer_bodies import SwimmerBodies
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["largest_body"]


def largest_body(spec: EnvironmentSpec, *, where: str) -> Body:
    """Return the body of most links in the family of these trials.

    Raises:
        BadInput: the environment, which ``where`` is for, is not trials of ``swimmer-bodies``.
    """
    if isinstance(spec, TrialSpec) and isinstance(spec.family, SwimmerBodies):
        return spec.family.largest
    raise bad_input("environment", where=where, expected="trials of the family swimmer-bodies", got=spec.name)
