"""How much is done where: throughput, restarts and idle shares of a cluster's nodes, workers and learner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wormwood.launch.clusters.api import LEARNER, WORKER, Head, RayActor
from wormwood.launch.clusters.state import ClusterState
from wormwood.launch.run.run_folder import RunFolder, read_metrics

__all__ = ["RunSpeed", "cluster_usage", "node_usage", "read_run_speed"]

RECENT = 20
"""Iterations over which throughput is measured."""


@dataclass(frozen=True)
class RunSpeed:
    """How fast a run goes on, and who does it."""

    steps_per_second: float
    steps: Mapping[str, int]
    """Environment steps of each worker, by its actor's name."""
    busy: Mapping[str, float]
    """Share of the time since its first rollout in which each worker played for it, by the same name."""
    learner_busy: float
    """Share of that time in which its learner made updates."""


def cluster_usage(head: Head, state: ClusterState, jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a cluster does now.

    Returns:
        ``nodes``: ``node_usage`` of each by name; ``learner``: node, process, restarts and idle share of the learner
        service, None while there is none. An idle share is what the runs' own shares leave.

    Raises:
        ClusterError: the head does not answer.
    """
    actors = [actor for actor in head.actors() if actor.node in state.nodes]
    going = [Path(job["run"]) for job in jobs if job["status"] == "RUNNING" and job["verb"] == "train"]
    runs = [speed for path in going if (speed := read_run_speed(path)) is not None]
    unknown = len(runs) < len(going)  # one of them is elsewhere, or has just begun
    left = None if unknown else _left(run.learner_busy for run in runs)
    learners = [{**vars(actor), "idle_share": left} for actor in actors if actor.name.startswith(LEARNER)]
    return {
        "nodes": {name: node_usage(name, actors, runs, unknown=unknown) for name in state.nodes},
        "learner": learners[0] if learners else None,
    }


def _left(shares: Iterable[float]) -> float:
    """Return what is left of a whole, rounded; shares of runs that began at other times may add up to a bit more."""
    return round(max(0.0, 1.0 - sum(shares)), 3)


def node_usage(
    node: str, actors: Sequence[RayActor], runs: Sequence[RunSpeed], *, unknown: bool = False
) -> dict[str, Any]:
    """Return what the rollout workers of a node do.

    Args:
        node: its name.
        actors: of the cluster.
        runs: that go on now. The speed of each is shared out by the steps that each worker has made for it.
        unknown: there are others, of which nothing is known: then no idle share is, either.
    """
    workers = [actor for actor in actors if actor.node == node and actor.name.startswith(WORKER)]
    idle = [_left(run.busy.get(actor.name, 0.0) for run in runs) for actor in workers]
    names = {actor.name for actor in workers}
    speed = sum(
        run.steps_per_second * sum(steps for name, steps in run.steps.items() if name in names) / total
        for run in runs
        if (total := sum(run.steps.values()))
    )
    return {
        "workers": len(workers),
        "restarts": sum(actor.restarts for actor in workers),
        "idle_share": round(sum(idle) / len(idle), 3) if idle and not unknown else None,
        "steps_per_second": round(speed, 1) if runs else None,
    }


def read_run_speed(path: Path) -> RunSpeed | None:
    """Return how fast a run goes on, from its folder; None where that is not here, or too little is done yet."""
    folder = RunFolder(path)
    recent = [line for line in read_metrics(folder.metrics)[-RECENT - 1 :] if line.keys() >= {"seconds", "steps"}]
    if len(recent) < 2 or recent[-1]["seconds"] <= recent[0]["seconds"]:
        return None
    speed = (recent[-1]["steps"] - recent[0]["steps"]) / (recent[-1]["seconds"] - recent[0]["seconds"])
    try:
        load = folder.read_workers()
        workers = {f"{WORKER}{worker['name'].removeprefix('worker-')}": worker for worker in load["workers"]}
        steps = {name: int(worker["steps"]) for name, worker in workers.items()}
        busy = {name: 1.0 - float(worker["idle_share"]) for name, worker in workers.items()}
        return RunSpeed(speed, steps, busy, 1.0 - float(load["learner"]["idle_share"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
