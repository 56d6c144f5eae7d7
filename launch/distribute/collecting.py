"""Collects the experience of a model on workers, or in this process."""

from __future__ import annotations

import atexit
import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnvWrapper

from wormwood.launch.distribute.acting import Exploration
from wormwood.launch.distribute.environments import Maker
from wormwood.launch.distribute.observations import filters_of
from wormwood.launch.distribute.playback import Playback, attach
from wormwood.launch.distribute.workers import Instruction, ModelPlan, Recording, collate, packed_policy
from wormwood.launch.run.executors import Collection, Executor, InProcessExecutor
from wormwood.launch.run.rollouts import Shard
from wormwood.launch.run.service import RolloutRequest

__all__ = ["Collector", "Distribution", "shard_sizes"]

_SESSIONS = contextlib.ExitStack()
"""The connection to Ray: it lasts as long as the process, for other models of it may use it, too."""
atexit.register(_SESSIONS.close)


@dataclass(frozen=True)
class Distribution:
    """Where and how to collect."""

    workers: int
    address: str
    shards: int | None
    make: Maker | None
    lag: int
    deadline: float


@dataclass(frozen=True)
class _Pending:
    """A rollout that has begun."""

    collection: Collection
    episode_of: int
    """How often the environments had been reset."""


def shard_sizes(environments: int, shards: int | None) -> tuple[int, ...]:
    """Split environments as evenly as can be.

    The number of shards must not depend on the workers, for the result depends on it: by default there are 4, or one
    for 16 environments where that is more.
    """
    count = min(environments, shards or max(4, environments // 16))
    return tuple(len(part) for part in np.array_split(np.arange(environments), count))


class Collector:
    """Lets workers play, and gives what they recorded."""

    def __init__(self, model: BaseAlgorithm, distribution: Distribution) -> None:
        """Get ready for ``model``, under whose wrappers its environments become a ``Playback``.

        Raises:
            BadInput: its environments cannot be built in workers.
        """
        assert model.env is not None
        model.env, playback, wrappers = attach(model.env, distribution.make)
        self.distribution = distribution
        self.playback: Playback = playback
        self._wrappers: list[VecEnvWrapper] = wrappers
        self.sizes = shard_sizes(model.n_envs, distribution.shards)
        self._executor: Executor | None = None
        self._ahead: _Pending | None = None

    def collect(
        self, model: BaseAlgorithm, exploration: Exploration, *, steps: int, episodes: int | None = None
    ) -> Recording:
        """Play with the model's policy as it is, and load the playback with what came of it.

        Where a rollout has begun ahead, it is that one.

        Raises:
            Exception: whatever an environment or the policy raises in a worker.
            WorkerError: a rollout ends or hangs every worker that tries.
        """
        if self._ahead is None or self._ahead.episode_of != self.playback.resets:
            self._ahead = self._begin(model, exploration, steps, episodes)
        recordings, after = zip(*self._finish(self._ahead.collection), strict=True)
        self._ahead = None
        self.playback.go_on_from([shard.state["environments"] for shard in after])
        exploration.noises[:] = [noise for shard in after for noise in shard.state["noises"]]
        recording = collate(list(recordings))
        self.playback.show(recording)
        return recording

    def begin_ahead(self, model: BaseAlgorithm, exploration: Exploration, *, steps: int) -> None:
        """Begin with the next rollout, if there is a lag: before the update that the policy waits for."""
        if self.distribution.lag:
            self._ahead = self._begin(model, exploration, steps, None)

    def _begin(self, model: BaseAlgorithm, exploration: Exploration, steps: int, episodes: int | None) -> _Pending:
        if self._executor is None:
            self._executor = self._start(model)
        weights = {name: _copied(value) for name, value in model.policy.state_dict().items()}
        ends = np.cumsum(self.sizes)
        parts = tuple(_part(exploration, int(end - size), int(end)) for size, end in zip(self.sizes, ends, strict=True))
        instruction: Any = Instruction(weights, tuple(filters_of(self._wrappers)), steps, parts, episodes)
        states: list[dict[str, Any]] = self.playback.states(self.sizes)
        shards = tuple(Shard(index, {"environments": state}) for index, state in enumerate(states))  # type: ignore[dict-item]
        request = RolloutRequest(int(torch.randint(2**62, ())), instruction, shards)
        return _Pending(self._executor.start(request), self.playback.resets)

    def _finish(self, collection: Collection) -> list[Any]:
        try:
            results = collection.result()
            if self.distribution.workers:
                from wormwood.launch.run.ray_session import get_result

                return [get_result(reference) for reference in results]
            return list(results)
        except BaseException:
            # Rollouts of other shards may still run: nothing of them is wanted any more.
            self.close()
            raise

    def _start(self, model: BaseAlgorithm) -> Executor:
        on_policy = isinstance(model, OnPolicyAlgorithm)
        recipe = self.playback.recipe if self.distribution.workers == 0 else self.playback.recipe.for_workers()
        plan = ModelPlan(packed_policy(model.policy), recipe, self.sizes, on_policy)
        if self.distribution.workers == 0:
            return InProcessExecutor(plan)
        from wormwood.launch.run.ray_session import ray_session
        from wormwood.launch.run.ray_workers import RayExecutor

        workers = min(self.distribution.workers, len(self.sizes))
        _SESSIONS.enter_context(ray_session(workers, address=self.distribution.address))
        return RayExecutor(plan, workers, deadline=self.distribution.deadline)

    def wait(self) -> None:
        """Wait until a rollout that has begun ahead is over, if there is one on workers."""
        if self._ahead is not None and self.distribution.workers:
            self._ahead.collection.result()

    def close(self) -> None:
        """Let go of the workers; the next rollout asks for them again."""
        if self._executor is not None:
            self._executor.close()
        self._executor = self._ahead = None


def _copied(value: Any) -> Any:
    # The model goes on learning while others act with these.
    return value.detach().cpu().clone() if isinstance(value, torch.Tensor) else value


def _part(exploration: Exploration, start: int, end: int) -> Exploration:
    """Return how the environments of one shard explore."""
    return Exploration(
        exploration.sde_freq, exploration.random_steps, exploration.random_rates, exploration.noises[start:end]
    )
