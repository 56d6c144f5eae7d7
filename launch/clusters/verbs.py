"""The verb `wormwood cluster`."""

from __future__ import annotations

import argparse
from typing import Any

from wormwood.launch.arguments import Parser, add_verb
from wormwood.launch.clusters.control import cluster_down, cluster_status, cluster_up
from wormwood.launch.clusters.files import load_cluster
from wormwood.launch.console import note, print_json, print_table, print_text

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
    for own in (add_up, add_status, add_down):
        own.add_argument("file", nargs="?", default=DEFAULT, help=FILE_HELP)


def up_command(options: argparse.Namespace) -> None:
    """Start a cluster, or what it lacks."""
    cluster = load_cluster(options.file)
    cluster_up(cluster, note=(lambda text: None) if options.json else note)
    _show(cluster_status(cluster), options)


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
    else:
        print_text(f"cluster {result['cluster']} does not run")


def _show(status: dict[str, Any], options: argparse.Namespace) -> None:
    if options.json:
        print_json(status)
        return
    names = ("cluster", "kind", "state", "address", "dashboard", "client", "token")
    print_table("", ["what", "value"], [(name, status[name]) for name in names])
    columns = ["name", "group", "host", "state", "process", "cpus", "gpus", "object_store_used"]
    rows = [["" if node[name] is None else node[name] for name in columns] for node in status["nodes"]]
    print_table("nodes", columns, rows)
