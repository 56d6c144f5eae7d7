"""What a job will do, checked where it is sent from: there the user sees what is wrong at once."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from wormwood.configs.custom import load_modules
from wormwood.errors import bad_input
from wormwood.launch.clusters.files import SshCluster
from wormwood.launch.clusters.state import ClusterState
from wormwood.launch.run.custom_code import own_folders
from wormwood.launch.run.trust import custom_names, recall, remember
from wormwood.launch.storage.mirrors import check_out, has_run, is_url

__all__ = ["CODE", "JOB", "VERBS", "Job", "Place", "plan_job", "wasted_processors"]

VERBS = ("train", "transfer")
"""Verbs of the command line that are jobs."""


@dataclass(frozen=True)
class Job:
    """What a job does: a verb of the command line."""

    verb: str
    words: tuple[str, ...]
    """Its arguments; of ``train`` all but preset, seed and overrides, which are in ``config``."""
    config: str | None = None
    """A training's configuration in full, so that presets of the user need not be on the cluster."""
    out: str | None = None
    """The folder of its run or report, on a file system that all nodes share, or the URL of its run."""
    folder: str | None = None
    """Where it works, which relative paths in its arguments start from; None: anywhere."""
    code: tuple[str, ...] = ()
    """Folders of this machine with the modules of the user's that it needs, which are sent along."""

    def to_json(self) -> str:
        """Return the text of the environment variable ``JOB``."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Place:
    """Where a job will run."""

    workers: int
    """Workers that there is room for: what a job takes unless told."""
    here: bool
    """Whether its files are on this machine."""
    runs: str | None
    """Folder of runs without ``--out``; None: there has to be one."""

    @classmethod
    def of(cls, state: ClusterState) -> Self:
        """Return the place that a running cluster is."""
        here = not isinstance(state.parsed(), SshCluster)
        return cls(sum(node.cpus for node in state.nodes.values()), here, "runs" if here else None)

    @property
    def folder(self) -> str | None:
        """Where a job works: where we are, if its files are on this machine."""
        return str(Path.cwd()) if self.here else None


def plan_job(words: Sequence[str], place: Place, parse: Callable[[Sequence[str]], tuple[Any, list[str]]]) -> Job:
    """Check the arguments of a verb.

    Args:
        words: the verb and its arguments.
        place: where the job will run.
        parse: tells the options from what is unknown, as the command line does.

    Raises:
        BadInput: the verb is not one for jobs, or any argument is wrong.
    """
    if not words or words[0] not in VERBS:
        got = words[0] if words else None
        raise bad_input("job", where="cluster submit", expected=f"one of {', '.join(VERBS)}", got=got, nearest_to=VERBS)
    options, unknown = parse(words)
    if unknown:
        options.parser.refuse(unknown[0])
    where = f"cluster submit {words[0]}"
    if options.address != "local":
        expected = "none: a job runs on the cluster that it is sent to"
        raise bad_input("--address", where=where, expected=expected, got=options.address)
    if words[0] == "train":
        return _plan_training(words[1:], options, place, where=where)
    return _plan_transfer(words[1:], options, place, where=where)


def _plan_training(words: Sequence[str], options: Any, place: Place, *, where: str) -> Job:
    from wormwood.launch.run.settings import config_folder, load_config

    words = ["--workers", str(_workers(words, options, place)), *(["--tensorboard"] if options.tensorboard else [])]
    if options.resume:
        words += [word for override in options.overrides for word in ("--set", override)]
        out = _shared_folder(options, place, where=where)
        classes, folder = recall(out)
        trusted, code = _own_code([*classes, *options.trust], folder)
        return Job("train", (*words, *trusted), out=out, folder=place.folder, code=code)
    if options.preset is None:
        raise bad_input("missing preset", where=where, expected="a preset or a .yaml file", got=None)
    config = load_config(options.preset, overrides=options.overrides, seed=options.seed)
    out = _shared_folder(options, place, where=where, default=Path(options.preset).stem)
    _require_new(out, place, where=where)
    classes = custom_names(config.to_mapping())
    remember(out, classes, config_folder(options.preset))
    trusted, code = _own_code(classes, config_folder(options.preset))
    words += trusted  # where it is started again, it is a run that goes on
    return Job("train", tuple(words), config=config.to_yaml(), out=out, folder=place.folder, code=code)


def wasted_processors(job: Job, place: Place) -> int:
    """Return how many processors of its place a training leaves idle: it plays as many shards at once as it has."""
    if job.config is None:
        return 0
    from wormwood.launch.run.settings import parse_config

    trusted = [name for option, name in zip(job.words, job.words[1:], strict=False) if option == "--trust"]
    shards = parse_config(job.config, where="job", trust=trusted).shards
    workers = int(job.words[job.words.index("--workers") + 1])
    return max(0, place.workers - min(shards, workers))


def _workers(words: Sequence[str], options: Any, place: Place) -> int:
    """Return the workers that were asked for, 0 among them; as many as there is room for unless told."""
    told = any(word.partition("=")[0] == "--workers" for word in words)
    return int(options.workers or (0 if told else place.workers))


def _own_code(classes: Sequence[str], folder: Path) -> tuple[list[str], tuple[str, ...]]:
    """Return the options by which a job trusts what is the user's own, and the folders with the modules."""
    names = list(dict.fromkeys(classes))
    load_modules(names, folder)
    folders = own_folders(name.partition(":")[0] for name in names)
    return [word for name in names for word in ("--trust", name)], tuple(
        sorted({str(path) for path in folders.values()})
    )


