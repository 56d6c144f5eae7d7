"""Settings that had other names before: files that say them so are read until 0.3."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

__all__ = ["OldName", "use_new_names", "with_old_names"]


class OldName(FutureWarning):
    """A file or a user says a setting by a name that will be an error. The command line shows it as a note."""


RENAMED = (
    ("agent", None, "kind: boosted", "kind: forest"),
    ("agent", "forest", "view", "features"),
    ("agent", "ncap", "lag", "phase_lag"),
    ("agent", "modulated-ncap", "circuit.lag", "circuit.phase_lag"),
    ("learner", "ppo", "critic: flat", "critic: mlp"),
    ("learner", "ppo", "critic: boosted", "critic: forest"),
    ("learner", "boosted", "critic: network", "critic: mlp"),
    ("learner", "boosted", "boosting.max_policy_gradient", "boosting.policy_max_grad_norm"),
    ("learner", "boosted", "boosting.max_value_gradient", "boosting.value_grad_clip"),
    ("learner", "fast-slow", "schedule.max_gradient", "schedule.max_grad_norm"),
    ("learner", "sac", "entropy_coefficient", "initial_entropy_coefficient"),
)
"""Section, its kind (None: any), what was said before, what is said now: a key, or ``key: value``. New kinds first."""


def use_new_names(mapping: dict[str, Any], *, replace: bool = False) -> None:
    """Put the new names into a configuration, in place, and warn of each old one by ``OldName``.

    Args:
        mapping: what a file holds; anything in it may be wrong.
        replace: where a setting stands under both names, the old one counts, as one that was set afterwards. Otherwise
            both stay, so that the old one is an unknown key.
    """
    for section, kind, before, now in RENAMED:
        if _rename(mapping.get(section), kind, before, now, replace=replace):
            text = f"{section}.{before} is now called {section}.{now}; the old name works until 0.3"
            warnings.warn(text, OldName, stacklevel=3)


def with_old_names(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as it was said before: checkpoints that were made then carry its hash."""
    before = copy.deepcopy(dict(mapping))
    for section, kind, was, now in reversed(RENAMED):
        _rename(before.get(section), kind, now, was, replace=False)
    return before


def _rename(settings: Any, kind: str | None, said: str, instead: str, *, replace: bool) -> bool:
    """Say one thing otherwise, in place, and return whether it was there."""
    if not isinstance(settings, dict) or kind not in (None, settings.get("kind")):
        return False
    path, _, value = said.partition(": ")
    *outer, key = path.split(".")
    for name in outer:
        settings = settings.get(name)
        if not isinstance(settings, dict):
            return False
    if value:
        if settings.get(key) != value:
            return False
        settings[key] = instead.partition(": ")[2]
        return True
    new_key = instead.rpartition(".")[2]
    if key not in settings or (new_key in settings and not replace):
        return False
    settings[new_key] = settings.pop(key)
    return True
