"""Collects the experience of a model on workers, or in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv
from wormwood.launch.distribute.acting import Acting, Exploration, packed_states
from wormwood.launch.distribute.changes import Changes
from wormwood.launch.distribute.environments import Maker, recipe_of
from wormwood.launch.distribute.observations import Past, filters_of, map_arrays, remember, wrappers_of
from wormwood.launch.distribute.playback import Playback
from wormwood.launch.distribute.workers import Instruction, ModelPlan, Recording, collate, packed_policy
from wormwood.launch.run.executors import Collection, Executor, InProcessExecutor
from wormwood.launch.run.rollouts import Shard
from wormwood.launch.run.service import RolloutRequest

__all__ = ["Collector", "Distribution", "shard_sizes", "stand_at_end"]


@dataclass(frozen=True)
class Distribution:
    """Where and how to collect."""

    workers: int
    address: str
    shards: int | None
    make: Maker | None
    lag: int
    deadline: float


def shard_sizes(environments: int, shards: int | None) -> tuple[int, ...]:
    """Split environments as evenly as can be.

    The number of shards must not depend on the workers, for the result depends on it: by default there are 4, or one
    for 16 environments where that is more.
    """
    count = min(environments, shards or max(4, environments // 16))
    return tuple(len(part) for part in np.array_split(np.arange(environments), count))


class Collector:
    """Lets workers play, and gives what they recorded.

    Swimmers stand where the recording ends: their state has been put back. Environments of gymnasium live in the
    workers; those of the model itself are only reset, and played where the user does.
    """

    def __init__(self, env: VecEnv, acting: type[Acting], distribution: Distribution) -> None:
        """Get ready for a model with these environments, whose policy acts in that way.

        Raises:
            BadInput: they cannot be built in workers.
        """
        self.distribution, self._acting = distribution, acting
        self._executor: Executor | None = None
        self._ahead: Collection | None = None
        self._attach(env)

    def _attach(self, env: VecEnv) -> None:
        self._env = env
        self._wrappers, self._venv = wrappers_of(env)
        self.recipe = recipe_of(self._venv, self.distribution.make)
        self.sizes = shard_sizes(env.num_envs, self.distribution.shards)
        self._last_obs: Any = None
        self._states: list[dict[str, Any]] = []
        self._pasts: list[Past] = []
        self._changes = Changes(self._venv)

    def collect(
        self, model: BaseAlgorithm, exploration: Exploration, *, steps: int, episodes: int | None = None
    ) -> Recording:
        """Play with the model's policy as it is.

        Where a rollout has begun ahead, it is that one.

        Raises:
            BadInput: the model has been given environments that cannot be built in workers.
            Exception: whatever an environment or the policy raises in a worker.
            WorkerError: a rollout ends or hangs every worker that tries.
        """
        assert model.env is not None
        if model.env is not self._env:
            self.close()
            self._changes.detach()
            self._attach(model.env)
        if model._last_obs is not self._last_obs:  # the environments have been reset
            self._states, self._pasts, self._ahead = [], [], None
        collection = self._ahead or self._begin(model, exploration, steps, episodes)
        self._ahead = None
        recordings, after = zip(*self._finish(collection), strict=True)
        self._go_on_from([shard.state["environments"] for shard in after])
        self._pasts = [shard.state["past"] for shard in after]
        exploration.noises[:] = [noise for shard in after for noise in shard.state["noises"]]
        return collate(list(recordings))

    @contextlib.contextmanager
    def shown(self, model: BaseAlgorithm, recording: Recording) -> Iterator[Any]:
        """Give the environments of the model, wrapped as they are, to step through a recording."""
        playback: Any = Playback(self._venv, recording)
        stacks = [
            (wrapper.stacked_obs, recording.through(recording.filters[: index + 1]))
            for index, wrapper in enumerate(reversed(self._wrappers))
            if isinstance(wrapper, VecFrameStack)
        ]
        for stacked, shown in stacks:
            remember(stacked, map_arrays(lambda values: values[0], shown))
        if self._wrappers:
            self._wrappers[-1].venv = playback
        try:
            yield self._env if self._wrappers else playback
        finally:
            if self._wrappers:
                self._wrappers[-1].venv = self._venv
            for stacked, shown in stacks:
                remember(stacked, map_arrays(lambda values: values[-1], shown))
            self._last_obs = model._last_obs

    def begin_ahead(self, model: BaseAlgorithm, exploration: Exploration, *, steps: int) -> None:
        """Begin with the next rollout, if there is a lag: before the update that the policy waits for."""
        if self.distribution.lag:
            self._ahead = self._begin(model, exploration, steps, None)

    def _begin(self, model: BaseAlgorithm, exploration: Exploration, steps: int, episodes: int | None) -> Collection:
        if self._executor is None:
            self._executor = self._start(model)
        weights = {name: _copied(value) for name, value in model.policy.state_dict().items()}
        ends = np.cumsum(self.sizes)
        parts = tuple(_part(exploration, int(end - size), int(end)) for size, end in zip(self.sizes, ends, strict=True))
        instruction: Any = Instruction(weights, filters_of(self._wrappers), steps, parts, episodes)
        shards = tuple(Shard(index, state) for index, state in enumerate(self._beginnings(model)))
        request = RolloutRequest(int(torch.randint(2**62, ())), instruction, shards)
        return self._executor.start(request)

    def _beginnings(self, model: Any) -> list[Any]:
        """Return where each shard goes on from: its environments, what was seen of them, and what the policy knows."""
        environments, known = self._shard_states(), [None] * len(self.sizes)
        pasts: Sequence[Past | None] = self._pasts or known
        cuts = np.cumsum(self.sizes)[:-1]
        states = getattr(model, "_last_lstm_states", None)
        hidden = known if states is None else np.split(packed_states(states), cuts)
        starts = np.split(model._last_episode_starts, cuts)
        parts = zip(environments, pasts, hidden, starts, strict=True)
        return [dict(zip(("environments", "past", "hidden", "episode_start"), part, strict=True)) for part in parts]

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
        recipe = self.recipe if self.distribution.workers == 0 else self.recipe.for_workers()
        plan = ModelPlan(packed_policy(model.policy), recipe, self.sizes, self._acting)
        if self.distribution.workers == 0:
            return InProcessExecutor(plan)
        from wormwood.launch.run.ray_session import connect
        from wormwood.launch.run.ray_workers import RayExecutor

        workers = min(self.distribution.workers, len(self.sizes))
        connect(workers, address=self.distribution.address)
        return RayExecutor(plan, workers, deadline=self.distribution.deadline)

    def wait(self) -> None:
        """Wait until a rollout that has begun ahead is over, if there is one on workers."""
        if self._ahead is not None and self.distribution.workers:
            self._ahead.result()

    def _shard_states(self) -> list[dict[str, Any]]:
        """Return where the environments of each shard go on from."""
        if isinstance(self._venv, SwimmerVecEnv):
            state, ends = self._venv.state(), np.cumsum(self.sizes)
            return [
                {name: rows[end - size : end] for name, rows in state.items()}
                for size, end in zip(self.sizes, ends, strict=True)
            ]
        if not self._states:
            # torch's generator is seeded by the model.
            seed = int(torch.randint(2**62, ()))
            self._states = [{"run_seed": seed, "changes": [[]] * size} for size in self.sizes]
            self._changes.forget_places()
        self._states = self._changes.placed_in(self._states)
        return self._states

    def _go_on_from(self, states: list[dict[str, Any]]) -> None:
        """Take the states of all shards after a rollout."""
        if isinstance(self._venv, SwimmerVecEnv):
            self._venv.restore({name: np.concatenate([state[name] for state in states]) for name in states[0]})
        else:
            self._states = states

    def __getstate__(self) -> dict[str, Any]:
        # A copy asks for workers of its own.
        return {**vars(self), "_executor": None, "_ahead": None}

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
    return replace(exploration, noises=exploration.noises[start:end])


def stand_at_end(model: Any, recording: Recording) -> None:
    """Let a model stand at the end of a recording that is not looked at any further."""
    model._last_obs = map_arrays(lambda array: array[-1], recording.seen)
    model._last_episode_starts = recording.dones[-1]