def _plan_transfer(words: Sequence[str], options: Any, place: Place, *, where: str) -> Job:
    """Plan a report. Agents and a suite of one's own are files, which have to be where the job runs."""
    from wormwood.launch.run.agent_files import BUILT_IN, load_agent
    from wormwood.launch.transfer.entrants import runs_of_argument
    from wormwood.launch.transfer.plan import SPECIALISTS, STANDARD
    from wormwood.launch.transfer.suites import load_suite, suite_names

    suite = options.suite or STANDARD
    agents = [text for agent in options.agents for text in (runs_of_argument(agent)[1] if place.here else [agent])]
    files = [("agent", agent) for agent in agents if agent not in BUILT_IN]
    files += [("--suite", suite)] if suite not in suite_names() else []
    trains = options.retention or options.fine_tune
    files += [("--specialists", options.specialists or SPECIALISTS)] if trains else []
    for what, path in files:
        if not (place.here or re.sub(r"^([\w.-]+=)?(\w+:)?", "", path).startswith("/")):
            expected = "a path from the root, on a file system that all nodes share"
            raise bad_input(what, where=where, expected=expected, got=path)
    classes = list(options.trust)
    for agent in agents:
        known, folder = recall(agent)
        load_modules(known, folder)
        classes += known
    if place.here:
        load_suite(suite, trust=options.trust)
        for agent in agents:
            load_agent(agent, trust=options.trust)
    trusted, code = _own_code(classes, Path())
    default = None if options.resume else f"transfer-{Path(suite).stem}"
    out = _shared_folder(options, place, where=where, default=default)
    if not options.resume:
        _require_new(out, place, where=where)
    # The last of several equal options is the one that counts.
    workers = ["--workers", str(_workers(words, options, place))]
    return Job("transfer", (*words, *workers, *trusted), out=out, folder=place.folder, code=code)


def _shared_folder(options: Any, place: Place, *, where: str, default: str | None = None) -> str:
    """Return ``--out`` in full, or a new folder whose name begins with ``default``. Trainings may go to a URL."""
    out: str | None = options.out
    if out is None and default is not None and place.runs is not None:
        out = f"{place.runs}/{default}-{secrets.token_hex(4)}"
    if out is None:
        expected = "--out with a folder on a file system that all nodes share"
        raise bad_input("missing option", where=where, expected=expected, got=None)
    check_out(out)
    if is_url(out) and options.verb == "train":
        return out
    if is_url(out) or not (place.here or Path(out).is_absolute()):
        expected = "a folder on a file system that all nodes share" + ("" if place.here else ", from the root")
        raise bad_input("--out", where=where, expected=expected, got=out)
    return str(Path(out).resolve()) if place.here else out


def _require_new(out: str, place: Place, *, where: str) -> None:
    taken = has_run(out) if is_url(out) else place.here and Path(out).exists()
    if taken:
        raise bad_input("--out", where=where, expected="a new folder, or --resume", got=out)


CODE = "own-code"
"""Folder, in what a job takes along, of the modules of the user's."""
JOB = "WORMWOOD_JOB"
"""Environment variable that holds a ``plans.Job`` as JSON."""
