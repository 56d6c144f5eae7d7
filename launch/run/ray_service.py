"""The learner service as a named Ray actor, and what stands for it in a driver."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from ray.exceptions import ActorUnavailableError, RayActorError

from wormwood.agents.policies.interfaces import Arrays
from wormwood.launch.run.custom_code import pack
from wormwood.launch.run.ray_session import NAMESPACE, get_result
from wormwood.launch.run.rollouts import Rollout
from wormwood.launch.run.service import LearnerService, Progress, RolloutRequest, ServiceLostError, Update
from wormwood.launch.run.settings import RunConfig

__all__ = ["RemoteService", "service_process"]

P = ParamSpec("P")
T = TypeVar("T")

NAME = "wormwood-learners"
PATIENCE = 60.0
"""Seconds that a service which Ray starts again is waited for."""


class _ServiceActor(LearnerService):
    """The service, which says how it is in a thread of its own: it answers while an update runs."""

    @ray.method(concurrency_group="status")
    def status(self) -> dict[str, dict[str, Any]]:  # type: ignore[override] # Ray's decorator changes its type
        return super().status()

    @ray.method(concurrency_group="status")
    def process(self) -> int:
        """Return the number of the process: whoever answers is there."""
        return os.getpid()


class RemoteService:
    """The service in its actor.

    Where the actor has died, a call raises ``ServiceLostError``; Ray starts the actor again, without its learners.
    """

    def __init__(self, suffix: str = "") -> None:
        """Find or start the cluster's service; with a ``suffix``, that of the runs with the same code of the user's."""
        self._suffix = suffix
        self._actor = _service_of(_connection(), suffix)

    def create(self, name: str, config: RunConfig, checkpoints: Path | str) -> Progress:
        return self._call(LearnerService.create, name, pack(config), checkpoints)

    def request(self, name: str) -> RolloutRequest:
        return self._call(LearnerService.request, name)

    def receive(self, name: str, *rollouts: Rollout) -> None:
        self._call(LearnerService.receive, name, *rollouts)

    def update(self, name: str) -> Update:
        return self._call(LearnerService.update, name)

    def save(self, name: str) -> None:
        self._call(LearnerService.save, name)

    def policy_weights(self, name: str) -> Arrays:
        return self._call(LearnerService.policy_weights, name)

    def state_sha256(self, name: str) -> str:
        return self._call(LearnerService.state_sha256, name)

    def remove(self, name: str) -> None:
        self._call(LearnerService.remove, name)

    def status(self) -> dict[str, dict[str, Any]]:
        return self._call(LearnerService.status)

    def _call(self, method: Callable[Concatenate[LearnerService, P], T], *arguments: P.args, **options: P.kwargs) -> T:
        """Call the method of that name in the actor, and wait for its result."""
        try:
            result: T = get_result(getattr(self._actor, method.__name__).remote(*arguments, **options))
            return result
        except RayActorError as error:
            self._await_return()
            raise ServiceLostError(f"the learner service died: {error}") from error
        except KeyError as error:
            if method is not LearnerService.create and error.args == arguments[:1]:
                # It died while nobody called, and has been started again.
                raise ServiceLostError(f"the learner service has lost {error}") from error
            raise

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
                self._actor = _service_of(_connection(), self._suffix)


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
def _service_of(connection: str, suffix: str) -> Any:
    """Find or start the service of a connection.

    Ray ends an actor when the first handle to it is gone. The cache keeps that handle for as long as this process is
    connected, so that the run which started the service may end before the others.
    """
    remote: Any = ray.remote  # its types do not know what classes become
    # Where there is a GPU, it is the learners': their node is one that has it.
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    options = {"num_cpus": 0, "num_gpus": min(1, resources.get("GPU", 0)), "max_restarts": -1, "max_task_retries": 0}
    actor = remote(**options, concurrency_groups={"status": 1})(_ServiceActor)
    return actor.options(name=NAME + suffix, get_if_exists=True).remote()
