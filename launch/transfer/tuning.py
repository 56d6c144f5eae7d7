"""Retention and fine-tuning on the bodies that a suite names for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.envs.specs import SwimmerSpec
from wormwood.launch.run.agent_files import Agent
from wormwood.launch.run.settings import RunConfig
from wormwood.launch.transfer.adaptation import NotTransferable, PaddedAgent, fit_agent
from wormwood.launch.transfer.execution import measure
from wormwood.launch.transfer.specialists import Training, on_body, steps_to, untrained
from wormwood.launch.transfer.statistics import interquartile_mean
from wormwood.launch.transfer.zero_shot import EvaluationJob

__all__ = ["SHARE_OF_SPECIALIST", "Request", "Tuning", "tune"]

SHARE_OF_SPECIALIST = 0.9
"""The threshold that fine-tuning and training from scratch race to, as a share of the specialist's return."""


@dataclass(frozen=True)
class Request:
    """How to train and judge on every body."""

    outcomes: Path
    """Folder of finished outcomes."""
    cache: Path
    """Folder of training runs."""
    shares: tuple[float, ...] = ()
    """Of the budget, at which fine-tuned agents are judged, in rising order; none does not fine-tune."""
    starts: int = 10
    seed: int = 0
    pad: bool = False
    workers: int = 0
    address: str = "local"


@dataclass(frozen=True)
class Tuning:
    """One agent on one body beside a specialist. Returns are interquartile means over the same held-out starts."""

    agent: str
    body: str
    zero_shot: float | None
    """None where the agent cannot act on the body."""
    specialist: float
    """Trained from scratch on the body with the agent's preset, seed and budget."""
    from_scratch: float
    """The agent that the specialist was before any training."""
    tuned: tuple[tuple[float, float], ...] = ()
    """Share of the budget, and return after as much fine-tuning; empty where there was none."""
    threshold: float | None = None
    """What both race to: a share of the specialist's mean return over its own held-out starts."""
    steps_tuned: int | None = None
    """Environment steps until fine-tuning reached the threshold, 0 at once; None where it did not."""
    steps_from_scratch: int | None = None
    """The same for training from scratch."""

    @property
    def retention(self) -> float | None:
        """Zero-shot return as a share of the specialist's."""
        return None if self.zero_shot is None or self.specialist <= 0 else self.zero_shot / self.specialist

    @property
    def jumpstart(self) -> float | None:
        """By how much the agent starts better than one that knows nothing."""
        return None if self.zero_shot is None else self.zero_shot - self.from_scratch


def tune(
    agent: Agent,
    config: RunConfig,
    spec: SwimmerSpec,
    request: Request,
    *,
    progress: Callable[[str, float], None] = lambda doing, share: None,
) -> Tuning:
    """Train a specialist, and fine-tune the agent where that is asked for.

    Args:
        agent: from a run.
        config: of that run.
        spec: the body and the task.
        request: how.
        progress: is told what is being done, and which share of it is done.

    Raises:
        Interrupted: the user stopped it; the next call goes on.
    """
    there = on_body(config, spec)
    specialist = Training(there, request.cache)
    expert = _train(specialist, 1.0, request, lambda share: progress(f"specialist on {spec.body.name}", share))
    zero_shot, best, scratch = _judge([agent, expert, untrained(there)], spec, request)
    assert best is not None
    assert scratch is not None
    curve = specialist.curve()
    if not request.shares or not _can_go_on(agent, spec):
        return Tuning(agent.name, spec.body.name, zero_shot, best, scratch)
    training, tuned = Training(there, request.cache, start=agent.weights), []
    for share in request.shares:
        learned = _train(training, share, request, lambda done: progress(f"fine-tuning on {spec.body.name}", done))
        (score,) = _judge([learned], spec, request)
        assert score is not None
        tuned.append((share, score))
    threshold = SHARE_OF_SPECIALIST * curve[-1][1]
    at_once = 0 if zero_shot is not None and zero_shot >= threshold else None
    return Tuning(
        agent.name,
        spec.body.name,
        zero_shot,
        best,
        scratch,
        tuple(tuned),
        threshold,
        steps_tuned=steps_to(threshold, training.curve()) if at_once is None else at_once,
        steps_from_scratch=0 if scratch >= threshold else steps_to(threshold, curve),
    )


def _train(training: Training, share: float, request: Request, progress: Callable[[float], None]) -> Agent:
    total = training.iterations(share)
    return training.run(
        share, workers=request.workers, address=request.address, progress=lambda done: progress(done / total)
    )


def _can_go_on(agent: Agent, spec: SwimmerSpec) -> bool:
    """Tell whether the agent's weights fit the body, and its learner can start from weights."""
    try:
        fits = not isinstance(fit_agent(agent, spec), PaddedAgent)
    except NotTransferable:
        return False
    return fits and agent.weights is not None and not isinstance(agent.config, ForestConfig)


def _judge(agents: Sequence[Agent], spec: SwimmerSpec, request: Request) -> list[float | None]:
    jobs = [EvaluationJob(agent, spec, starts=request.starts, seed=request.seed, pad=request.pad) for agent in agents]
    outcomes = measure(jobs, request.outcomes)
    return [float(interquartile_mean(np.array(o.returns))) if o.reason is None else None for o in outcomes]
