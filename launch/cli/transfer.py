"""The verb `wormwood transfer`."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from wormwood.envs.specs import SwimmerSpec
from wormwood.errors import BadInput, bad_input
from wormwood.launch.cli.arguments import AGENT_HELP, add_verb, episodes, number, seed, workers
from wormwood.launch.cli.console import note, print_json, print_table, print_text, progress_bar
from wormwood.launch.run.agent_files import Agent, load_agent
from wormwood.launch.run.opening import free_folder
from wormwood.launch.run.training import Interrupted
from wormwood.launch.transfer.execution import measure
from wormwood.launch.transfer.results import ROW_KEYS, Results
from wormwood.launch.transfer.specialists import config_of
from wormwood.launch.transfer.suites import Suite, load_suite, suite_names
from wormwood.launch.transfer.tuning import Request, Tuning, tune
from wormwood.launch.transfer.zero_shot import EvaluationJob

__all__ = ["add_transfer", "transfer_command"]

OUTCOMES = "outcomes"
"""Folder of finished jobs: a folder that has it holds a report, or the beginning of one."""


def add_transfer(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    example = "wormwood transfer ncap random --suite quick"
    summary = "measure what agents keep on bodies that they never saw"
    parser = add_verb(verbs, "transfer", transfer_command, summary, example)
    parser.add_argument("agents", nargs="+", metavar="agent", help=AGENT_HELP)
    suites = ", ".join(suite_names())
    parser.add_argument("--suite", default="standard", help=f"one of {suites}, or a YAML file; default standard")
    parser.add_argument("--seeds", type=episodes, default=10, help="held-out starts on each body; default 10")
    parser.add_argument("--seed", type=seed, default=0, help="of the held-out starts; default 0")
    parser.add_argument("--workers", type=workers, default=0, help="Ray workers that measure; 0 uses none")
    parser.add_argument("--address", default="local", help="of a running Ray cluster; default: one of its own")
    parser.add_argument("--out", help="folder of the report; default: a new one in runs/")
    parser.add_argument("--resume", action="store_true", help="go on with the report in --out")
    parser.add_argument(
        "--adapt", choices=("no", "pad"), default="no", help="pad agents that do not fit a body, or (no) mark them"
    )
    parser.add_argument("--retention", action="store_true", help="compare with specialists, trained on each body")
    parser.add_argument(
        "--fine-tune", nargs="+", type=_share, default=[], metavar="SHARE", help="of the budget; implies --retention"
    )
    parser.add_argument(
        "--specialists", default="runs/specialists", help="folder of training runs; default runs/specialists"
    )


_share = functools.partial(number, parse=float, what="a share of the budget", least=1e-6, most=100.0)


def transfer_command(options: argparse.Namespace) -> None:
    """Measure agents on the bodies of a suite, and write a report.

    Raises:
        BadInput: an agent, the suite or the output folder is wrong.
        Interrupted: the user stopped it; the message says how to go on.
    """
    suite, agents = load_suite(options.suite), _load_agents(options.agents)
    trains = options.retention or bool(options.fine_tune)
    if trains and not suite.retention:
        expected = "a suite that names bodies under `retention`"
        raise bad_input("--retention", where="transfer", expected=expected, got=suite.name)
    folder = _open_folder(options, suite)
    command = _command(options, folder)
    results = _measure(options, suite, agents, folder=folder, command=command)
    notes: list[str] = []
    if trains:
        tunings, notes = _tune(options, suite, agents, folder=folder, command=command)
        results = dataclasses.replace(results, tunings=tunings)
    # matplotlib is slow to load: only who draws waits for it.
    from wormwood.launch.transfer.report_files import write_report

    with _resumable(command, lambda: "while drawing"), _bar(options, "drawing", 1.0) as show:
        page = write_report(results, folder, command=command, notes=notes, progress=show)
    if options.json:
        rows = [{key: row[key] for key in ROW_KEYS} for row in results.rows]
        print_json({"report": str(page), "rows": rows})
        return
    for text in notes:
        note(text)
    _print(results, page)


def _load_agents(texts: Sequence[str]) -> list[tuple[str, Agent]]:
    """Return the agents by the names that rows call them: their own, or where two have the same, what was typed."""
    for text, count in Counter(texts).items():
        if count > 1:
            raise bad_input("agent", where="transfer", expected="each agent once", got=text)
    agents = [load_agent(text) for text in texts]
    for text, agent in zip(texts, agents, strict=True):
        if agent.spec is not None and not isinstance(agent.spec, SwimmerSpec):
            expected = "an agent that swims"
            raise bad_input("agent", where="transfer", expected=expected, got=f"{text}, trained in {agent.spec.name}")
    names = Counter(agent.name for agent in agents)
    return [(agent.name if names[agent.name] == 1 else text, agent) for text, agent in zip(texts, agents, strict=True)]


def _open_folder(options: argparse.Namespace, suite: Suite) -> Path:
    """Return the folder of the report, which is made where it is new.

    Raises:
        BadInput: it cannot be written, or is not what the options say.
    """
    if options.resume and not options.out:
        raise bad_input("missing option", where="transfer --resume", expected="--out with the folder", got=None)
    folder = Path(options.out) if options.out else free_folder(f"transfer-{suite.name}")
    begun = (folder / OUTCOMES).is_dir()
    if options.resume and not begun:
        raise bad_input("--out", where="transfer --resume", expected="the folder of a report", got=str(folder))
    if not options.resume and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "already has a report: add --resume" if begun else "is not empty and has no report:"
        raise BadInput(f"--out {folder} {what} or choose another --out")
    try:
        (folder / OUTCOMES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"cannot write to the output folder {folder}: {error.strerror}; choose another --out") from error
    return folder


def _command(options: argparse.Namespace, folder: Path) -> str:
    """Return the command that makes the same report, whatever of it is there already."""
    words = ["wormwood", "transfer", *options.agents, "--suite", options.suite, "--seeds", options.seeds]
    words += ["--seed", options.seed] if options.seed else []
    words += ["--adapt", options.adapt] if options.adapt != "no" else []
    words += ["--retention"] if options.retention else []
    words += ["--fine-tune", *options.fine_tune] if options.fine_tune else []
    words += ["--specialists", options.specialists] if options.specialists != "runs/specialists" else []
    words += ["--workers", options.workers] if options.workers else []
    words += ["--address", options.address] if options.address != "local" else []
    return shlex.join(map(str, [*words, "--out", folder]))


def _measure(
    options: argparse.Namespace, suite: Suite, agents: Sequence[tuple[str, Agent]], *, folder: Path, command: str
) -> Results:
    places = [(name, agent, entry) for entry in suite.bodies for name, agent in agents]
    jobs = [
        EvaluationJob(agent, suite.spec(entry), starts=options.seeds, seed=options.seed, pad=options.adapt == "pad")
        for _, agent, entry in places
    ]
    done = 0

    def count(finished: int) -> None:
        nonlocal done
        done = finished
        show(finished)

    with _resumable(command, lambda: f"after {done} of {len(jobs)}"), _bar(options, "measuring", len(jobs)) as show:
        outcomes = measure(jobs, folder / OUTCOMES, workers=options.workers, address=options.address, progress=count)
    by_place = {(name, entry.body.name): o for (name, _, entry), o in zip(places, outcomes, strict=True)}
    return Results(suite, tuple(name for name, _ in agents), by_place, seed=options.seed)


def _tune(
    options: argparse.Namespace, suite: Suite, agents: Sequence[tuple[str, Agent]], *, folder: Path, command: str
) -> tuple[tuple[Tuning, ...], list[str]]:
    """Return agents beside specialists, and why some have none."""
    entries = [entry for entry in suite.bodies if entry.body.name in suite.retention]
    request = Request(
        folder / OUTCOMES,
        Path(options.specialists),
        tuple(sorted(options.fine_tune)),
        starts=options.seeds,
        seed=options.seed,
        pad=options.adapt == "pad",
        workers=options.workers,
        address=options.address,
    )
    tunings: list[Tuning] = []
    configs = [config_of(text) for text in options.agents]
    notes = [
        f"{name} is from no run of `wormwood train` on a swimmer: there is no specialist to compare it with."
        for (name, _), config in zip(agents, configs, strict=True)
        if config is None
    ]
    places = [(n, a, c, e) for (n, a), c in zip(agents, configs, strict=True) if c is not None for e in entries]
    with (
        _resumable(command, lambda: f"after {len(tunings)} of {len(places)} bodies"),
        _bar(options, "training", len(places)) as show,
        _ray(options),
    ):
        for name, agent, config, entry in places:
            tuning = tune(agent, config, suite.spec(entry), request, progress=_added(show, len(tunings)))
            tunings.append(dataclasses.replace(tuning, agent=name))
    return tuple(tunings), notes


def _added(show: Any, done: int) -> Callable[[str, float], None]:
    return lambda doing, share: show(done + share, doing)


@contextlib.contextmanager
def _resumable(command: str, place: Callable[[], str]) -> Iterator[None]:
    """Tell a user who stops the block where it stood, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"stopped {place()}; go on with: {command} --resume") from None


