"""The learner service: owns learners and the shards of their runs, and keeps their checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from wormwood.agents.learners import make_learner
from wormwood.agents.learning.interfaces import Fragment, Learner
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import initial_weights
from wormwood.envs.randomness import stream
from wormwood.envs.simulation import ENDED_BY
from wormwood.errors import bad_input
from wormwood.launch.run.custom_code import opened
from wormwood.launch.run.ledger import EMPTY, Entry, chain, make_entry
from wormwood.launch.run.rollouts import NonFiniteError, Rollout, Shard
from wormwood.launch.run.settings import RunConfig
from wormwood.launch.storage.checkpoints import load_newest, save_checkpoint
from wormwood.launch.storage.mirrors import Mirror
from wormwood.launch.storage.states import State, nest, state_sha256, unnest

__all__ = ["LearnerService", "Progress", "RolloutRequest", "Service", "ServiceLostError", "Update"]


@dataclass(frozen=True)
class RolloutRequest:
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
    """Finished updates."""
    steps: int
    """Environment steps that updates have consumed."""
    episodes: int
    """Episodes that ended in them."""
    notes: tuple[str, ...] = ()
    """What a person should know: checkpoints set aside, versions that differ."""


@dataclass(frozen=True)
class Update:
    """What one update did."""

    metrics: dict[str, Any]
    entries: tuple[Entry, ...]
    """The lines of the ledger."""
    seconds: float
    """That it took, without waiting for updates of other runs."""


class _HostedRun:
    """One learner, its shards and its counters.

    Iteration k is collected by the policy of k - lag updates. With a lag of 1, an iteration's weights are therefore
    taken before the update that runs while it is collected, and belong to the state.
    """

    def __init__(self, config: RunConfig, checkpoints: Path | str) -> None:
        self.config, self.lag = config, config.requirements.lag
        self.mirror = Mirror(checkpoints) if isinstance(checkpoints, str) else None
        self.checkpoints = self.mirror.folder if self.mirror else Path(checkpoints)
        context = config.learner_context
        weights = initial_weights(config.agent, context.spec, stream(config.seed, "update"))
        self.learner: Learner = make_learner(config.learner, weights, context)
        self.shards = tuple(Shard(index) for index in range(config.shards))
        self.iteration = self.steps = self.episodes = 0
        self.ledger = EMPTY
        self.waiting: tuple[Fragment, ...] = ()
        self.older_weights: Arrays = self.learner.weights() if self.lag else {}
        self.saved: int | None = None
        self.latest_return: float | None = None

    @property
    def collected(self) -> int:
        """Iterations whose experience has arrived."""
        return self.iteration + bool(self.waiting)

    def state(self) -> State:
        """Return everything that influences the future. An iteration that waits for its update is not part of it."""
        counters = {name: np.array(getattr(self, name)) for name in ("iteration", "steps", "episodes", "ledger")}
        state = {**nest("learner", self.learner.state()), **nest("older_weights", self.older_weights), **counters}
        for shard in self.shards:
            state |= nest(f"shards/{shard.index}", shard.state)
        return state

    def restore(self, state: State, *, path: Path) -> None:
        """Go on from the state of a checkpoint at ``path``.

        Raises:
            BadInput: it is not a state of this version's learner.
        """
        kind = self.config.learner.kind
        try:
            self.learner.restore(unnest("learner", state))
        except (KeyError, RuntimeError) as error:
            expected, got = f"what learner {kind} of this version saves", " ".join(str(error).split())
            raise bad_input("checkpoint", where=str(path), expected=expected, got=got) from error
        self.iteration, self.steps, self.episodes = (int(state[n]) for n in ("iteration", "steps", "episodes"))
        self.ledger, self.older_weights = state["ledger"], unnest("older_weights", state)
        self.shards = tuple(Shard(index, unnest(f"shards/{index}", state)) for index in range(self.config.shards))


class Service(Protocol):
    """Hosts learners by name."""

    def create(self, name: str, config: RunConfig, checkpoints: Path | str) -> Progress:
        """Start a learner, or go on from the newest good checkpoint in ``checkpoints``, a folder or a URL.

        A learner of this name is replaced: who creates it again has lost track of it.

        Raises:
            BadInput: the configuration asks for what cannot be, the checkpoints are of another one, or the URL cannot
                be reached.
            StorageError: the checkpoints at the URL cannot be read.
        """

    def request(self, name: str) -> RolloutRequest:
        """Return what the coming iteration's rollouts need."""

    def receive(self, name: str, *rollouts: Rollout) -> None:
        """Take one iteration's rollouts, in the order of the shards, for the next update.

        Raises:
            ValueError: a rollout is not of this iteration, or a shard is missing, doubled or out of order.
        """

    def update(self, name: str) -> Update:
        """Learn from the iteration that waits.

        Raises:
            ValueError: none does.
            NonFiniteError: the learner has diverged; the checkpoints are from before.
        """

    def save(self, name: str) -> None:
        """Write a checkpoint, unless this iteration has one. Experience that waits for its update is not in it.

        Raises:
            BadInput: the folder cannot be written.
            CheckpointError: writing failed; the older checkpoints are intact.
            StorageError: it could not be sent to the run's URL, where the older ones are intact.
        """

    def policy_weights(self, name: str) -> Arrays:
        """Return the weights of the policy as it is now, to evaluate and export."""

    def state_sha256(self, name: str) -> str:
        """Return the hash of everything that influences the run's future."""

    def remove(self, name: str) -> None:
        """Forget a learner, if it is there; its checkpoints stay."""

    def status(self) -> dict[str, dict[str, Any]]:
        """Return how far each run has come. It may be asked at any time, also while an update runs."""


