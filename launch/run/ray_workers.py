"""Rollout workers on Ray: stateless, shared by all runs of a cluster, replaced when they die or hang."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import socket
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, ObjectLostError, RayActorError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from wormwood.launch.run.executors import WorkerError, WorkerStatus
from wormwood.launch.run.ray_session import get_result
from wormwood.launch.run.rollouts import ExecutorPlan, Rollout, Shard
from wormwood.launch.run.service import RolloutRequest
from wormwood.launch.run.shipments import Shipper, join_pieces

__all__ = ["PoolWorker", "RayExecutor"]

TICK = 0.5
"""Seconds between looks at deadlines, and at whether the executor was closed, while nothing finishes."""
GRACE = 2.0
"""Seconds past the deadline that a worker has to end itself, before it is ended from outside."""
MAX_DEATHS, MAX_HANGS = 20, 3
"""Attempts after which a rollout that takes its worker with it is taken to be the cause."""
KEPT_PLANS = 4
"""Plans whose environments a worker keeps ready."""

_LOST = (RayActorError, ObjectLostError)
"""What Ray raises where a worker or its node died."""


class PoolWorker:
    """Runs rollouts of any plan. It keeps no state but scratch space, so that it can be ended at any moment."""

    def __init__(self) -> None:
        """Start without environments."""
        self._workers: OrderedDict[str, Any] = OrderedDict()
        self._weights: tuple[str, Any] = "", None

    def prepare(self, key: str, plan: ExecutorPlan) -> tuple[dict[str, Any], str]:
        """Get ready for a plan, and return process and host, and Ray's name of it: whoever answers can work."""
        self._worker(key, plan)
        return {"process": os.getpid(), "node": socket.gethostname()}, ray.get_runtime_context().get_node_id()

    def rollout(
        self, key: str, plan: ExecutorPlan, shard: Shard, iteration: int, *pieces: Any, shipment: str, deadline: float
    ) -> Generator[Rollout | None]:
        """Run one shard of the plan with that key, by the weights of a shipment; see ``RolloutWorker.rollout``.

        Past the deadline, in seconds from here on and not from when others' rollouts were waited for, the process
        ends, with a traceback in its log: also where code in C holds Python's lock.

        Yields:
            None, which says that it begins, and then the rollout.
        """
        faulthandler.dump_traceback_later(deadline, exit=True, file=2)
        try:
            yield None
            if self._weights[0] != shipment:
                self._weights = shipment, join_pieces(pieces)
            yield self._worker(key, plan).rollout(self._weights[1], shard, iteration, version=shipment)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _worker(self, key: str, plan: ExecutorPlan) -> Any:
        if key not in self._workers:
            self._workers[key] = plan.worker()
            if len(self._workers) > KEPT_PLANS:
                self._workers.popitem(last=False)
        self._workers.move_to_end(key)
        return self._workers[key]


@dataclass(eq=False)
class _Member:
    """One worker as the executor knows it."""

    name: str
    actor: Any
    identity: dict[str, Any] = field(default_factory=dict)
    node: str = ""
    """Ray's name of its machine."""
    rollouts: int = 0
    steps: int = 0
    seconds: float = 0.0
    restarts: int = -1
    state: str = "starting"

    def status(self, elapsed: float) -> WorkerStatus:
        """Return how it is, ``elapsed`` seconds after the first rollout began."""
        status = {
            "name": self.name,
            "state": self.state,
            **self.identity,
            "rollouts": self.rollouts,
            "steps": self.steps,
        }
        shares = {
            "steps_per_second": round(self.steps / elapsed, 1),
            "idle_share": round(max(0.0, 1.0 - self.seconds / elapsed), 3),
        }
        return {**status, "seconds": round(self.seconds, 3), "restarts": max(0, self.restarts), **shares}


@dataclass(eq=False)
class _Call:
    """A rollout that a worker was asked for."""

    member: _Member
    shard: Shard
    looked: float
    """When its worker was last looked at: before that, when it was asked."""
    began: float | None = None
    """None while the worker plays for others."""

    def has_run_for(self, seconds: float) -> bool:
        return self.began is not None and time.monotonic() - self.began >= seconds


