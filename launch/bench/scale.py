"""How throughput grows with workers: predicted from measured costs, and compared with what a few workers really do."""

from __future__ import annotations

import dataclasses
import math
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wormwood.launch.bench.rounds import Progress
from wormwood.launch.run.run_folder import Run
from wormwood.launch.run.service import LearnerService
from wormwood.launch.run.settings import RunConfig, load_config
from wormwood.launch.run.training import Watcher, train

__all__ = ["Costs", "bench_scale", "call_costs", "growing_batch", "iteration_seconds"]

PRESET = "swim-ncap-ppo"
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
MEASURED = (1, 2, 4)
SHARDS = 8
"""Of the runs that are measured: two for each of four workers."""
PROBES = (4, 16)
"""Shards of the two short runs that tell the cost of a call from that of an iteration."""
PROBE_STEPS = 4
WARM_UP = 2
LEAST_ITERATIONS = 6


@dataclass(frozen=True)
class Costs:
    """What one iteration is made of, in seconds."""

    rollout: float
    """Of one shard, on a core of its own."""
    update: float
    """Of the learner, for all shards."""
    call: float
    """Added to each rollout by being a call to another process."""
    iteration: float
    """Added to each iteration, however many shards it has."""
    driver: float
    """Of the driver's processor, for each call; calls of different workers queue for it."""


def iteration_seconds(costs: Costs, workers: int, *, shards: int, cores: float = math.inf) -> float:
    """Return how long one iteration takes: T(W) = max(⌈S/W⌉ (r + c), S r / K, S d) + u + i.

    Args:
        costs: r, u, c, i and d, in the order of their fields.
        workers: W.
        shards: S, which is fixed for a run.
        cores: K, that the workers share; infinite where each has one.
    """
    rounds = math.ceil(shards / workers)
    collecting = max(rounds * (costs.rollout + costs.call), shards * costs.rollout / cores, shards * costs.driver)
    return collecting + costs.update + costs.iteration


def growing_batch(costs: Costs, workers: int, *, shards: int, steps: int) -> dict[str, Any]:
    """Return throughput where each worker has one shard, so that the batch grows with the workers.

    Args:
        costs: as measured with ``shards`` shards, for all of which the update is.
        workers: on a core each.
        shards: of the run that was measured.
        steps: environment steps of one shard.

    Returns:
        ``steps_per_second``, and ``limited_by``: the largest share of the time, of rollouts, learner or driver.
    """
    update = costs.update / shards * workers
    parts = {
        "rollouts": costs.rollout + costs.call,
        "learner": update + costs.iteration,
        "driver": workers * costs.driver,
    }
    seconds = max(parts["rollouts"], parts["driver"]) + parts["learner"]
    return {"steps_per_second": workers * steps / seconds, "limited_by": max(parts, key=lambda name: parts[name])}


def call_costs(extra: Mapping[int, float]) -> tuple[float, float]:
    """Return the cost of a call and of an iteration, given what iterations of so many calls took beyond their work.

    Two points make a line; neither cost is less than 0.
    """
    (few, less), (many, more) = sorted(extra.items())
    call = max(0.0, (more - less) / (many - few))
    return call, max(0.0, less - few * call)


def bench_scale(*, seconds: float = 40.0, progress: Progress | None = None) -> dict[str, Any]:
    """Measure the costs, predict 1 to 1000 workers, and compare 1, 2 and 4 with real runs on this machine.

    The costs come from this process and from two runs of very short rollouts; the runs that they are compared with
    are others. Keys: the costs and what a checkpoint takes (``_ms``), ``bytes_per_step`` and ``weights_bytes`` over the
    network, and by number of workers ``predicted`` and ``limited_by`` (each on a core of its own, one shard each),
    ``here_predicted`` and ``here_measured`` (on this machine, 8 shards) with their relative ``error``. Speeds are
    environment steps per second; ``learner_ceiling`` is the one that no number of workers exceeds.
    """
    from wormwood.launch.run.ray_session import ray_session

    tell = progress or (lambda stage, share: None)
    slice_seconds = seconds / (2 + len(PROBES) + len(MEASURED))
    cores = len(os.sched_getaffinity(0))
    config = _config(SHARDS)
    tell("rollouts and updates", 0.0)
    alone = _in_process(config, slice_seconds)
    extra, driver, measured = {}, [], {}
    with ray_session(max(MEASURED)):
        for index, shards in enumerate(PROBES):
            tell("calls", (1 + index) / 7)
            short = _config(shards, f"learner.steps={PROBE_STEPS}")
            work = _in_process(short, slice_seconds / 4)
            total, busy = _on_ray(short, 1, slice_seconds, work["rollout"] * shards + work["update"])
            extra[shards] = total - shards * work["rollout"] - work["update"]
            driver.append(busy / shards)
        for index, workers in enumerate(MEASURED):
            tell(f"{workers} workers", (3 + index) / 7)
            guess = alone["rollout"] * SHARDS + alone["update"]
            measured[workers] = config.plan.steps_per_iteration / _on_ray(config, workers, slice_seconds, guess)[0]
    call, iteration = call_costs(extra)
    costs = Costs(alone["rollout"], alone["update"], call, iteration, min(driver))
    return {**_describe(costs, config, alone, cores), **_compare(costs, config, measured, cores)}


