"""The rollout of one shard of a Stable-Baselines3 model: a function of weights, the shard's state, and a seed."""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import cloudpickle
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from threadpoolctl import ThreadpoolController

from wormwood.agents.learning.determinism import one_torch_thread, seeded_generators
from wormwood.envs.randomness import stream
from wormwood.launch.distribute.acting import Acted, Acting, Exploration
from wormwood.launch.distribute.environments import Recipe
from wormwood.launch.distribute.observations import (
    Filter,
    Normalize,
    Observation,
    Past,
    equal,
    filtered,
    map_arrays,
    memory_of,
    stack,
)
from wormwood.launch.run.rollouts import Shard

__all__ = ["Instruction", "ModelPlan", "ModelWorker", "Recording", "collate", "packed_policy"]


@dataclass(frozen=True, eq=False)
class Instruction:
    """What the rollouts of all shards have in common at one time."""

    weights: dict[str, Any]
    """The policy's ``state_dict``."""
    filters: tuple[Filter | None, ...]
    """What the policy sees of the observations."""
    steps: int
    """Steps of each environment."""
    exploration: tuple[Exploration, ...]
    """Of each shard."""
    episodes: int | None = None
    """Episodes after which to stop, in place of steps."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What a rollout of T steps of N environments gave."""

    observation: Observation
    """``[T + 1, N, ...]`` before each step, and after the last; without filters."""
    past: Past
    """What came before the first."""
    episode_start: NDArray[np.bool_]
    """``[N]`` environments that could not go on from where they were, and have begun an episode instead."""
    played: NDArray[Any]
    """``[T, N, ...]`` actions as the environments took them."""
    kept: NDArray[Any]
    """``[T, N, ...]`` actions as the buffer takes them."""
    log_prob: NDArray[np.float32]
    """``[T, N]``"""
    notes: dict[str, NDArray[Any]]
    """``[T, N, ...]`` of ``Acted``."""
    rewards: NDArray[np.float32]
    """``[T, N]``"""
    dones: NDArray[np.bool_]
    """``[T, N]``"""
    infos: list[list[dict[str, Any]]]
    """``[T][N]``"""
    filters: tuple[Filter | None, ...]
    """What the policy saw of the observations."""
    hidden: NDArray[np.float32] | None
    """``[N, ...]`` what a recurrent policy goes on from."""

    @functools.cached_property
    def seen(self) -> Observation:
        """``[T + 1, N, ...]`` the observations as the policy saw them."""
        return self.through(self.filters)

    @functools.cached_property
    def original(self) -> Observation:
        """``[T + 1, N, ...]`` the observations as the policy saw them, but for standardising."""
        return self.through([each for each in self.filters if not isinstance(each, Normalize)])

    def through(self, filters: Sequence[Filter | None]) -> Observation:
        """Return ``[T + 1, N, ...]``, what these filters make of the observations."""
        joined, age = self.past.joined(self.observation, self.dones)
        seen = filtered(filters, joined, age)
        return map_arrays(lambda values: values[self.past.length :], seen)

    @property
    def steps(self) -> int:
        """Environment steps."""
        return int(self.rewards.size)


def collate(recordings: list[Recording]) -> Recording:
    """Put the recordings of shards side by side."""

    def side_by_side(values: Sequence[Any], axis: int = 1) -> Any:
        return map_arrays(lambda *arrays: np.concatenate(arrays, axis=axis), *values)

    def of_all(name: str, axis: int = 1) -> Any:
        return side_by_side([getattr(each, name) for each in recordings], axis)

    pasts = [each.past for each in recordings]
    return Recording(
        observation=of_all("observation"),
        past=Past(side_by_side([each.observation for each in pasts]), np.concatenate([each.age for each in pasts])),
        episode_start=of_all("episode_start", 0),
        played=of_all("played"),
        kept=of_all("kept"),
        log_prob=of_all("log_prob"),
        notes=of_all("notes"),
        rewards=of_all("rewards"),
        dones=of_all("dones"),
        infos=[
            [info for infos in rows for info in infos]
            for rows in zip(*(each.infos for each in recordings), strict=True)
        ],
        filters=recordings[0].filters,
        hidden=None if recordings[0].hidden is None else of_all("hidden", 0),
    )


def packed_policy(policy: BasePolicy) -> bytes:
    """Return a policy as it travels from this process to its workers; its class may be one of the user's script."""
    buffer = io.BytesIO()
    torch.save(policy, buffer, pickle_module=cloudpickle)
    return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class ModelPlan:
    """What all rollouts of a model have in common."""

    policy: bytes
    """Of ``packed_policy``."""
    recipe: Recipe
    sizes: tuple[int, ...]
    """Environments of each shard."""
    acting: type[Acting]

    @property
    def shards(self) -> int:
        return len(self.sizes)

    def worker(self) -> ModelWorker:
        return ModelWorker(self)


