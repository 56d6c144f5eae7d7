"""The verb `wormwood status`."""

from __future__ import annotations

import argparse
from typing import Any

from wormwood.launch.cli.arguments import add_verb
from wormwood.launch.cli.console import as_text, print_json, print_table
from wormwood.launch.run.run_folder import RunFolder
from wormwood.launch.run.status import run_status
from wormwood.launch.storage.mirrors import local_copy

__all__ = ["add_status", "status_command"]


def add_status(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    parser = add_verb(verbs, "status", status_command, "show how a run is", "wormwood status runs/worm")
    parser.add_argument("run_folder", metavar="run", help="the folder of a run, which may be going on")


def status_command(options: argparse.Namespace) -> None:
    """Show how a run is."""
    with local_copy(options.run_folder) as folder:
        status = run_status(RunFolder(folder)) | {"run": options.run_folder}
    if options.json:
        print_json(status)
        return
    workers = status.pop("workers")
    del status["return_mean"]  # the old name of training_return_mean
    print_table("", ["what", "value"], [(name, as_text(value)) for name, value in status.items() if value is not None])
    if workers:
        columns = ["name", "state", "node", "rollouts", "steps", "steps_per_second", "idle_share", "restarts"]
        print_table("workers", columns, [[worker.get(name, "") for name in columns] for worker in workers])
