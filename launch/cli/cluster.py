"""The verb `wormwood cluster`."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wormwood.errors import bad_input
from wormwood.launch.cli.arguments import Parser, add_verb
from wormwood.launch.cli.console import note, print_json, print_table, print_text
from wormwood.launch.clusters.api import ClusterError
from wormwood.launch.clusters.control import cluster_down, cluster_status, cluster_up, open_head
from wormwood.launch.clusters.files import load_cluster
from wormwood.launch.clusters.jobs import follow_job, list_jobs, send_job, stop_job
from wormwood.launch.clusters.manifests import make_manifests, place_of, write_manifests
from wormwood.launch.clusters.plans import VERBS, Place, plan_job, wasted_processors
from wormwood.launch.clusters.state import require_state
from wormwood.launch.run.training import Interrupted
from wormwood.launch.storage.versions import installed_versions

__all__ = ["add_cluster"]

DEFAULT = "local"
FILE_HELP = "a cluster file, or the name of one that comes with the package; default: local"


def add_cluster(verbs: Any) -> None:
    """Add the verb with its own verbs."""
    parser: Parser = verbs.add_parser(
        "cluster",
        help="start, watch and end a Ray cluster, and train on it",
        description="Start, watch and end a Ray cluster, and train on it. Strangers are kept out by a token.",
        epilog="example: wormwood cluster up && wormwood cluster submit train swim-ncap-ppo --workers 2",
    )
    inner = parser.add_subparsers(dest="action", metavar="action", required=True, parser_class=Parser)
    add_up = add_verb(inner, "up", up_command, "start a cluster, or what it lacks", "wormwood cluster up")
    add_status = add_verb(inner, "status", status_command, "show nodes and jobs", "wormwood cluster status")
    add_down = add_verb(inner, "down", down_command, "end what up started", "wormwood cluster down")
    for verb in (add_up, add_status, add_down):
        verb.add_argument("file", nargs="?", default=DEFAULT, help=FILE_HELP)
    _add_submit(inner)
    _add_manifest(inner)


def _add_submit(verbs: Any) -> None:
    example = "wormwood cluster submit local --detach train swim-ncap-ppo --seed 1"
    parser = add_verb(verbs, "submit", submit_command, "have the cluster train or transfer", example)
    parser.usage = "wormwood cluster submit [FILE] [options] train|transfer ARGUMENTS"
    _add_submit_options(parser)
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, help="[FILE] [options], then train or transfer as you know them"
    )


def _add_submit_options(parser: Parser) -> None:
    parser.add_argument("--detach", action="store_true", help="do not wait for the end")
    parser.add_argument("--follow", metavar="JOB", help="follow a job that runs, in place of a new one")
    parser.add_argument("--stop", metavar="JOB", help="stop a job that runs; a training leaves a checkpoint")
    parser.add_argument(
        "--send-package", action="store_true", help="send this installation of the package, if it is not the cluster's"
    )


def _add_manifest(verbs: Any) -> None:
    example = "wormwood cluster manifest kuberay-example --out manifests train swim-ncap-ppo"
    parser = add_verb(verbs, "manifest", manifest_command, "write files for KubeRay, Slurm or ray up", example)
    parser.usage = "wormwood cluster manifest FILE [--out DIR] [train|transfer ARGUMENTS]"
    parser.add_argument("--out", help="folder to write to; default: print")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="FILE [options], then what the job shall do")


def manifest_command(options: argparse.Namespace) -> None:
    """Write or print what other launchers read."""
    given = options.out
    options = _split(options, lambda parser: parser.add_argument("--out", default=given))
    cluster = load_cluster(options.file)
    place = place_of(cluster)
    job = plan_job(options.words, place, options.parse) if options.words else None
    if job and (wasted := wasted_processors(job, place)):
        note(f"{wasted} of {place.workers} processors stay idle: the training has fewer workers or shards")
    files = make_manifests(cluster, job, installed_versions())
    paths = write_manifests(cluster, files, Path(options.out)) if options.out else []
    if options.json:
        print_json({"kind": cluster.kind, "files": files, "paths": [str(path) for path in paths]})
    elif paths:
        print_text("\n".join(f"wrote {path}" for path in paths))
    else:
        print_text("---\n".join(files.values()))


def submit_command(options: argparse.Namespace) -> None:
    """Send a job, or follow or stop one.

    Raises:
        BadInput: the arguments are wrong, or the cluster does not run.
        ClusterError: the job failed.
    """
    options = _split(options, _add_submit_options)
    state = require_state(load_cluster(options.file))
    with open_head(state) as head:
        if options.stop:
            status = stop_job(head, options.stop)
            _report(options, {"job": options.stop, "cluster": state.name, "status": status})
            return
        if options.follow and options.words:
            raise bad_input("job", where="cluster submit --follow", expected="no new one", got=options.words[0])
        name = options.follow
        if not name:
            job = plan_job(options.words, Place.of(state), options.parse)
            name = send_job(head, state, job, send_package=options.send_package)
            if options.detach:
                _report(options, {"job": name, "cluster": state.name, "status": "PENDING", "run": job.out})
                return
        if options.follow:
            head.get(f"/api/jobs/{name}")  # which says so where there is no such job
        if not options.json:
            note(f"{name}; it goes on without this terminal: wormwood cluster submit {options.file} --follow {name}")
        try:
            ended = follow_job(head, name, note if not options.json else lambda text: None)
        except KeyboardInterrupt:
            raise Interrupted(f"{name} goes on; wormwood cluster submit {options.file} --stop {name}") from None
        list_jobs(head, state)  # which notes that it has ended
    message = ended.pop("message")
    if ended["status"] != "SUCCEEDED":
        raise ClusterError(f"job {name} {ended['status'].lower()}: {message.removeprefix('wormwood: ')}")
    _report(options, {"job": name, "cluster": state.name, **ended})


def _split(options: argparse.Namespace, add_options: Callable[[Parser], object]) -> argparse.Namespace:
    """Tell the file and options of a verb from the verb of the job and what belongs to that."""
    words, prog = options.words, options.parser.prog
    start = next((index for index, word in enumerate(words) if word in VERBS), len(words))
    parser = Parser(prog=prog, add_help=False)
    parser.add_argument("file", nargs="?", default=DEFAULT)
    parser.add_argument("--json", action="store_true")
    add_options(parser)
    parsed, unknown = parser.parse_known_args([word for word in words[:start] if word != "--"])
    if unknown:
        # Where no word is a verb, the one that was meant for it is the second of FILE and VERB, or the first.
        wrong = next((word for word in words if difflib.get_close_matches(word, VERBS)), unknown[0])
        got, expected = (
            wrong if start == len(words) else unknown[0],
            f"a cluster file, an option, then {' or '.join(VERBS)}",
        )
        raise bad_input("argument", where=prog, expected=expected, got=got, nearest_to=VERBS)
    # Options may stand before the file, where the outer parser has read them.
    merged = {name: value or getattr(options, name, None) for name, value in vars(parsed).items()}
    # Where the job is asked for JSON, it is the answer that is meant: jobs always print it.
    merged["json"] = merged["json"] or "--json" in words[start:]
    job = [word for word in words[start:] if word != "--json"]
    return argparse.Namespace(**{**merged, "parse": options.parse, "words": job})


def _report(options: argparse.Namespace, result: dict[str, Any]) -> None:
    if options.json:
        print_json(result)
        return
    inner = result.pop("result", None) or {}
    rows = [(name, value) for name, value in {**result, **inner}.items() if value is not None]
    print_table("", ["what", "value"], rows)


def up_command(options: argparse.Namespace) -> None:
    """Start a cluster, or what it lacks."""
    cluster = load_cluster(options.file)
    cluster_up(cluster, note=(lambda text: None) if options.json else note)
    status = cluster_status(cluster)
    _show(status, options)
    if not options.json:
        print_text(
            f"The dashboard asks for the token: open {status['dashboard']}, and paste what is in {status['token']}"
        )


def status_command(options: argparse.Namespace) -> None:
    """Show how a cluster is."""
    _show(cluster_status(load_cluster(options.file)), options)


def down_command(options: argparse.Namespace) -> None:
    """End what ``up`` started."""
    result = cluster_down(load_cluster(options.file))
    if options.json:
        print_json(result)
    elif result["was_running"]:
        print_text(f"ended cluster {result['cluster']}: {result['processes_ended']} processes")
        for host, folder in result["logs"].items():
            print_text(f"logs of nodes and jobs: {folder} on {host}")
    else:
        print_text(f"cluster {result['cluster']} does not run: it has no state, and no process carries its name")


def _print_rows(title: str, columns: list[str], rows: list[dict[str, Any]]) -> None:
    print_table(title, columns, [["" if row.get(name) is None else row[name] for name in columns] for row in rows])


def _show(status: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print_json(status)
        return
    names = ("cluster", "kind", "state", "address", "dashboard", "client", "token")
    print_table("", ["what", "value"], [(name, status[name]) for name in names])
    columns = ["name", "group", "host", "state", "process", "cpus", "gpus", "object_store_used"]
    _print_rows("nodes", columns, status["nodes"])
    _print_rows("rollout workers", ["name", "workers", "steps_per_second", "idle_share", "restarts"], status["nodes"])
    if status["learner"]:
        _print_rows("learner service", ["node", "process", "idle_share", "restarts"], [status["learner"]])
    if status["jobs"]:
        columns = ["job", "status", "run"]
        print_table("jobs", columns, [[job[name] or "" for name in columns] for job in status["jobs"]])
