"""One run of a memory on a few-shot task: what every experiment of ``memory.py`` is made of."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from wormwood.agents.learning.determinism import seeded_generators
from wormwood.agents.learning.memory.feedback import FeedbackPool
from wormwood.agents.learning.memory.learner import MemoryLearner
from wormwood.agents.learning.memory.network import MemoryNetwork
from wormwood.agents.learning.memory.settings import FeedbackConfig, ScheduleConfig
from wormwood.agents.learning.memory.windows import TrainingTrials
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.envs.few_shot.trials import FewShotTask
from wormwood.envs.randomness import stream
from wormwood.launch.bench.memory.few_shot import as_trial, held_out_score

__all__ = ["EVALUATED", "MEMORY", "Experiment", "Pupil", "Scores", "TrainingOutcome", "play", "with_median"]

Scores = dict[str, float]
"""By seed, and ``median``."""

MEMORY = MemoryConfig(slots=8, width=16, hidden=32)
"""Of every experiment."""

EVALUATED = 2000
"""Held-out trials of a score."""


CHECKED = 100
"""Updates between looks at whether a task is solved."""


@dataclass(frozen=True)
class Experiment:
    """What is run; the defaults are the synthetic gradient alone, with what was shown as context."""

    task: FewShotTask
    fast_every: int = 1
    slow_every: int = 0
    feedback: bool = True
    context: str = "past"
    """``past``, or ``shuffled`` within the batch, which tells the same on average and nothing of the trial."""
    trace: float = 1.0
    updates: int = 1200
    batch: int = 64
    rate: float = 3e-3
    memory: MemoryConfig = MEMORY

    @property
    def schedule(self) -> ScheduleConfig:
        """When the controllers learn."""
        return ScheduleConfig(
            fast_every=self.fast_every,
            slow_every=self.slow_every,
            feedback=self.feedback,
            horizon=self.task.steps,
            read_rate=self.rate,
            output_rate=self.rate,
            write_rate=self.rate,
        )


@dataclass(frozen=True)
class TrainingOutcome:
    """How a run went."""

    score: float
    """Share of right answers, or mean square error, on held-out trials at the end."""
    cpu_s: float
    """Seconds of processor time spent on learning."""
    updates: int


class Pupil:
    """A memory with its head and learner, for one experiment and seed."""

    def __init__(
        self, experiment: Experiment, seed: int, *, pool: FeedbackPool | None = None, name: str | None = None
    ) -> None:
        torch.set_num_threads(1)
        self.experiment, self.seed, self.done, self.cpu_s = experiment, seed, 0, 0.0
        task = experiment.task
        with seeded_generators(seed, 0):
            self.network = MemoryNetwork(experiment.memory, task.inputs)
            self.head = nn.Linear(self.network.features, task.outputs)
            controllers = self.network.controllers()
            controllers["output"] += self.head.parameters()
            self.learner = MemoryLearner(
                self.network,
                controllers,
                schedule=experiment.schedule,
                feedback=FeedbackConfig(trace=experiment.trace, name=name),
                context=task.context_size,
                pool=pool,
            )

    def trial(self, task: FewShotTask) -> TrainingTrials:
        """Return the next batch."""
        batch = task.sample(self.seed, self.done, self.experiment.batch)
        if self.experiment.context == "shuffled":
            order = stream(self.seed, "update", self.done).permutation(self.experiment.batch)
            batch = replace(batch, context=np.ascontiguousarray(batch.context[:, order]))
        return as_trial(batch, task, self.head)

    def learn(self, task: FewShotTask | None = None) -> None:
        """Learn from the next batch, of another task if one is given."""
        trial, began = self.trial(task or self.experiment.task), time.process_time()
        self.learner.update(trial)
        self.cpu_s += time.process_time() - began
        self.done += 1

    def score(self) -> float:
        """Return the score on held-out trials."""
        return held_out_score(self.network, self.head, self.experiment.task, seed=self.seed, trials=EVALUATED)


def play(experiment: Experiment, seed: int, *, solved: float | None = None) -> TrainingOutcome:
    """Learn for the experiment's updates.

    Args:
        experiment: what is run.
        seed: of weights and trials.
        solved: stop as soon as the score, looked at every 100 updates, is at least this.
    """
    pupil = Pupil(experiment, seed)
    while pupil.done < experiment.updates:
        pupil.learn()
        if solved is not None and pupil.done % CHECKED == 0 and pupil.score() >= solved:
            break
    return TrainingOutcome(pupil.score(), pupil.cpu_s, pupil.done)


def with_median(values: Scores) -> Scores:
    """Return scores by seed and their ``median``."""
    return values | {"median": statistics.median(values.values())}
