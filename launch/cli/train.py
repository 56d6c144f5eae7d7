"""The verb `wormwood train`."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from wormwood.envs.specs import SwimmerSpec
from wormwood.launch.api import train_run
from wormwood.launch.cli.arguments import add_trust, add_verb, add_workers, check_workers, seed
from wormwood.launch.cli.console import as_text, note, print_json, print_table, print_text, training_watcher
from wormwood.launch.inspect.tensorboard import tensorboard_watcher
from wormwood.launch.run.opening import open_run

__all__ = ["add_train", "train_command"]

KEYS = (
    "run", "seed", "workers", "steps", "episodes", "seconds", "return_mean", "return_std", "speed_mean", "state_sha256"
)  # fmt: skip
"""Of the summary, what is printed."""


def add_train(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    example = "wormwood train swim-ncap-cma --workers 2 --set body=swimmer-12"
    parser = add_verb(verbs, "train", train_command, "train an agent, or go on with a run", example)
    parser.add_argument("preset", nargs="?", help="a name of `wormwood list presets`, or a YAML file")
    parser.add_argument("--seed", type=seed, help="of all randomness; default: the preset's, which is 0")
    add_workers(parser, "Ray actors that collect experience")
    parser.add_argument("--out", help="folder of the run, or a URL; default: a new one in runs/")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, from its newest checkpoint")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's event files into the run, too")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE", help="change the preset"
    )
    add_trust(parser)


def train_command(options: argparse.Namespace) -> None:
    """Train an agent, or go on with a run.

    Raises:
        BadInput: the preset, an override or the output folder is wrong.
        Interrupted: the user stopped the run; the message says how to go on.
    """
    check_workers(options)
    with open_run(
        options.preset,
        out=options.out,
        resume=options.resume,
        seed=options.seed,
        overrides=options.overrides,
        trust=options.trust,
    ) as (run, config):
        if not options.json:
            note(f"{config.agent.kind} on {config.spec.name}, by {config.learner.kind}: {run.location}")
        with contextlib.ExitStack() as stack:
            watcher = stack.enter_context(training_watcher(config.iterations, quiet=options.json))
            if options.tensorboard:
                watcher = stack.enter_context(tensorboard_watcher(run, watcher))
            summary = train_run(run, config, workers=options.workers, address=options.address, watcher=watcher)
    if options.json:
        print_json({key: summary[key] for key in KEYS})
        return
    print_table("", ["result", "value"], [(key, as_text(summary[key])) for key in KEYS if summary[key] is not None])
    bodies = "--body swimmer-6 swimmer-12" if isinstance(config.spec, SwimmerSpec) else "--episodes 100"
    if options.tensorboard:
        print_text(f"events: tensorboard --logdir {run.location}")
    agent, picture = f"{run.location}/{run.agent.name}", f"{run.location}/{run.curve.name}"
    print_text(f"agent: {agent}\ncurve: {picture}\nnext:  wormwood evaluate {run.location} {bodies}")