def _describe(costs: Costs, config: RunConfig, alone: Mapping[str, float], cores: int) -> dict[str, Any]:
    steps = config.plan.steps_per_iteration // SHARDS
    grown = {str(workers): growing_batch(costs, workers, shards=SHARDS, steps=steps) for workers in COUNTS}
    return {
        "preset": PRESET,
        "cores": cores,
        "steps_per_shard": steps,
        **{f"{name}_ms": 1e3 * value for name, value in vars(costs).items()},
        "checkpoint_ms": 1e3 * alone["checkpoint"],
        "bytes_per_step": alone["bytes"] / steps,
        "weights_bytes": int(alone["weights"]),
        "learner_ceiling": steps * SHARDS / costs.update,
        "predicted": {workers: round(found["steps_per_second"]) for workers, found in grown.items()},
        "limited_by": {workers: found["limited_by"] for workers, found in grown.items()},
    }


def _compare(costs: Costs, config: RunConfig, measured: Mapping[int, float], cores: int) -> dict[str, Any]:
    steps = config.plan.steps_per_iteration
    here = {count: steps / iteration_seconds(costs, count, shards=SHARDS, cores=cores) for count in measured}
    return {
        "here_predicted": {str(count): round(speed) for count, speed in here.items()},
        "here_measured": {str(count): round(speed) for count, speed in measured.items()},
        "error": {str(count): here[count] / speed - 1 for count, speed in measured.items()},
    }


def _config(shards: int, *overrides: str) -> RunConfig:
    """Return a run without checkpoints along the way."""
    fixed = [f"shards={shards}", "checkpoint_every=1000000", "iterations=1000000", "evaluation_episodes=1"]
    return load_config(PRESET, overrides=[*fixed, *overrides])


def _in_process(config: RunConfig, seconds: float) -> dict[str, float]:
    """Return the medians of one rollout, update and checkpoint, and the bytes that would travel for one shard."""
    service, worker = LearnerService(), config.plan.worker()
    rollout_times: list[float] = []
    update_times: list[float] = []
    save_times: list[float] = []
    deadline = time.perf_counter() + seconds
    with tempfile.TemporaryDirectory() as folder:
        service.create("bench", config, Path(folder) / "checkpoints")
        while True:
            request = service.request("bench")
            rollouts = []
            for shard in request.shards:
                began = time.perf_counter()
                rollouts.append(worker.rollout(request.weights, shard, request.iteration))
                rollout_times.append(time.perf_counter() - began)
            began = time.perf_counter()
            service.receive("bench", *rollouts)
            service.update("bench")
            update_times.append(time.perf_counter() - began)
            began = time.perf_counter()
            service.save("bench")
            save_times.append(time.perf_counter() - began)
            if time.perf_counter() > deadline and len(update_times) >= LEAST_ITERATIONS:
                break
    sent, returned = len(pickle.dumps(request.shards[0])), len(pickle.dumps(rollouts[0]))
    return {
        "rollout": statistics.median(rollout_times[WARM_UP * len(request.shards) :]),
        "update": statistics.median(update_times[WARM_UP:]),
        "checkpoint": statistics.median(save_times[WARM_UP:]),
        "bytes": sent + returned,
        "weights": len(pickle.dumps(request.weights)),
    }


def _on_ray(config: RunConfig, workers: int, seconds: float, guess: float) -> tuple[float, float]:
    """Return the medians of an iteration's time, and of the driver's processor time in it."""
    iterations = WARM_UP + max(LEAST_ITERATIONS, math.ceil(seconds / guess / max(1, workers)))
    config = dataclasses.replace(config, iterations=iterations)
    ticks: list[tuple[float, float]] = []
    watcher = Watcher(advanced=lambda metrics: ticks.append((time.perf_counter(), time.process_time())))
    with tempfile.TemporaryDirectory() as folder, Run.create(Path(folder) / "run", config.to_yaml()) as run:
        train(run, config, workers=workers, watcher=watcher)
    wall, busy = np.diff(np.array(ticks[WARM_UP - 1 :]), axis=0).T
    return float(np.median(wall)), float(np.median(busy))
