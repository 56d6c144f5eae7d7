"""Settings of memory networks, of their feedback module, and of when they learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from wormwood.errors import bad_input

__all__ = ["MemoryConfig", "check_memory"]

Units = Annotated[int, Field(ge=1, le=4096)]


@dataclass(frozen=True)
class MemoryConfig:
    """A network that reads from a memory, decides, and writes to it (after Munkhdalai & Yu 2016)."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    kind: Literal["memory"] = "memory"
    """Which agent this is."""
    slots: Units = 8
    """Rows of the memory. More can hold more things apart; each costs time in every step."""
    width: Units = 32
    """Numbers in each row. Wider rows hold more of one thing."""
    hidden: Units = 64
    """Units of each of the three controllers. More can express more, and learn slower."""
    addressing: Literal["tied", "untied"] = "untied"
    """Where to write: ``untied`` addresses rows anew, ``tied`` writes where was read, with fewer weights."""


def check_memory(config: MemoryConfig) -> None:
    """Check that there is a memory at all.

    Raises:
        BadInput: it has no slots, rows without numbers, or controllers without units.
    """
    for name, value in (("slots", config.slots), ("width", config.width), ("hidden", config.hidden)):
        if value < 1:
            raise bad_input(name, where="memory", expected="at least 1", got=value)