def _ray(options: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """Return one connection to Ray for all training runs, where they use it."""
    if not options.workers:
        return contextlib.nullcontext()
    from wormwood.launch.run.ray_session import ray_session

    return ray_session(options.workers, address=options.address)


def _bar(options: argparse.Namespace, doing: str, total: float) -> Any:
    return contextlib.nullcontext(lambda done, doing=None: None) if options.json else progress_bar(doing, total)


def _print(results: Results, page: Path) -> None:
    """Print a table of bodies, the reasons of what could not be measured, and where the report is."""
    columns = ["agent", "body", "label", "return", "95 % interval", "speed (m/s)", "retention"]
    shown = [
        [
            row["agent"],
            row["body"],
            row["label"],
            "" if row["return_iqm"] is None else f"{row['return_iqm']:.1f}",
            "cannot act" if row["return_iqm"] is None else f"{row['return_low']:.0f} to {row['return_high']:.0f}",
            "" if row["speed_mean"] is None else f"{row['speed_mean']:.3f}",
            "" if row["retention"] is None else f"{row['retention']:.2f}",
        ]
        for row in results.rows
    ]
    title = f"suite {results.suite.name}: interquartile mean over starts, of at most {results.suite.task.horizon}"
    print_table(title, columns, shown)
    for agent in results.agents:
        reasons = [row["reason"] for row in results.rows if row["agent"] == agent and row["reason"]]
        if reasons:
            note(f"{agent} cannot act on {len(reasons)} bodies ({reasons[0]}); to pad and truncate it: --adapt pad")
    print_text(f"report: {page}")
