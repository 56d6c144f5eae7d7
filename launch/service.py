"""The learner service: owns learners and the shards of their runs, and keeps their checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wormwood.agents.catalogue import initial_weights
from wormwood.agents.interfaces import Arrays, Fragment, Learner
from wormwood.agents.learners import make_learner
from wormwood.envs.randomness import stream
from wormwood.envs.simulation import ENDED_BY
from wormwood.launch.checkpoints import load_newest, save_checkpoint
from wormwood.launch.configs import RunConfig
from wormwood.launch.rollouts import Rollout, Shard
from wormwood.launch.states import State, nest, state_sha256, unnest

__all__ = ["Job", "LearnerService", "Progress"]


@dataclass(frozen=True)
class Job:
    """What the rollouts of one iteration need."""

    iteration: int
    """Counted from 0."""
    weights: Arrays
    """What the policy, or the population of candidates, acts with."""
    shards: tuple[Shard, ...]
    """Where each shard goes on from."""


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    iteration: int
    """Finished iterations."""
    steps: int
    """Environment steps that updates have consumed."""
    episodes: int
    """Episodes that ended."""
    notes: tuple[str, ...] = ()
    """What a person should know: checkpoints set aside, versions that differ."""


class _HostedRun:
    """One learner, its shards and its counters."""

    def __init__(self, config: RunConfig, checkpoints: Path) -> None:
        self.config, self.checkpoints = config, checkpoints
        setting = config.setting
        weights = initial_weights(config.agent, setting.body, setting.task, stream(config.seed, "update"))
        self.learner: Learner = make_learner(config.learner, weights, setting)
        self.shards = tuple(Shard(index) for index in range(config.shards))
        self.iteration = self.steps = self.episodes = 0
        self.saved: int | None = None

    def state(self) -> State:
        counters = {name: np.array(getattr(self, name)) for name in ("iteration", "steps", "episodes")}
        state = {**nest("learner", self.learner.state()), **counters}
        for shard in self.shards:
            state |= nest(f"shards/{shard.index}", shard.state)
        return state

    def restore(self, state: State) -> None:
        self.learner.restore(unnest("learner", state))
        self.iteration, self.steps, self.episodes = (int(state[n]) for n in ("iteration", "steps", "episodes"))
        self.shards = tuple(Shard(index, unnest(f"shards/{index}", state)) for index in range(self.config.shards))


class LearnerService:
    """Hosts learners by name: the same class in this process and as a Ray actor."""

    def __init__(self) -> None:
        """Start without learners."""
        self._runs: dict[str, _HostedRun] = {}

    def create(self, name: str, config: RunConfig, checkpoints: Path) -> Progress:
        """Start a learner, or go on from the newest good checkpoint in ``checkpoints``.

        Raises:
            BadInput: the configuration asks for what cannot be, or the checkpoints are of another one.
            ValueError: there is a learner of this name.
        """
        if name in self._runs:
            raise ValueError(f"there is already a learner {name!r}")
        run, notes = _HostedRun(config, checkpoints), list[str]()
        found = load_newest(
            checkpoints,
            on_skip=lambda path, reason: notes.append(f"skipped checkpoint {path}: {reason}"),
            config_hash=config.hash,
        )
        if found is not None:
            run.restore(found.state)
            run.saved = run.iteration
            notes += [f"this checkpoint was made with {difference}" for difference in found.warnings]
        self._runs[name] = run
        return Progress(run.iteration, run.steps, run.episodes, tuple(notes))

    def job(self, name: str) -> Job:
        """Return what the coming iteration's rollouts need."""
        run = self._runs[name]
        return Job(run.iteration, run.learner.weights(), run.shards)

    def update(self, name: str, *rollouts: Rollout) -> Mapping[str, float]:
        """Learn from one iteration's rollouts, given in the order of the shards, and return metrics.

        Raises:
            ValueError: a rollout is not of this iteration, or a shard is missing, doubled or out of order.
        """
        run = self._runs[name]
        got = [(fragment.shard, fragment.iteration) for fragment, _ in rollouts]
        if got != [(shard.index, run.iteration) for shard in run.shards]:
            raise ValueError(f"expected each shard of iteration {run.iteration} once, in order; got {got}")
        fragments = [fragment for fragment, _ in rollouts]
        learned = run.learner.update(fragments, run.iteration)
        run.shards = tuple(shard for _, shard in rollouts)
        run.iteration += 1
        run.steps += sum(fragment.steps for fragment in fragments)
        run.episodes += sum(len(fragment.episodes.reward) for fragment in fragments)
        counters = {"iteration": run.iteration, "steps": run.steps, "episodes": run.episodes}
        return {**counters, **_episode_metrics(fragments), **learned}

    def save(self, name: str) -> None:
        """Write a checkpoint, unless this iteration has one.

        Raises:
            BadInput: the folder cannot be written.
            CheckpointError: writing failed; the older checkpoints are intact.
        """
        run = self._runs[name]
        if run.saved == run.iteration:
            return
        metadata = {"steps": run.steps, "episodes": run.episodes}
        save_checkpoint(
            run.checkpoints,
            run.iteration,
            run.state(),
            metadata,
            config_hash=run.config.hash,
            keep=run.config.keep_checkpoints,
        )
        run.saved = run.iteration

    def policy_weights(self, name: str) -> Arrays:
        """Return the weights of the policy as it is now, to evaluate and export."""
        return self._runs[name].learner.policy_weights()

    def state_sha256(self, name: str) -> str:
        """Return the hash of everything that influences the run's future."""
        return state_sha256(self._runs[name].state())

    def remove(self, name: str) -> None:
        """Forget a learner; its checkpoints stay."""
        del self._runs[name]


def _episode_metrics(fragments: list[Fragment]) -> dict[str, Any]:
    """Summarise the episodes that ended in an iteration; empty where none did."""
    reward = np.concatenate([fragment.episodes.reward for fragment in fragments])
    if not len(reward):
        return {}
    speed = np.concatenate([fragment.episodes.speed for fragment in fragments])
    ended_by = np.concatenate([fragment.episodes.ended_by for fragment in fragments])
    return {
        "return_mean": float(reward.mean()),
        "return_std": float(reward.std()),
        "speed_mean": float(speed.mean()),
        "unstable": int(np.count_nonzero(ended_by == ENDED_BY.index("unstable simulation"))),
    }
