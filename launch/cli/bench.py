"""The verb `wormwood bench`."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from wormwood.errors import bad_input
from wormwood.launch.cli.arguments import add_verb, episodes, seconds
from wormwood.launch.cli.console import as_text, note, print_json, print_table, progress_bar

__all__ = ["add_bench", "bench_command"]


OPTIONS: Mapping[str, tuple[str, Any]] = {
    "seconds": ("--seconds", 40.0),
    "peers": ("--peers", None),
    "experiment": ("--what", "few-shot"),
    "seeds": ("--seeds", 5),
}
"""Options of some benchmarks, with their defaults."""


def add_bench(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    parser = add_verb(verbs, "bench", bench_command, "measure speed side by side", "wormwood bench rollout")
    parser.add_argument("what", metavar="benchmark", choices=tuple(BENCHMARKS))
    parser.add_argument("--seconds", type=seconds, help="all but memory: about how long to measure; default 40")
    parser.add_argument(
        "--peers",
        metavar="PYTHON",
        nargs="+",
        help="trees: a Python with gbrl and xgboost, default $WORMWOOD_PEERS, or none; train: those with RLlib or SBX",
    )
    parser.add_argument("--what", dest="experiment", help="memory: which experiment; default few-shot")
    parser.add_argument("--seeds", type=episodes, help="memory: how many seeds, from 0; default 5")


def bench_command(options: argparse.Namespace) -> None:
    """Measure speed: of rollouts against the physics engine's own limit, or of forests; and both against peers."""
    run, taken = BENCHMARKS[options.what]
    for name, (option, default) in OPTIONS.items():
        given = getattr(options, name)
        if given is not None and name not in taken:
            others = [what for what, (_, names) in BENCHMARKS.items() if name in names]
            expected = f"none for {options.what}: it is of {', '.join(others)}"
            raise bad_input("option", where=f"bench {option}", expected=expected, got=given)
        setattr(options, name, default if given is None else given)
    shown: Any = contextlib.nullcontext() if options.json else progress_bar("measuring", 1.0)
    with shown as show:
        progress = None if show is None else (lambda stage, share: show(share, f"measuring: {stage}"))
        result = run(options, progress)
    if options.json:
        print_json(result)
        return
    print_table("", ["figure", "value"], list(_figures(result)))


def _bench_rollout(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.rollout import bench_rollout

    return bench_rollout(seconds=options.seconds, progress=progress)


def _bench_trees(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.trees import bench_trees
    from wormwood.launch.bench.trees_peers import HOW_TO_GET_PEERS

    named: list[str] = options.peers or [python for python in [os.environ.get("WORMWOOD_PEERS")] if python]
    if len(named) > 1:
        raise bad_input("option", where="bench trees --peers", expected="one Python", got=" ".join(named))
    peers = named[0] if named else None
    if peers is None:
        note(f"without peers; to compare, `{HOW_TO_GET_PEERS}`, and add --peers peers/bin/python")
    return bench_trees(seconds=options.seconds, peers=peers, progress=progress)


def _bench_train(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.training import bench_training

    return bench_training(seconds=options.seconds, peers=options.peers or (), progress=progress)


def _bench_learner(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.learner import bench_learner

    return bench_learner(seconds=options.seconds, progress=progress)


def _bench_memory(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.memory import bench_memory

    return bench_memory(options.experiment, seeds=options.seeds, progress=progress)


def _bench_scale(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.scale import bench_scale

    return bench_scale(seconds=options.seconds, progress=progress)


BENCHMARKS = {
    "rollout": (_bench_rollout, ("seconds",)),
    "train": (_bench_train, ("seconds", "peers")),
    "trees": (_bench_trees, ("seconds", "peers")),
    "memory": (_bench_memory, ("experiment", "seeds")),
    "scale": (_bench_scale, ("seconds",)),
    "learner": (_bench_learner, ("seconds",)),
}
"""What each benchmark does, and its options, by name."""


def _figures(result: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Give each figure a row; one of several sizes has a row for each."""
    for name, value in result.items():
        if isinstance(value, dict):
            yield from ((f"{name}, {size}", as_text(figure)) for size, figure in value.items())
        else:
            yield name, as_text(value)
