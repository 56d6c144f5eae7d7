"""Makes a report: measures agents on the bodies of a suite, trains where that is asked for, and writes the files.

What is finished is on the disk at once: a report that was stopped goes on where it stood.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wormwood.envs.bodies import told_from_swimmer
from wormwood.errors import BadInput, bad_input
from wormwood.launch.run.evaluation import timestep_notes
from wormwood.launch.run.opening import free_folder
from wormwood.launch.run.training import Interrupted
from wormwood.launch.storage.mirrors import is_url
from wormwood.launch.transfer.entrants import Entrant, load_entrants, name_entrants
from wormwood.launch.transfer.execution import OutcomeFiles, measure
from wormwood.launch.transfer.plan import OUTCOMES, SPECIALISTS, STANDARD, ReportPlan, known_terms, terms_of
from wormwood.launch.transfer.record import Member, Record
from wormwood.launch.transfer.results import Results
from wormwood.launch.transfer.specialists import config_of
from wormwood.launch.transfer.suites import Suite, SuiteBody, load_suite
from wormwood.launch.transfer.tuning import Request, Tuning, tune
from wormwood.launch.transfer.zero_shot import EvaluationJob, Outcome

__all__ = ["Report", "make_report"]

Bar = Callable[[str, float], AbstractContextManager[Any]]
"""Shows, while a block runs, what is being done; gives a function of how much of the total is, and what now."""


@dataclass(frozen=True)
class Report:
    """A report that was made."""

    page: Path
    """The page for people; the files for scripts are beside it."""
    results: Results
    """What was measured; ``results.rows`` has one mapping for each agent and body."""
    notes: tuple[str, ...] = ()
    """What else a reader must know."""


def _no_bar(doing: str, total: float) -> AbstractContextManager[Any]:
    return contextlib.nullcontext(lambda done, doing=None: None)


def make_report(plan: ReportPlan, *, bar: Bar = _no_bar) -> Report:
    """Measure agents on the bodies of a suite, and write a report.

    Args:
        plan: what is asked for.
        bar: shows how far it is.

    Raises:
        BadInput: an agent, the suite or the output folder is wrong.
        Interrupted: the user stopped it; the message says how to go on.
    """
    known = known_terms(plan)
    name = plan.suite or (known.suite if known else STANDARD)
    suite, entrants = load_suite(name, trust=plan.trust), load_entrants(plan.agents, trust=plan.trust)
    if plan.trains and not suite.retention:
        expected = "a suite that names bodies under `retention`"
        raise bad_input("--retention", where="transfer", expected=expected, got=suite.name)
    terms = terms_of(plan, name, suite, known)
    joined = {entry.key: entry for entry in (*(m.entry for m in terms.members), *(e.entry for e in entrants))}
    name_entrants(list(joined.values()))  # which refuses what cannot be told apart
    work = _Work(plan, suite, terms, entrants, _open_folder(plan, suite), bar)
    work.measure()
    if plan.trains:
        work.tune()
    return work.write()


def _open_folder(plan: ReportPlan, suite: Suite) -> Path:
    """Return the folder of the report, which is made where it is new.

    Raises:
        BadInput: it cannot be written, or has something else in it.
    """
    if plan.out and is_url(plan.out):
        raise bad_input("--out", where="transfer", expected="a folder on this machine", got=plan.out)
    folder = Path(plan.out) if plan.out else free_folder(f"transfer-{suite.name}")
    try:
        if not plan.resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            begun = (folder / OUTCOMES).is_dir()
            what = "already has a report: add --resume" if begun else "is not empty and has no report:"
            raise BadInput(f"--out {folder} {what} or choose another --out")
        (folder / OUTCOMES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write to the output folder {folder}: {error.strerror}; choose another --out") from error
    return folder


@dataclass
class _Work:
    """A report on its way."""

    plan: ReportPlan
    suite: Suite
    terms: Record
    """Its members are those that were in the report before, and then those that it has."""
    entrants: list[Entrant]
    folder: Path
    bar: Bar
    notes: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        return self.plan.command(self.folder, self.terms)

    def measure(self) -> None:
        """Play every agent on every body. Whoever was in the report before is not played again."""
        places = [(entrant, entry) for entry in self.suite.bodies for entrant in self.entrants]
        jobs = [self._job(entrant, entry) for entrant, entry in places]
        keys: dict[Any, dict[str, str]] = {entrant.entry.key: {} for entrant in self.entrants}
        for (entrant, entry), job in zip(places, jobs, strict=True):
            keys[entrant.entry.key][entry.body.name] = job.key
        self._join(keys)
        done = 0

        def count(finished: int) -> None:
            nonlocal done
            done = finished
            show(finished)

        workers = {"workers": self.plan.workers, "address": self.plan.address}
        with self.resumable(lambda: f"after {done} of {len(jobs)}"), self.bar("measuring", len(jobs)) as show:
            measure(jobs, self.folder / OUTCOMES, progress=count, **workers)  # type: ignore[arg-type]

    def _job(self, entrant: Entrant, entry: SuiteBody) -> EvaluationJob:
        terms = self.terms
        return EvaluationJob(
            entrant.agent, self.suite.spec(entry), starts=terms.seeds, seed=terms.seed, pad=terms.adapt == "pad"
        )

    def _join(self, keys: Mapping[Any, dict[str, str]]) -> None:
        """Put the agents that are to be played into the record, where they have their places already or at its end."""
        members = {}
        for member in self.terms.members:
            if member.entry.key in keys or self._outcomes(member) is not None:
                members[member.entry.key] = member
            else:
                self.notes.append(
                    f"{member.entry.text} was not finished in this report: to have it there, name it, too."
                )
        for entrant in self.entrants:
            key, before = entrant.entry.key, members.get(entrant.entry.key)
            is_same = before is not None and before.outcomes == keys[key]
            members[key] = Member(entrant.entry, keys[key], before.tunings if before and is_same else ())
        self._keep(members.values())

    def _keep(self, members: Iterable[Member]) -> None:
        self.terms = dataclasses.replace(self.terms, members=tuple(members))
        self.terms.write(self.folder)

    def _outcomes(self, member: Member) -> dict[str, Outcome] | None:
        """Return the outcomes of a member by body, or None where one is missing."""
        files = OutcomeFiles(self.folder / OUTCOMES)
        read = {body: files.read_key(key, self.terms.seeds) for body, key in member.outcomes.items()}
        found = {body: outcome for body, outcome in read.items() if outcome is not None}
        return found if len(found) == len(self.suite.bodies) else None

    def tune(self) -> None:
        """Train specialists, and fine-tune where that is asked for."""
        entries = [entry for entry in self.suite.bodies if entry.body.name in self.suite.retention]
        trust = self.plan.trust
        configs = {e.entry.key: config_of(e.entry.text, trust=trust) if e.is_file else None for e in self.entrants}
        self.notes += [
            f"{entrant.entry.text} is from no run of `wormwood train` on a swimmer: there is no specialist to compare "
            "it with."
            for entrant in self.entrants
            if configs[entrant.entry.key] is None
        ]
        places = [(e, config, body) for e in self.entrants if (config := configs[e.entry.key]) for body in entries]
        tunings: dict[Any, list[Tuning]] = {}
        done = 0
        with (
            self.resumable(lambda: f"after {done} of {len(places)} bodies"),
            self.bar("training", len(places)) as show,
            self._ray(),
        ):
            for done, (entrant, config, entry) in enumerate(places):
                spec, progress = self.suite.spec(entry), _added(show, done)
                tuning = tune(entrant.agent, config, spec, self._request, progress=progress)
                tunings.setdefault(entrant.entry.key, []).append(tuning)
        self._keep(
            dataclasses.replace(member, tunings=tuple(tunings.get(member.entry.key, member.tunings)))
            for member in self.terms.members
        )

    @property
    def _request(self) -> Request:
        plan, terms = self.plan, self.terms
        return Request(
            self.folder / OUTCOMES,
            Path(plan.specialists or SPECIALISTS),
            tuple(sorted(plan.fine_tune)),
            threshold=terms.threshold or 0.0,
            starts=terms.seeds,
            seed=terms.seed,
            pad=terms.adapt == "pad",
            workers=plan.workers,
            address=plan.address,
        )

    def write(self) -> Report:
        """Write the report of all that is measured."""
        results = self._results()
        told = [told_from_swimmer(entry.body) for entry in self.suite.bodies]
        self.notes += [*filter(None, told), *timestep_notes(results.rows)]
        # matplotlib is slow to load: only who draws waits for it.
        from wormwood.launch.transfer.report_files import write_report

        with self.resumable(lambda: "while drawing"), self.bar("drawing", 1.0) as show:
            page = write_report(results, self.folder, command=self.command, notes=self.notes, progress=show)
        return Report(page, results, tuple(self.notes))

    def _results(self) -> Results:
        named = list(zip(name_entrants([m.entry for m in self.terms.members]), self.terms.members, strict=True))
        groups: dict[str, list[str]] = {}
        for (name, run), _ in named:
            groups.setdefault(name, []).append(run)
        outcomes = {(run, body): o for (_, run), m in named for body, o in (self._outcomes(m) or {}).items()}
        tunings = [dataclasses.replace(tuning, agent=run) for (_, run), member in named for tuning in member.tunings]
        return Results(
            self.suite,
            tuple(groups),
            outcomes,
            seed=self.terms.seed,
            tunings=tuple(tunings),
            groups={name: tuple(runs) for name, runs in groups.items() if runs != [name]},
        )

    @contextlib.contextmanager
    def resumable(self, place: Callable[[], str]) -> Iterator[None]:
        """Tell a user who stops the block where it stood, and how to go on."""
        try:
            yield
        except KeyboardInterrupt:
            raise Interrupted(f"stopped {place()}; go on with: {self.command} --resume") from None

    def _ray(self) -> AbstractContextManager[None]:
        """Return one connection to Ray for all training runs, where they use it."""
        if not self.plan.workers:
            return contextlib.nullcontext()
        from wormwood.launch.run.ray_session import ray_session

        return ray_session(self.plan.workers, address=self.plan.address)


def _added(show: Any, done: int) -> Callable[[str, float], None]:
    return lambda doing, share: show(done + share, doing)
