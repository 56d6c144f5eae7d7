"""The learner service as a named Ray actor, and what stands for it in a driver."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any, cast

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from wormwood.launch.run.ray_session import NAMESPACE, get_result
from wormwood.launch.run.service import LearnerService, ServiceLostError

__all__ = ["remote_service", "service_process"]

NAME = "wormwood-learners"
PATIENCE = 60.0
"""Seconds that a service which Ray starts again is waited for."""


class _StatusAnytime(LearnerService):
    """The service with its status in a thread of its own, so that it answers while an update runs."""

    @ray.method(concurrency_group="status")
    def status(self) -> dict[str, dict[str, Any]]:  # type: ignore[override] # Ray's decorator changes its type
        return super().status()

    @ray.method(concurrency_group="status")
    def process(self) -> int:
        """Return the number of the process: whoever answers is there."""
        return os.getpid()


class _RemoteService:
    """Calls the methods of the service in its actor, and waits for their results.

    Where the actor has died, a call raises ``ServiceLostError``; Ray starts the actor again, without its learners.
    """

    def __init__(self) -> None:
        self._actor = _service_of(_connection())

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            try:
                return get_result(getattr(self._actor, method).remote(*arguments))
            except RayActorError as error:
                self._await_return()
                raise ServiceLostError(f"the learner service died: {error}") from error
            except KeyError as error:
                if method != "create" and error.args == arguments[:1]:
                    # It died while nobody called, and has been started again.
                    raise ServiceLostError(f"the learner service has lost {error}") from error
                raise

        return call

    def _await_return(self) -> None:
        """Wait until Ray has started the actor again, or start another where its owner has ended."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                ray.get(self._actor.process.remote(), timeout=PATIENCE)
                return
            except ActorUnavailableError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            except RayActorError:
                _service_of.cache_clear()
                self._actor = _service_of(_connection())


def remote_service() -> LearnerService:
    """Find or start the cluster's learner service, and return what can be used in its place."""
    return cast(LearnerService, _RemoteService())


def service_process() -> int:
    """Return the number of the process that hosts the cluster's learners."""
    actor: Any = ray.get_actor(NAME, namespace=NAMESPACE)
    process: int = get_result(actor.process.remote())
    return process


def _connection() -> str:
    """Return what tells this connection to Ray from this process's earlier ones."""
    context = ray.get_runtime_context()
    # The number of a driver is that of its job, and each cluster counts its jobs from one.
    return f"{context.get_node_id()} {context.get_job_id()}"


@functools.cache
def _service_of(connection: str) -> Any:
    """Find or start the service of a connection.

    Ray ends an actor when the first handle to it is gone. The cache keeps that handle for as long as this process is
    connected, so that the run which started the service may end before the others.
    """
    remote: Any = ray.remote  # its types do not know what classes become
    threads = {"status": 1}
    # Where there is a GPU, it is the learners': their node is one that has it.
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    options = {"num_cpus": 0, "num_gpus": min(1, resources.get("GPU", 0)), "max_restarts": -1, "max_task_retries": 0}
    actor = remote(**options, concurrency_groups=threads)(_StatusAnytime)
    return actor.options(name=NAME, get_if_exists=True).remote()
