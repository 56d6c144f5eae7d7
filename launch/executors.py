"""Who runs the rollouts of an iteration: this process, or Ray's workers. The results are the same to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from wormwood.launch.rollouts import RolloutPlan, RolloutWorker
from wormwood.launch.service import Job

__all__ = ["Executor", "InProcessExecutor"]


class Executor(Protocol):
    """Collects the experience of one iteration."""

    def collect(self, job: Job) -> Sequence[Any]:
        """Run every shard of a job, and return the rollouts in the order of the shards, as the service takes them.

        Raises:
            NonFiniteError: an observation, action or reward is NaN or infinite.
            Exception: whatever an environment or policy raises.
        """


class InProcessExecutor:
    """Runs one shard after the other in this process."""

    def __init__(self, plan: RolloutPlan) -> None:
        """Prepare for the rollouts of one plan."""
        self._worker = RolloutWorker(plan)

    def collect(self, job: Job) -> Sequence[Any]:
        return [self._worker.rollout(job.weights, shard, job.iteration) for shard in job.shards]
