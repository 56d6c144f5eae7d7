"""Settings that nothing would use: refused, since whoever wrote them expects them to do something."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from wormwood.errors import bad_input

__all__ = ["Uses", "default_of", "refuse_idle"]

Uses = Mapping[str, tuple[bool, str]]
"""By the name of a setting, whether anything uses it as the others are, and what would: ``(False, "loss is awr")``."""


@runtime_checkable
class _SaysUses(Protocol):
    def uses(self) -> Uses:
        """Return which of the settings that not everything uses are used here."""


def refuse_idle(settings: Any, *, where: str, uses: Uses | None = None) -> None:
    """Check that settings without effect are left at their defaults, also in the settings within.

    Args:
        settings: a dataclass, which may have a method ``uses``.
        where: what they are settings of.
        uses: what it cannot know of; names with a dot are of settings within.

    Raises:
        BadInput: naming the first.
    """
    own = settings.uses() if isinstance(settings, _SaysUses) else {}
    for path, (used, needs) in [*own.items(), *(uses or {}).items()]:
        *outer, name = path.split(".")
        owner = settings
        for part in outer:
            owner = getattr(owner, part)
        value, default = getattr(owner, name), default_of(type(owner), name)
        if not used and value != default:
            raise bad_input(path, where=where, expected=f"{default!r} unless {needs}", got=value)
    for field in dataclasses.fields(settings):
        inner = getattr(settings, field.name)
        if dataclasses.is_dataclass(inner):
            refuse_idle(inner, where=f"{where}, {field.name}")


def default_of(settings: type, name: str) -> Any:
    """Return the default of a field of a dataclass."""
    field = next(field for field in dataclasses.fields(settings) if field.name == name)
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
