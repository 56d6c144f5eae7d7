"""Fast and slow every K-th trial against truncated and slow every K-th, at equal updates and equal processor time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from wormwood.agents.learners import make_learner
from wormwood.agents.policies.table import initial_weights, make_policy
from wormwood.agents.references.playing import held_out_returns
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.few_shot.regression import Sinusoids
from wormwood.envs.randomness import stream
from wormwood.launch.bench.memory.runs import Experiment, Pupil, Scores, with_median
from wormwood.launch.bench.rounds import Progress
from wormwood.launch.run.rollouts import Shard
from wormwood.launch.run.settings import load_config

__all__ = ["SLOW_EVERY", "BanditPupil", "bench_schedules"]

SLOW_EVERY = (4, 8, 16, 32, 64)
BANDIT = "bandit-5-10-fastslow"
HELD_OUT = 20_000
"""Bandits of a score."""


class Learns(Protocol):
    """What is trained by one schedule, from one seed."""

    done: int
    """Updates."""
    cpu_s: float
    """Seconds of processor time that they took."""

    def learn(self) -> None:
        """Make one update."""

    def score(self) -> float:
        """Return the score on held-out trials."""


@dataclass(frozen=True)
class _Task:
    """Something to learn."""

    start: Callable[[int, int, bool], Learns]
    """(seed, slow every so many trials, with feedback) -> what will learn it."""
    updates: int
    """As many as documented."""


class BanditPupil:
    """A memory that learns to play bandits by PPO's losses of each step, on trials that it collects itself."""

    def __init__(self, seed: int, every: int, feedback: bool) -> None:
        """Start as the preset does, with another schedule."""
        schedule = [f"learner.schedule.slow_every={every}", f"learner.schedule.feedback={str(feedback).lower()}"]
        self._config = config = load_config(BANDIT, overrides=schedule, seed=seed)
        weights = initial_weights(config.agent, config.spec, stream(seed, "update"))
        self._learner = make_learner(config.learner, weights, config.learner_context)
        self._worker = config.plan.worker()
        self._shards = tuple(Shard(index) for index in range(config.shards))
        self.done, self.cpu_s = 0, 0.0

    def learn(self) -> None:
        """Collect an iteration's trials, and learn from them: both are paid for."""
        began = time.process_time()
        weights = self._learner.weights()
        rollouts = [self._worker.rollout(weights, shard, self.done) for shard in self._shards]
        self._shards = tuple(shard for _, shard in rollouts)
        self._learner.update([fragment for fragment, _ in rollouts], self.done)
        self.cpu_s += time.process_time() - began
        self.done += 1

    def score(self) -> float:
        """Return the mean reward of a held-out trial."""
        spec = self._config.spec
        assert isinstance(spec, TrialSpec)
        policy = make_policy(self._config.agent, self._learner.policy_weights(), spec)
        return float(np.mean(held_out_returns(policy, spec, HELD_OUT).sum(axis=1)))


def bench_schedules(
    base: Experiment, seeds: Iterable[int], updates: int | None, progress: Progress
) -> dict[str, object]:
    """Learn each task by fast and slow, and by truncated and slow; the latter then goes on until it has cost as much.

    Args:
        base: how prototypes are learned, and all but the task how sinusoids are.
        seeds: of each arm.
        updates: of each run; None is as many as documented.
        progress: is told which seed is learned.
    """
    known = {
        "prototypes": _Task(partial(_pupil, base), 600),
        "sinusoids": _Task(partial(_pupil, replace(base, task=Sinusoids())), 600),
        "bandit": _Task(BanditPupil, 100),
    }
    result: dict[str, object] = {}
    for name, task in known.items():
        for every in SLOW_EVERY:
            arms: dict[str, Scores] = {"fast": {}, "truncated": {}, "truncated_equal_cpu": {}}
            for seed in seeds:
                progress(f"{name}, slow every {every}, seed {seed}", 0.0)
                scores = _compare(partial(task.start, seed, every), updates or task.updates)
                for arm, score in zip(arms, scores, strict=True):
                    arms[arm][str(seed)] = score
            result |= {f"{name}_every_{every}_{arm}": with_median(scores) for arm, scores in arms.items()}
    return result


def _pupil(base: Experiment, seed: int, every: int, feedback: bool) -> Learns:
    return Pupil(replace(base, slow_every=every, feedback=feedback), seed)


def _compare(start: Callable[[bool], Learns], updates: int) -> tuple[float, float, float]:
    """Return the scores of the fast path, and of the truncated one at equal updates and at equal processor time."""
    fast, truncated = start(True), start(False)
    for pupil in (fast, truncated):
        while pupil.done < updates:
            pupil.learn()
    equal_updates = truncated.score()
    while truncated.cpu_s < fast.cpu_s:
        truncated.learn()
    return fast.score(), equal_updates, truncated.score()
