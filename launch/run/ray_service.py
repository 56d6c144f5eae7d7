"""The learner service as a named Ray actor, and what stands for it in a driver.

The actor is nobody's: it outlives the run that started it. It hosts a learner as long as its driver renews a lease,
and ends itself once it has hosted none for a moment.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayError

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
LEASE = 120.0
"""Seconds after which a driver that says nothing counts as dead, and its learner is forgotten."""
GRACE = 10.0
"""Seconds without any learner after which the service ends."""


class _ServiceActor(LearnerService):
    """The service, which says how it is in a thread of its own: it answers while an update runs."""

    def __init__(self, lease: float, grace: float) -> None:
        super().__init__()
        self._lease, self._grace = lease, grace
        self._heard: dict[str, float] = {}
        self._hosted = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    def create(self, name: str, config: RunConfig, checkpoints: Path | str) -> Progress:
        self._heard[name] = time.monotonic()
        return super().create(name, config, checkpoints)

    def remove(self, name: str) -> None:
        super().remove(name)
        self._heard.pop(name, None)

    @ray.method(concurrency_group="status")
    def renew(self, name: str) -> None:
        """Go on hosting a learner: its driver is there."""
        if name in self._heard:
            self._heard[name] = time.monotonic()

    def _watch(self) -> None:
        """Forget learners whose drivers are silent, and end where there has been none for a moment."""
        while True:
            time.sleep(min(self._lease, self._grace) / 4)
            now = time.monotonic()
            for name in [name for name, heard in self._heard.items() if now - heard > self._lease]:
                self.remove(name)
            if self._heard:
                self._hosted = now
            elif now - self._hosted > self._grace:
                ray.kill(ray.get_runtime_context().current_actor)

    @ray.method(concurrency_group="status")
    def status(self) -> dict[str, dict[str, Any]]:  # type: ignore[override] # Ray's decorator changes its type
        return super().status()

    @ray.method(concurrency_group="status")
    def process(self) -> int:
        """Return the number of the process: whoever answers is there."""
        return os.getpid()


class RemoteService:
    """The service in its actor.

    Where the actor has died, a call raises ``ServiceLostError``; Ray starts the actor again, without its learners, and
    ``create`` waits for it. A thread renews the leases of the learners that were created here, until they are removed.
    """

    def __init__(self, suffix: str = "") -> None:
        """Find or start the cluster's service; with a ``suffix``, that of the runs with the same code of the user's."""
        self._suffix = suffix
        self._actor = _service_of(_connection(), suffix)
        self._lost = False
        self._leases: set[str] = set()
        self._renewing = threading.Event()

    def create(self, name: str, config: RunConfig, checkpoints: Path | str) -> Progress:
        try:
            progress = self._create(name, config, checkpoints)
        except ServiceLostError:  # it had just ended, since nobody needed it: nothing is lost
            progress = self._create(name, config, checkpoints)
        self._leases.add(name)
        if not self._renewing.is_set():
            self._renewing.set()
            threading.Thread(target=self._renew, daemon=True).start()
        return progress

    def _create(self, name: str, config: RunConfig, checkpoints: Path | str) -> Progress:
        if self._lost:
            self._await_return()
            self._lost = False
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
        self._leases.discard(name)
        self._call(LearnerService.remove, name)

    def status(self) -> dict[str, dict[str, Any]]:
        return self._call(LearnerService.status)

    def _renew(self) -> None:
        """Renew all leases from time to time, while there are any."""
        while self._leases and ray.is_initialized():
            for name in tuple(self._leases):
                self._actor.renew.remote(name)  # a service that is gone needs no lease: who calls next finds out
            time.sleep(LEASE / 4)
        self._renewing.clear()

    def _call(self, method: Callable[Concatenate[LearnerService, P], T], *arguments: P.args, **options: P.kwargs) -> T:
        """Call the method of that name in the actor, and wait for its result."""
        try:
            result: T = get_result(getattr(self._actor, method.__name__).remote(*arguments, **options))
            return result
        except RayError as error:
            self._lost = True
            raise ServiceLostError(f"the learner service died: {error}") from error
        except KeyError as error:
            if method is not LearnerService.create and error.args == arguments[:1]:
                # It died while nobody called, and has been started again.
                raise ServiceLostError(f"the learner service has lost {error}") from error
            raise

    def _await_return(self) -> None:
        """Wait until Ray has started the actor again, or start another where it has ended for good.

        Raises:
            ServiceLostError: Ray does neither.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                ray.get(self._actor.process.remote(), timeout=PATIENCE)
                return
            except (ActorUnavailableError, GetTimeoutError) as error:
                if time.monotonic() > deadline:
                    raise ServiceLostError(f"the learner service does not come back: {error}") from error
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
    """Find or start the service of a connection, which does not end with it."""
    remote: Any = ray.remote  # its types do not know what classes become
    # Where there is a GPU, it is the learners': their node is one that has it.
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    options = {"num_cpus": 0, "num_gpus": min(1, resources.get("GPU", 0)), "max_restarts": -1, "max_task_retries": 0}
    actor = remote(**options, concurrency_groups={"status": 1})(_ServiceActor)
    return actor.options(name=NAME + suffix, get_if_exists=True, lifetime="detached").remote(LEASE, GRACE)