class RayExecutor:
    """Gives each shard to the next free worker.

    A worker keeps to its shards where it can: so environments stay that would have to be played again elsewhere.
    Workers are named actors, so that several runs of one cluster share them: each run has at most one call with
    each worker, and Ray serves calls in turn. A worker takes part as soon as it answers, also in the middle of a
    run; one whose node has not come yet simply does not. A rollout that is lost with its worker is run again by
    another, and one that passes the deadline ends its worker and is run again, too. It gives the same to the bit.
    A worker whose process was stopped is ended as well, whether it has begun the rollout or not.
    """

    def __init__(self, plan: ExecutorPlan, workers: int, *, deadline: float = 300.0, suffix: str = "") -> None:
        """Start ``workers`` actors, of which more than there are shards would idle.

        Args:
            plan: of all rollouts.
            workers: how many.
            deadline: seconds after its own start after which a rollout counts as hung.
            suffix: of the workers' names: runs share workers whose names are equal.
        """
        self._plan, self._deadline, self._began = ray.put(plan), deadline, 0.0
        self._key = self._plan.hex()  # no other plan of the cluster has it
        self._members = [
            _Member(f"worker-{k}{suffix}", _named_worker(f"{k}{suffix}")) for k in range(min(workers, plan.shards))
        ]
        self._joining: dict[Any, _Member] = {}
        self._idle: deque[_Member] = deque()
        self._running: dict[Any, _Call] = {}
        """By the stream of what the worker says of it."""
        self._looks: dict[Any, Any] = {}
        """By the answer to whether the worker was stopped, the stream that has not begun."""
        self._homes: dict[int, _Member] = {}
        self._shipper = Shipper(ray.put)
        self._closed = threading.Event()
        # One thread: Ray's calls need attention while the learner learns.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rollouts")
        for member in self._members:
            self._invite(member)

    def start(self, request: RolloutRequest) -> Future[Sequence[Any]]:
        self._began = self._began or time.monotonic()
        return self._thread.submit(self._collect, request)

    def status(self) -> list[WorkerStatus]:
        elapsed = max(1e-9, time.monotonic() - (self._began or time.monotonic()))
        return [member.status(elapsed) for member in self._members]

    def close(self) -> None:
        self._closed.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _collect(self, request: RolloutRequest) -> list[Any]:
        """Run every shard, and return references to the rollouts in the order of the shards."""
        pieces, waiting = self._shipper.ship(request.weights), deque(request.shards)
        finished: dict[int, Any] = {}
        attempts = _Attempts()
        while len(finished) < len(request.shards) and not self._closed.is_set():
            while waiting and self._idle:
                member, shard = self._pair(waiting)
                self._send(member, pieces, shard, request.iteration)
            done: list[Any]
            lost: list[_Call] = []
            done, _ = ray.wait([*self._running, *self._joining, *self._looks], num_returns=1, timeout=TICK)
            for reference in done:
                if reference in self._joining:
                    self._welcome(reference)
                elif reference in self._looks:
                    lost += self._end_stopped(reference)
                else:
                    call, item = self._running[reference], next(reference)
                    if self._take(item, reference):
                        finished[call.shard.index] = item
                    elif reference not in self._running:
                        lost.append(call)
            for call in [*lost, *self._end_overdue()]:
                attempts.lost(call, hung=call.has_run_for(self._deadline))
                waiting.append(call.shard)
        return [finished[index] for index in sorted(finished)]

    def _pair(self, waiting: deque[Shard]) -> tuple[_Member, Shard]:
        """Take a free worker and a shard, if there are such one whose environments it has from last time."""
        pairs = ((member, shard) for member in self._idle for shard in waiting)
        known = next((pair for pair in pairs if self._homes.get(pair[1].index) is pair[0]), None)
        # Else one that is nobody's, so that each worker comes to have its own.
        strange = next((shard for shard in waiting if shard.index not in self._homes), waiting[0])
        member, shard = known or (self._idle[0], strange)
        self._idle.remove(member)
        waiting.remove(shard)
        self._homes[shard.index] = member
        return member, shard

    def _send(self, member: _Member, pieces: Sequence[Any], shard: Shard, iteration: int) -> None:
        member.state = "working"
        shipment = pieces[-1].hex()
        given = self._key, self._plan, shard, iteration, *pieces
        method = member.actor.rollout.options(num_returns="streaming")
        stream = method.remote(*given, shipment=shipment, deadline=self._deadline)
        self._running[stream] = _Call(member, shard, time.monotonic())

    def _take(self, item: Any, stream: Any) -> bool:
        """Take what a worker says of a rollout, and return whether it is the rollout; a lost one does not run any more.

        Raises:
            Exception: whatever the rollout raised.
        """
        call = self._running[stream]
        try:
            said = get_result(item)
        except _LOST:
            del self._running[stream]
            self._invite(call.member)
            return False
        except Exception:
            # The worker is well: what it ran is not.
            del self._running[stream]
            self._free(call.member)
            raise
        if said is None:
            call.began = time.monotonic()
            return False
        del self._running[stream]
        fragment, _ = said
        call.member.rollouts += 1
        call.member.steps += fragment.steps
        call.member.seconds += time.monotonic() - (call.began or call.looked)
        self._free(call.member)
        return True

    def _end_overdue(self) -> Iterator[_Call]:
        """End the workers that did not end themselves at the deadline, and yield the calls.

        Where a rollout has not begun within that time, its worker is looked at: it plays for others, or was stopped.
        """
        for stream, call in list(self._running.items()):
            if call.has_run_for(self._deadline + GRACE):
                yield self._end(stream)
            elif call.began is None and time.monotonic() - call.looked >= self._deadline:
                call.looked = time.monotonic()
                self._looks[_look_at(call.member)] = stream

    def _end_stopped(self, look: Any) -> Iterator[_Call]:
        """End a worker that was stopped before it began, and yield the call."""
        stream = self._looks.pop(look)
        with contextlib.suppress(RayError):  # its node has gone, which Ray finds out by itself
            if ray.get(look) and stream in self._running and self._running[stream].began is None:
                yield self._end(stream)

    def _end(self, stream: Any) -> _Call:
        call = self._running.pop(stream)
        ray.kill(call.member.actor, no_restart=False)
        self._invite(call.member)
        return call

    def _free(self, member: _Member) -> None:
        member.state = "idle"
        self._idle.append(member)

    def _invite(self, member: _Member) -> None:
        """Let a worker join once it answers: a new one, or one that Ray starts again."""
        member.state = "starting"
        member.restarts += 1
        self._joining[self._prepare(member)] = member

    def _prepare(self, member: _Member) -> Any:
        return member.actor.prepare.remote(self._key, self._plan)

    def _welcome(self, reference: Any) -> None:
        member = self._joining.pop(reference)
        try:
            member.identity, member.node = ray.get(reference)
        except _LOST as error:
            if not isinstance(error, ActorUnavailableError):
                # Dead for good, as where the run that had started it has ended: start another.
                member.actor = _named_worker(member.name.removeprefix("worker-"))
            time.sleep(TICK / 10)
            self._joining[self._prepare(member)] = member
            return
        self._free(member)


