"""How a run is, from its folder alone: anyone may look, also while it goes on, and from another machine."""

from __future__ import annotations

import fcntl
import time
from typing import Any

from wormwood.configs.yaml_files import parse_mapping
from wormwood.errors import BadInput, bad_input
from wormwood.launch.run.ledger import Audit, audit
from wormwood.launch.run.run_folder import RunFolder, read_metrics
from wormwood.launch.storage.checkpoints import list_checkpoints, load_checkpoint

__all__ = ["audit_run", "run_status"]

RECENT = 20
"""Iterations over which throughput is measured."""


def run_status(folder: RunFolder) -> dict[str, Any]:
    """Return state, progress, throughput, time left, last checkpoint, learner, workers, and what the ledger proves.

    Raises:
        BadInput: this is not a run folder.
    """
    config = _read_config(folder)
    metrics = read_metrics(folder.metrics)
    last = metrics[-1] if metrics else {}
    iteration, iterations = last.get("iteration", 0), config["iterations"]
    speed = _per_second(metrics, "iteration")
    load = folder.read_workers()
    training_return = next((line["return_mean"] for line in reversed(metrics) if "return_mean" in line), None)
    running, left = is_running(folder), iterations - iteration
    return {
        "run": str(folder.path),
        "state": "running" if running else "finished" if not left and folder.read_summary() else "stopped",
        "agent": config["agent"],
        "learner": config["learner"],
        "iteration": iteration,
        "iterations": iterations,
        "steps": last.get("steps", 0),
        "episodes": last.get("episodes", 0),
        "training_return_mean": training_return,
        "return_mean": training_return,  # the name until 0.3: `train` says return_mean of held-out starts
        "steps_per_second": _per_second(metrics, "steps"),
        "seconds_left": left / speed if running and speed else None,
        **_last_checkpoint(folder),
        "learner_idle_share": load.get("learner", {}).get("idle_share"),
        "workers": load.get("workers", []),
        "ledger": _ledger_verdict(folder),
    }


def is_running(folder: RunFolder) -> bool:
    """Return True while a process holds the run for writing."""
    try:
        with folder.lock.open("r", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def audit_run(folder: RunFolder) -> Audit:
    """Check the ledger against the newest checkpoint.

    Raises:
        BadInput: there is no checkpoint, or experience was lost, used twice or changed.
    """
    shards = _read_config(folder)["shards"]
    checkpoints = list_checkpoints(folder.checkpoints)
    if not checkpoints:
        raise BadInput(f"{folder.path} has no checkpoint to check its ledger against")
    newest = load_checkpoint(checkpoints[-1])
    entries = [entry for entry in read_metrics(folder.ledger) if entry["iteration"] <= newest.step]
    return audit(entries, newest.state, shards=shards)


def _read_config(folder: RunFolder) -> dict[str, Any]:
    """Return kinds of agent and learner, iterations and shards. Nothing is built: looking at a run needs no code of it.

    Raises:
        BadInput: this is not a run folder, or its configuration lacks one of them.
    """
    where = str(folder.config)
    config = parse_mapping(folder.read_config(), where=where)
    try:
        agent, learner = (str(config[section]["kind"]) for section in ("agent", "learner"))
        counts = {name: int(config[name]) for name in ("iterations", "shards")}
    except (LookupError, TypeError, ValueError) as error:
        expected = "agent.kind, learner.kind, iterations and shards"
        raise bad_input("configuration", where=where, expected=expected, got=str(error)) from error
    return {"agent": agent, "learner": learner, **counts}


def _per_second(metrics: list[dict[str, Any]], count: str) -> float | None:
    recent = [line for line in metrics[-RECENT - 1 :] if line.get("seconds") is not None and count in line]
    if len(recent) < 2 or recent[-1]["seconds"] <= recent[0]["seconds"]:
        return None
    speed: float = (recent[-1][count] - recent[0][count]) / (recent[-1]["seconds"] - recent[0]["seconds"])
    return speed


def _last_checkpoint(folder: RunFolder) -> dict[str, Any]:
    checkpoints = list_checkpoints(folder.checkpoints)
    if not checkpoints:
        return {"last_checkpoint": None, "checkpoint_age": None}
    age = time.time() - checkpoints[-1].stat().st_mtime
    return {"last_checkpoint": int(checkpoints[-1].name.removeprefix("step-")), "checkpoint_age": max(0.0, age)}


def _ledger_verdict(folder: RunFolder) -> str:
    try:
        proof = audit_run(folder)
    except BadInput as error:
        return str(error)
    return f"complete: {proof.fragments} fragments, {proof.steps} environment steps, each used once"
