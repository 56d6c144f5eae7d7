"""Who runs the rollouts of an iteration: this process, or Ray's workers. The results are the same to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from wormwood.launch.run.rollouts import ExecutorPlan, Rollout
from wormwood.launch.run.service import RolloutRequest

__all__ = ["Collection", "Executor", "InProcessExecutor", "WorkerError", "WorkerStatus"]


class WorkerError(RuntimeError):
    """A rollout cannot be finished: it ends or hangs every worker that tries."""


WorkerStatus = dict[str, Any]
"""One worker: name, state, process, node, rollouts, steps, seconds (busy), restarts, steps_per_second, idle_share."""


class Collection(Protocol):
    """The experience of one iteration, while it is collected."""

    def result(self) -> Sequence[Any]:
        """Wait, and return the rollouts in the order of the shards, as the service takes them.

        Raises:
            NonFiniteError: an observation, action or reward is NaN or infinite.
            Exception: whatever an environment or policy raises.
        """


class Executor(Protocol):
    """Collects experience."""

    def start(self, request: RolloutRequest) -> Collection:
        """Begin to run every shard of a request."""

    def status(self) -> list[WorkerStatus]:
        """Return how each worker is."""

    def close(self) -> None:
        """Give up what has been started."""


class _Postponed:
    """A collection that is made when it is asked for."""

    def __init__(self, worker: Any, request: RolloutRequest) -> None:
        self._worker, self._request = worker, request

    def result(self) -> list[Rollout]:
        request = self._request
        return [self._worker.rollout(request.weights, shard, request.iteration) for shard in request.shards]


class InProcessExecutor:
    """Runs one shard after the other in this process."""

    def __init__(self, plan: ExecutorPlan) -> None:
        """Prepare for the rollouts of one plan."""
        self._worker = plan.worker()

    def start(self, request: RolloutRequest) -> Collection:
        return _Postponed(self._worker, request)

    def status(self) -> list[WorkerStatus]:
        return []

    def close(self) -> None:
        pass
