"""What a report is asked for, and the terms under which it is made."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from wormwood.envs.bodies import is_number
from wormwood.envs.faces.common import LARGEST_SEED
from wormwood.errors import bad_input
from wormwood.launch.run.agent_files import Agent
from wormwood.launch.transfer.record import Record, fingerprint, read_record
from wormwood.launch.transfer.suites import Suite, suite_names
from wormwood.launch.transfer.zero_shot import versions

__all__ = ["OUTCOMES", "SPECIALISTS", "STANDARD", "THRESHOLD", "ReportPlan", "known_terms", "terms_of"]

OUTCOMES = "outcomes"
"""Folder of finished jobs: a folder that has it holds a report, or the beginning of one."""
SPECIALISTS = "runs/specialists"
STANDARD = "standard"
"""The suite of who names none."""
THRESHOLD = 0.9


@dataclass(frozen=True)
class ReportPlan:
    """What `wormwood transfer` is asked for. What is None is as in the report that goes on, or else a default."""

    agents: tuple[str | Agent, ...]
    """Anything that ``load_agent`` takes, agents, or groups of training runs as ``name=PATTERN``."""
    suite: str | None = None
    """A name of `wormwood list suites`, or a YAML file; by default ``standard``."""
    out: str | None = None
    """Folder of the report; None makes a new one in ``runs/``."""
    resume: bool = False
    """Go on with the report in ``out``: the agents join those that it has."""
    seeds: int | None = None
    """Held-out starts on each body; by default 10."""
    seed: int | None = None
    """Of the held-out starts; by default 0."""
    adapt: Literal["no", "pad"] | None = None
    """What is done with agents that do not fit a body: they are marked, or padded; by default marked."""
    retention: bool = False
    """Compare with specialists, trained on each body that the suite names for that."""
    fine_tune: tuple[float, ...] = ()
    """Shares of the training budget at which fine-tuned agents are judged; implies ``retention``."""
    threshold: float | None = None
    """Share of the specialist's return that fine-tuning races to; by default 0.9."""
    specialists: str | None = None
    """Folder of training runs; by default ``runs/specialists``."""
    workers: int = 0
    """Ray workers that measure; 0 measures in this process. The results are the same."""
    address: str = "local"
    """Of a running Ray cluster; ``"local"`` starts one."""
    trust: tuple[str, ...] = ()
    """Classes ``module:Class``, or modules, that the files of the agents may name."""

    def __post_init__(self) -> None:
        """Check what single values do not say."""
        if self.adapt not in (None, "no", "pad"):
            raise bad_input("adapt", where="transfer", expected="no or pad", got=self.adapt, nearest_to=("no", "pad"))
        for name, least in (("seeds", 1), ("seed", 0), ("workers", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and least <= value <= LARGEST_SEED):
                raise bad_input(name, where="transfer", expected=f"a whole number of at least {least}", got=value)
        for share in (*self.fine_tune, *([] if self.threshold is None else [self.threshold])):
            if not is_number(share, low=1e-6, high=100.0):
                raise bad_input("share", where="transfer", expected="a number from 1e-06 to 100", got=share)
        needs = {"threshold": ("fine_tune", self.fine_tune), "specialists": ("retention or fine_tune", self.trains)}
        for name, (others, there) in needs.items():
            if getattr(self, name) is not None and not there:
                expected = f"none without {others}"
                raise bad_input(name, where="transfer", expected=expected, got=getattr(self, name))

    @property
    def trains(self) -> bool:
        """Whether specialists are trained."""
        return self.retention or bool(self.fine_tune)

    def command(self, folder: Path, terms: Record) -> str:
        """Return the command that makes the same report in a folder, whatever of it is there already.

        Args:
            folder: of the report.
            terms: what it is made under, and who is in it.
        """
        agents = dict.fromkeys(member.entry.argument for member in terms.members)
        words: list[object] = ["wormwood", "transfer", *agents, "--suite", self.suite or terms.suite]
        words += ["--seeds", terms.seeds]
        words += ["--seed", terms.seed] if terms.seed else []
        words += ["--adapt", terms.adapt] if terms.adapt != "no" else []
        words += ["--retention"] if self.retention else []
        words += ["--fine-tune", *self.fine_tune] if self.fine_tune else []
        words += ["--threshold", self.threshold] if self.threshold is not None else []
        words += ["--specialists", self.specialists] if self.specialists is not None else []
        words += ["--workers", self.workers] if self.workers else []
        words += ["--address", self.address] if self.address != "local" else []
        words += [word for name in self.trust for word in ("--trust", name)]
        return shlex.join(map(str, [*words, "--out", folder]))


def known_terms(plan: ReportPlan) -> Record | None:
    """Return what the report that goes on says of itself; None where there is none, or it has only begun.

    Raises:
        BadInput: there is no such report.
    """
    if not plan.resume:
        return None
    if not plan.out:
        raise bad_input("missing option", where="transfer --resume", expected="--out with the folder", got=None)
    if not (Path(plan.out) / OUTCOMES).is_dir():
        raise bad_input("--out", where="transfer --resume", expected="the folder of a report", got=plan.out)
    return read_record(Path(plan.out))


def terms_of(plan: ReportPlan, name: str, suite: Suite, known: Record | None) -> Record:
    """Return what a report is made under: what is asked for, and where nothing is, what is known of it.

    Raises:
        BadInput: what is asked for is not how the agents that are in it were measured.
    """
    threshold = plan.threshold if plan.threshold is not None else known.threshold if known else None
    if plan.fine_tune and threshold is None:
        threshold = THRESHOLD
    terms = Record(
        suite=name if name in suite_names() else str(Path(name).resolve()),
        suite_sha256=fingerprint(suite),
        seeds=plan.seeds or (known.seeds if known else 10),
        seed=plan.seed if plan.seed is not None else known.seed if known else 0,
        adapt=plan.adapt or (known.adapt if known else "no"),
        threshold=threshold,
        versions=versions(),
    )
    if known is None:
        return terms
    known.require_same(terms, where=f"transfer --resume {plan.out}")
    return replace(terms, members=known.members)
