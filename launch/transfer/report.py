"""Makes a report: measures agents on the bodies of a suite, trains where that is asked for, and writes the files.

What is finished is on the disk at once: a report that was stopped goes on where it stood.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wormwood.envs.specs import SwimmerSpec
from wormwood.errors import BadInput, bad_input
from wormwood.launch.run.agent_files import Agent, load_agent
from wormwood.launch.run.opening import free_folder
from wormwood.launch.run.training import Interrupted
from wormwood.launch.transfer.execution import measure
from wormwood.launch.transfer.results import Results
from wormwood.launch.transfer.specialists import config_of
from wormwood.launch.transfer.suites import Suite, load_suite
from wormwood.launch.transfer.tuning import Request, Tuning, tune
from wormwood.launch.transfer.zero_shot import EvaluationJob

__all__ = ["OUTCOMES", "SPECIALISTS", "Report", "ReportPlan", "make_report"]

OUTCOMES = "outcomes"
"""Folder of finished jobs: a folder that has it holds a report, or the beginning of one."""
SPECIALISTS = "runs/specialists"

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


@dataclass(frozen=True)
class ReportPlan:
    """What `wormwood transfer` is asked for."""

    agents: tuple[str | Agent, ...]
    """Anything that ``load_agent`` takes, or agents."""
    suite: str = "standard"
    """A name of `wormwood list suites`, or a YAML file."""
    out: str | None = None
    """Folder of the report; None makes a new one in ``runs/``."""
    resume: bool = False
    """Go on with the report in ``out``."""
    seeds: int = 10
    """Held-out starts on each body."""
    seed: int = 0
    """Of the held-out starts."""
    adapt: Literal["no", "pad"] = "no"
    """What is done with agents that do not fit a body: they are marked, or padded."""
    retention: bool = False
    """Compare with specialists, trained on each body that the suite names for that."""
    fine_tune: tuple[float, ...] = ()
    """Shares of the training budget at which fine-tuned agents are judged; implies ``retention``."""
    specialists: str = SPECIALISTS
    """Folder of training runs."""
    workers: int = 0
    """Ray workers that measure; 0 measures in this process. The results are the same."""
    address: str = "local"
    """Of a running Ray cluster; ``"local"`` starts one."""
    trust: tuple[str, ...] = ()
    """Classes ``module:Class``, or modules, that the files of the agents may name."""

    @property
    def names(self) -> tuple[str, ...]:
        """The agents as they were named."""
        return tuple(agent.name if isinstance(agent, Agent) else agent for agent in self.agents)

    @property
    def trains(self) -> bool:
        """Whether specialists are trained."""
        return self.retention or bool(self.fine_tune)

    def command(self, folder: Path) -> str:
        """Return the command that makes the same report in a folder, whatever of it is there already."""
        words: list[object] = ["wormwood", "transfer", *self.names, "--suite", self.suite, "--seeds", self.seeds]
        words += ["--seed", self.seed] if self.seed else []
        words += ["--adapt", self.adapt] if self.adapt != "no" else []
        words += ["--retention"] if self.retention else []
        words += ["--fine-tune", *self.fine_tune] if self.fine_tune else []
        words += ["--specialists", self.specialists] if self.specialists != SPECIALISTS else []
        words += ["--workers", self.workers] if self.workers else []
        words += ["--address", self.address] if self.address != "local" else []
        words += [word for name in self.trust for word in ("--trust", name)]
        return shlex.join(map(str, [*words, "--out", folder]))


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
    suite, agents = load_suite(plan.suite, trust=plan.trust), _load_agents(plan)
    if plan.trains and not suite.retention:
        expected = "a suite that names bodies under `retention`"
        raise bad_input("--retention", where="transfer", expected=expected, got=suite.name)
    work = _Work(plan, suite, agents, _open_folder(plan, suite), bar)
    results, (tunings, notes) = work.measure(), work.tune() if plan.trains else ((), ())
    results = dataclasses.replace(results, tunings=tunings)
    # matplotlib is slow to load: only who draws waits for it.
    from wormwood.launch.transfer.report_files import write_report

    with work.resumable(lambda: "while drawing"), bar("drawing", 1.0) as show:
        page = write_report(results, work.folder, command=work.command, notes=notes, progress=show)
    return Report(page, results, notes)


def _load_agents(plan: ReportPlan) -> list[tuple[str, Agent]]:
    """Return the agents by the names that rows call them: their own, or where two have the same, what was typed."""
    texts = plan.names
    for text, count in Counter(texts).items():
        if count > 1:
            raise bad_input("agent", where="transfer", expected="each agent once", got=text)
    agents = [agent if isinstance(agent, Agent) else load_agent(agent, trust=plan.trust) for agent in plan.agents]
    for text, agent in zip(texts, agents, strict=True):
        if agent.spec is not None and not isinstance(agent.spec, SwimmerSpec):
            expected = "an agent that swims"
            raise bad_input("agent", where="transfer", expected=expected, got=f"{text}, trained in {agent.spec.name}")
    names = Counter(agent.name for agent in agents)
    return [(agent.name if names[agent.name] == 1 else text, agent) for text, agent in zip(texts, agents, strict=True)]


def _open_folder(plan: ReportPlan, suite: Suite) -> Path:
    """Return the folder of the report, which is made where it is new.

    Raises:
        BadInput: it cannot be written, or is not what the plan says.
    """
    if plan.resume and not plan.out:
        raise bad_input("missing option", where="transfer --resume", expected="--out with the folder", got=None)
    folder = Path(plan.out) if plan.out else free_folder(f"transfer-{suite.name}")
    begun = (folder / OUTCOMES).is_dir()
    if plan.resume and not begun:
        raise bad_input("--out", where="transfer --resume", expected="the folder of a report", got=str(folder))
    if not plan.resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "already has a report: add --resume" if begun else "is not empty and has no report:"
        raise BadInput(f"--out {folder} {what} or choose another --out")
    try:
        (folder / OUTCOMES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write to the output folder {folder}: {error.strerror}; choose another --out") from error
    return folder


@dataclass(frozen=True)
class _Work:
    """A report on its way."""

    plan: ReportPlan
    suite: Suite
    agents: list[tuple[str, Agent]]
    folder: Path
    bar: Bar

    @property
    def command(self) -> str:
        return self.plan.command(self.folder)

    def measure(self) -> Results:
        """Play every agent on every body."""
        plan = self.plan
        places = [(name, agent, entry) for entry in self.suite.bodies for name, agent in self.agents]
        jobs = [
            EvaluationJob(agent, self.suite.spec(entry), starts=plan.seeds, seed=plan.seed, pad=plan.adapt == "pad")
            for _, agent, entry in places
        ]
        done = 0

        def count(finished: int) -> None:
            nonlocal done
            done = finished
            show(finished)

        with self.resumable(lambda: f"after {done} of {len(jobs)}"), self.bar("measuring", len(jobs)) as show:
            outcomes = measure(jobs, self.folder / OUTCOMES, workers=plan.workers, address=plan.address, progress=count)
        by_place = {(name, entry.body.name): o for (name, _, entry), o in zip(places, outcomes, strict=True)}
        return Results(self.suite, tuple(name for name, _ in self.agents), by_place, seed=plan.seed)

    def tune(self) -> tuple[tuple[Tuning, ...], tuple[str, ...]]:
        """Return agents beside specialists, and why some have none."""
        plan = self.plan
        entries = [entry for entry in self.suite.bodies if entry.body.name in self.suite.retention]
        request = Request(
            self.folder / OUTCOMES,
            Path(plan.specialists),
            tuple(sorted(plan.fine_tune)),
            starts=plan.seeds,
            seed=plan.seed,
            pad=plan.adapt == "pad",
            workers=plan.workers,
            address=plan.address,
        )
        tunings: list[Tuning] = []
        configs = [None if isinstance(agent, Agent) else config_of(agent, trust=plan.trust) for agent in plan.agents]
        notes = tuple(
            f"{name} is from no run of `wormwood train` on a swimmer: there is no specialist to compare it with."
            for (name, _), config in zip(self.agents, configs, strict=True)
            if config is None
        )
        pairs = zip(self.agents, configs, strict=True)
        places = [(n, a, c, e) for (n, a), c in pairs if c is not None for e in entries]
        with (
            self.resumable(lambda: f"after {len(tunings)} of {len(places)} bodies"),
            self.bar("training", len(places)) as show,
            self._ray(),
        ):
            for name, agent, config, entry in places:
                tuning = tune(agent, config, self.suite.spec(entry), request, progress=_added(show, len(tunings)))
                tunings.append(dataclasses.replace(tuning, agent=name))
        return tuple(tunings), notes

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