class _Attempts:
    """Counts how often each shard of an iteration took its worker with it."""

    def __init__(self) -> None:
        self._deaths: dict[int, int] = {}
        self._hangs: dict[int, int] = {}

    def lost(self, call: _Call, *, hung: bool) -> None:
        """Count one death, by the deadline or not. One that had not begun was not the cause.

        Raises:
            WorkerError: there were too many.
        """
        if hung:
            self._count(self._hangs, call, MAX_HANGS, "passed its deadline (rollout_deadline)")
        elif call.began is not None:
            self._count(self._deaths, call, MAX_DEATHS, "was lost with its worker")

    @staticmethod
    def _count(counts: dict[int, int], call: _Call, limit: int, what: str) -> None:
        index = call.shard.index
        counts[index] = counts.get(index, 0) + 1
        if counts[index] >= limit:
            raise WorkerError(f"shard {index} {what} {limit} times, on {call.member.name} the last time")


def _named_worker(number: str) -> Any:
    """Start the cluster's worker of that number, or find it where another run has."""
    remote: Any = ray.remote  # its types do not know what classes become
    actor = remote(num_cpus=1, max_restarts=-1, max_task_retries=0)(PoolWorker)
    return actor.options(name=f"wormwood-worker-{number}", get_if_exists=True).remote()


def _look_at(member: _Member) -> Any:
    """Ask the machine of a worker whether its process was stopped."""
    remote: Any = ray.remote  # its types do not know that strategy
    there = NodeAffinitySchedulingStrategy(member.node, soft=False)
    return remote(num_cpus=0, scheduling_strategy=there)(_is_stopped).remote(member.identity["process"])


def _is_stopped(process: int) -> bool:
    """Return whether a process of this machine was stopped, as by SIGSTOP: it neither works nor ends."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in "Tt"