class LearnerService:
    """Hosts learners in this process, which may be that of a Ray actor."""

    def __init__(self) -> None:
        self._runs: dict[str, _HostedRun] = {}

    def create(self, name: str, config: RunConfig, checkpoints: Path | str) -> Progress:
        config = opened(config)  # with classes of the user's it comes packed
        run, notes = _HostedRun(config, checkpoints), list[str]()
        if run.mirror:
            run.mirror.fetch()
        found = load_newest(
            run.checkpoints,
            on_skip=lambda path, reason: notes.append(f"skipped checkpoint {path}: {reason}"),
            config_hashes=(config.hash, config.old_hash),
        )
        if found is not None:
            run.restore(found.state, path=found.path)
            run.saved = run.iteration
            notes += [f"this checkpoint was made with {difference}" for difference in found.warnings]
        elif notes:
            notes.append("no good checkpoint is left: starting again from iteration 0")
        self._runs[name] = run
        return Progress(run.iteration, run.steps, run.episodes, tuple(notes))

    def request(self, name: str) -> RolloutRequest:
        run = self._runs[name]
        weights = run.older_weights if run.lag else run.learner.weights()
        return RolloutRequest(run.collected, weights, run.shards)

    def receive(self, name: str, *rollouts: Rollout) -> None:
        run = self._runs[name]
        got = [(fragment.shard, fragment.iteration) for fragment, _ in rollouts]
        if run.waiting or got != [(shard.index, run.iteration) for shard in run.shards]:
            raise ValueError(f"expected each shard of iteration {run.collected} once, in order; got {got}")
        run.waiting = tuple(fragment for fragment, _ in rollouts)
        run.shards = tuple(shard for _, shard in rollouts)
        if run.lag:
            run.older_weights = run.learner.weights()

    def update(self, name: str) -> Update:
        run, began = self._runs[name], time.monotonic()
        if not run.waiting:
            raise ValueError(f"iteration {run.iteration} has not been received")
        fragments, version = run.waiting, max(0, run.iteration - run.lag)
        learned = run.learner.update(fragments, run.iteration)
        _require_finite(run.learner.policy_weights(), iteration=run.iteration)
        entries = tuple(make_entry(fragment, policy_version=version) for fragment in fragments)
        run.ledger, run.waiting = chain(run.ledger, entries), ()
        run.iteration += 1
        run.steps += sum(entry["steps"] for entry in entries)
        run.episodes += sum(entry["episodes"] for entry in entries)
        counters = {"iteration": run.iteration, "steps": run.steps, "episodes": run.episodes}
        metrics = {**counters, **_episode_metrics(fragments), **learned}
        run.latest_return = metrics.get("return_mean")
        return Update(metrics, entries, time.monotonic() - began)

    def save(self, name: str) -> None:
        run = self._runs[name]
        if run.waiting:
            raise ValueError("a checkpoint is made between an update and the next receipt")
        if run.saved == run.iteration:
            return
        metadata = {"steps": run.steps, "episodes": run.episodes, "return_mean": run.latest_return}
        save_checkpoint(
            run.checkpoints,
            run.iteration,
            run.state(),
            metadata,
            config_hash=run.config.hash,
            keep=run.config.keep_checkpoints,
            keep_best="return_mean",
        )
        if run.mirror:
            run.mirror.send(prune=True)
        run.saved = run.iteration

    def policy_weights(self, name: str) -> Arrays:
        return self._runs[name].learner.policy_weights()

    def state_sha256(self, name: str) -> str:
        return state_sha256(self._runs[name].state())

    def remove(self, name: str) -> None:
        run = self._runs.pop(name, None)
        if run is not None and run.mirror:
            run.mirror.close()

    def status(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "agent": run.config.agent.kind,
                "learner": run.config.learner.kind,
                "iteration": run.iteration,
                "iterations": run.config.iterations,
                "steps": run.steps,
                "episodes": run.episodes,
                "last_checkpoint": run.saved,
            }
            for name, run in list(self._runs.items())
        }


def _require_finite(weights: Arrays, *, iteration: int) -> None:
    for name, values in weights.items():
        if not np.isfinite(values).all():
            raise NonFiniteError(f"weight {name} of the policy is not finite after the update of iteration {iteration}")


def _episode_metrics(fragments: tuple[Fragment, ...]) -> Mapping[str, Any]:
    """Summarise the episodes of an iteration: those that were lost, and those that ended, if any."""
    lost = sum(fragment.lost for fragment in fragments)
    given_up = {"episodes_lost": lost} if lost else {}
    reward = np.concatenate([fragment.episodes.reward for fragment in fragments])
    if not len(reward):
        return given_up
    speed = np.concatenate([fragment.episodes.speed for fragment in fragments])
    ended_by = np.concatenate([fragment.episodes.ended_by for fragment in fragments])
    return {
        **given_up,
        "return_mean": float(reward.mean()),
        "return_std": float(reward.std()),
        **({} if np.isnan(speed).any() else {"speed_mean": float(speed.mean())}),
        "unstable": int(np.count_nonzero(ended_by == ENDED_BY.index("unstable simulation"))),
    }


class ServiceLostError(RuntimeError):
    """The learner service died, and with it what it had learned since the last checkpoint."""
