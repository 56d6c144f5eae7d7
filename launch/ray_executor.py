"""Ray: a local or given cluster, stateless rollout workers, and the learner service as an actor."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import ray
from ray.exceptions import RayTaskError

from wormwood.launch.rollouts import RolloutPlan, RolloutWorker
from wormwood.launch.service import Job, LearnerService

__all__ = ["RayExecutor", "ray_session", "remote_service"]


@contextlib.contextmanager
def ray_session(workers: int, *, address: str = "local") -> Iterator[None]:
    """Connect to Ray for the length of the block.

    Args:
        workers: how many rollout workers there will be, for which a local cluster is given processors.
        address: of a running cluster; ``"local"`` starts one of our own on this machine, and ends it.

    A process that is connected already stays connected, and its cluster is used.
    """
    if ray.is_initialized():
        yield
        return
    # Ray's advice about accelerators and its usage report are not for our users.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"num_cpus": max(workers, os.cpu_count() or 1), "include_dashboard": False}
    ray.init(**options)
    try:
        yield
    finally:
        ray.shutdown()


class RayExecutor:
    """Runs the shards on Ray actors without state; each takes the next shard as soon as it is free.

    Ray starts a worker that has died again and repeats its call; the repeated rollout is the same to the bit.
    """

    def __init__(self, plan: RolloutPlan, workers: int) -> None:
        """Start ``workers`` actors, of which more than there are shards would idle."""
        actor: Any = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=-1)(RolloutWorker)
        self._workers = [actor.remote(plan) for _ in range(min(workers, plan.shards))]

    def collect(self, job: Job) -> Sequence[Any]:
        """Return references to the rollouts; see ``Executor.collect``."""
        weights = ray.put(job.weights)
        waiting = list(reversed(job.shards))
        idle, running, rollouts = list(self._workers), dict[Any, Any](), dict[int, Any]()
        while waiting or running:
            while waiting and idle:
                worker, shard = idle.pop(), waiting.pop()
                reference = worker.rollout.remote(weights, shard, job.iteration)
                running[reference], rollouts[shard.index] = worker, reference
            (finished,), _ = ray.wait(list(running), num_returns=1)
            idle.append(running.pop(finished))
            _get(finished)  # raises what the rollout raised
        return [rollouts[shard.index] for shard in job.shards]


class _RemoteService:
    """Calls the methods of a service in its actor, and waits for their results."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return lambda *arguments: _get(getattr(self._actor, method).remote(*arguments))


def remote_service() -> LearnerService:
    """Start the learner service as a Ray actor, and return what can be used in its place."""
    actor: Any = ray.remote(num_cpus=0)(LearnerService)
    return cast(LearnerService, _RemoteService(actor.remote()))


def _get(reference: Any) -> Any:
    """Wait for a result, and raise what the remote code raised, with its own traceback, in place of Ray's wrapper."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if not isinstance(error.cause, Exception):
            raise
        error.cause.add_note(f"In a Ray worker:\n{error}")
        raise error.cause from None
