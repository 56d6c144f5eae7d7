"""How much is done where: throughput, restarts and idle shares of a cluster's nodes, workers and learner."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wormwood.launch.clusters.api import LEARNER, WORKER, Head, RayActor
from wormwood.launch.clusters.hosts import ask_all, host_at
from wormwood.launch.clusters.state import ClusterState
from wormwood.launch.run.run_folder import RunFolder, read_metrics

__all__ = ["RunSpeed", "actor_usage", "cluster_usage", "node_usage", "read_run_speed"]

SECONDS = 1.0
"""For which it is watched how busy processes are."""
RECENT = 20
"""Iterations over which throughput is measured."""


@dataclass(frozen=True)
class RunSpeed:
    """How fast a run goes on, and who does it."""

    steps_per_second: float
    steps: Mapping[str, int]
    """Environment steps of each worker, by its actor's name."""


def cluster_usage(head: Head, state: ClusterState, jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a cluster does now.

    Returns:
        ``nodes``: ``node_usage`` of each by name; ``learner``: node, process, restarts and idle share of the learner
        service, None while there is none. Errors as ``actor_usage``.
    """
    actors = actor_usage(head, state)
    going = [Path(job["run"]) for job in jobs if job["status"] == "RUNNING" and job["verb"] == "train"]
    runs = [speed for path in going if (speed := read_run_speed(path)) is not None]
    learners = [dataclasses.asdict(actor) for actor in actors if actor.name.startswith(LEARNER)]
    return {
        "nodes": {name: node_usage(name, actors, runs) for name in state.nodes},
        "learner": learners[0] if learners else None,
    }


def actor_usage(head: Head, state: ClusterState) -> list[RayActor]:
    """Return the cluster's actors, watched for a second.

    Raises:
        ClusterError: the head does not answer.
        BadInput: a host cannot be reached.
    """
    actors = [actor for actor in head.actors() if actor.node in state.nodes]
    cluster = state.parsed()
    hosts = {state.nodes[actor.node].host for actor in actors}
    requests = {
        host: {
            "do": "watch",
            "processes": [actor.process for actor in actors if state.nodes[actor.node].host == host],
            "seconds": SECONDS,
        }
        for host in hosts
    }
    answers = ask_all({host: host_at(host, cluster) for host in hosts}, requests)
    return [_with_idle_share(actor, answers[state.nodes[actor.node].host]["busy"]) for actor in actors]


def _with_idle_share(actor: RayActor, busy: Mapping[str, float]) -> RayActor:
    share = busy.get(str(actor.process))
    return actor if share is None else dataclasses.replace(actor, idle_share=round(max(0.0, 1.0 - share), 3))


def node_usage(node: str, actors: Sequence[RayActor], runs: Sequence[RunSpeed]) -> dict[str, Any]:
    """Return what the rollout workers of a node do.

    Args:
        node: its name.
        actors: of the cluster.
        runs: that go on now. The speed of each is shared out by the steps that each worker has made for it.
    """
    workers = [actor for actor in actors if actor.node == node and actor.name.startswith(WORKER)]
    known = [actor.idle_share for actor in workers if actor.idle_share is not None]
    names = {actor.name for actor in workers}
    speed = sum(
        run.steps_per_second * sum(steps for name, steps in run.steps.items() if name in names) / total
        for run in runs
        if (total := sum(run.steps.values()))
    )
    return {
        "workers": len(workers),
        "restarts": sum(actor.restarts for actor in workers),
        "idle_share": round(sum(known) / len(known), 3) if known else None,
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
        workers = folder.read_workers()["workers"]
        number = len("worker-")
        return RunSpeed(speed, {f"{WORKER}{worker['name'][number:]}": int(worker["steps"]) for worker in workers})
    except (OSError, ValueError, KeyError, TypeError):
        return None
