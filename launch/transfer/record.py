"""What a report remembers of itself, so that more agents can join it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from wormwood.errors import BadInput, bad_input
from wormwood.launch.storage.files import to_json, write_text_atomic
from wormwood.launch.transfer.entrants import Entry
from wormwood.launch.transfer.suites import Suite
from wormwood.launch.transfer.tuning import Tuning

__all__ = ["RECORD", "Member", "Record", "fingerprint", "read_record"]

RECORD = "report.json"
"""Its file in the folder of the report."""


@dataclass(frozen=True)
class Member:
    """A policy that has been measured, or is being."""

    entry: Entry
    outcomes: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]]
    """By body, the name of the outcome's file."""
    tunings: tuple[Tuning, ...] = ()
    """The policy beside specialists."""


@dataclass(frozen=True)
class Record:
    """What all agents of a report have in common, and who they are."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    suite: str
    """A name of `wormwood list suites`, or a file, from the root."""
    suite_sha256: str
    """Of what the suite asks for: a file may have been changed."""
    seeds: int
    seed: int
    adapt: str
    threshold: float | None
    """None where nothing is fine-tuned."""
    versions: dict[str, str]
    members: tuple[Member, ...] = ()

    def write(self, folder: Path) -> None:
        """Write it into the folder of the report."""
        write_text_atomic(folder / RECORD, to_json(dataclasses.asdict(self), indent=1) + "\n")

    def require_same(self, other: Record, *, where: str) -> None:
        """Check that agents may join under the terms of another record.

        Raises:
            BadInput: naming the first term that differs. Their numbers could not be compared.
        """
        for name in ("suite", "seeds", "seed", "adapt", "threshold"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs and None not in (mine, theirs):
                raise bad_input(f"--{name}", where=where, expected=f"the report's own {mine!r}", got=theirs)
        if self.suite_sha256 != other.suite_sha256:
            raise bad_input("--suite", where=where, expected="the suite as it was then", got=f"{self.suite}, changed")
        if self.versions != other.versions:
            expected = "the versions of then: " + _listed(self.versions)
            raise bad_input("packages", where=where, expected=expected, got=_listed(other.versions))


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def read_record(folder: Path) -> Record | None:
    """Return the record of a report, or None where it has none yet.

    Raises:
        BadInput: it is damaged, or a finished report is of a version that kept none.
    """
    try:
        return TypeAdapter(Record).validate_python(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except FileNotFoundError:
        if not (folder / "results.json").is_file():
            return None
        raise BadInput(
            f"{folder} is a report of an earlier version, which no agent can join: choose another --out"
        ) from None
    except (OSError, ValueError, TypeError, LookupError, RecursionError, ValidationError) as error:
        got = " ".join(str(error).split())
        raise bad_input("damaged report", where=str(folder / RECORD), expected="a report's record", got=got) from None


def fingerprint(suite: Suite) -> str:
    """Return a hash of what a suite measures: its task and its bodies with their labels and places."""
    asked: Any = (suite.task, suite.bodies, suite.axes)
    return hashlib.sha256(repr(asked).encode()).hexdigest()
