"""Who runs the rollouts of an iteration: this process, or Ray's workers. The results are the same to the bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Protocol

from wormwood.launch.run.rollouts import ExecutorPlan
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
    """A collection that is made when it is asked for, once."""

    def __init__(self, result: Callable[[], Sequence[Any]]) -> None:
        self.result = result


class InProcessExecutor:
    """Runs one shard after the other in this process."""

    def __init__(self, plan: ExecutorPlan) -> None:
        """Prepare for the rollouts of one plan."""
        self._worker = plan.worker()
        self._started = 0

    def start(self, request: RolloutRequest) -> Collection:
        self._started += 1
        play = partial(self._worker.rollout, version=self._started)
        return _Postponed(partial(list, map(play, repeat(request.weights), request.shards, repeat(request.iteration))))

    def status(self) -> list[WorkerStatus]:
        return []

    def close(self) -> None:
        pass