class ModelWorker:
    """Executes the rollouts of a model. It keeps no state but scratch space."""

    def __init__(self, plan: ModelPlan) -> None:
        """Build the policy; environments are built when their shard comes."""
        self._plan = plan
        buffer = io.BytesIO(plan.policy)
        self._policy = torch.load(buffer, map_location="cpu", weights_only=False)
        self._environments: dict[int, Any] = {}
        self._blas = ThreadpoolController()  # looking for libraries takes longer than some rollouts
        self._version: Hashable = None

    def rollout(
        self, weights: Instruction, shard: Shard, iteration: int, *, version: Hashable = None
    ) -> tuple[Recording, Shard]:
        """Run one shard.

        Args:
            weights: the policy's, and how to act.
            shard: where to go on from.
            iteration: the seed of all that is drawn.
            version: names these weights, which are taken over once for all calls that follow each other with the same.

        Returns:
            The recording, and the shard to go on from; its state holds the action noise of its environments, too.
        """
        with (
            self._blas.limit(limits=1, user_api="blas"),
            one_torch_thread(),
            seeded_generators(iteration, shard.index),
            torch.no_grad(),
        ):
            environments = self._environment(shard.index)
            given: dict[str, Any] = dict(shard.state)
            before = given["environments"]
            observation = environments.restore(before)
            lost = _differs(observation, before.get("observation"))
            acting = self._plan.acting(
                self._load(weights.weights, version),
                weights.exploration[shard.index],
                environments,
                stream(iteration, "action", shard.index),
            )
            acting.hidden = given["hidden"]
            past = given["past"] or Past.none(observation, memory_of(weights.filters))
            starts = given["episode_start"] | lost
            beginning = _Beginning(observation, past.forgotten(lost), starts, lost)
            recording = _record(environments, beginning, acting, weights)
            state: dict[str, Any] = {
                "environments": environments.state(),
                "noises": acting.exploration.noises,
                "past": recording.past.after(recording.observation, recording.dones),
            }
        return recording, Shard(shard.index, state)

    def _environment(self, shard: int) -> Any:
        if shard not in self._environments:
            first = sum(self._plan.sizes[:shard])
            self._environments[shard] = self._plan.recipe.build(first, self._plan.sizes[shard])
        return self._environments[shard]

    def _load(self, weights: dict[str, Any], version: Hashable) -> Any:
        if version is None or version != self._version:
            self._policy.load_state_dict(weights)
            self._policy.set_training_mode(False)
            self._version = version
        return self._policy


def _differs(observation: Observation, before: Observation | None) -> NDArray[np.bool_]:
    """Return ``[N]`` whether environments begin with another observation than they ended with."""
    arrays = list(observation.values()) if isinstance(observation, dict) else [observation]
    if before is None:
        return np.zeros(len(arrays[0]), dtype=bool)
    known = list(before.values()) if isinstance(before, dict) else [before]
    pairs = zip(arrays, known, strict=True)
    different: NDArray[np.bool_] = np.any(
        [~equal(now, then).reshape(len(now), -1).all(axis=1) for now, then in pairs], axis=0
    )
    return different


@dataclass(frozen=True, eq=False)
class _Beginning:
    """Where a rollout of N environments begins."""

    observation: Observation
    """``[N, ...]``"""
    past: Past
    starts: NDArray[np.bool_]
    """``[N]`` whether an episode begins here."""
    lost: NDArray[np.bool_]
    """``[N]`` whether another should have gone on."""


def _record(environments: Any, begins: _Beginning, acting: Acting, instruction: Instruction) -> Recording:
    observations, acted, rewards, dones, infos = [begins.observation], [], [], [], []
    past, starts, episodes = begins.past, begins.starts, 0
    for t in range(instruction.steps) if instruction.episodes is None else itertools.count():
        action: Acted = acting.act(past.seen(observations[-1], instruction.filters), t, starts)
        observation, reward, done, info = environments.step(action.played)
        for row in np.flatnonzero(done):
            episodes += 1
            if acting.exploration.noises:
                acting.exploration.noises[row].reset()
        if past.length:
            past = past.after(stack([observations[-1], observation]), done[None])
        observations.append(observation)
        acted.append(action)
        rewards.append(reward)
        dones.append(done)
        infos.append(info)
        starts = done
        if instruction.episodes is not None and episodes >= instruction.episodes:
            break
    return Recording(
        observation=stack(observations),
        past=begins.past,
        episode_start=begins.lost,
        played=np.stack([each.played for each in acted]),
        kept=np.stack([each.kept for each in acted]),
        log_prob=np.stack([each.log_prob for each in acted]),
        notes=stack([each.notes for each in acted]),
        rewards=np.stack(rewards),
        dones=np.stack(dones),
        infos=infos,
        filters=instruction.filters,
        hidden=acting.hidden,
    )
