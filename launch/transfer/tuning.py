"""Retention and fine-tuning on the bodies that a suite names for them."""

from __future__ import annotations

import dataclasses
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
from wormwood.launch.transfer.specialists import Stage, Training, on_body, untrained
from wormwood.launch.transfer.statistics import interquartile_mean
from wormwood.launch.transfer.zero_shot import EvaluationJob

__all__ = ["Request", "Returns", "Tuning", "score", "tune"]


@dataclass(frozen=True)
class Request:
    """How to train and judge on every body."""

    outcomes: Path
    """Folder of finished outcomes."""
    cache: Path
    """Folder of training runs."""
    shares: tuple[float, ...] = ()
    """Of the budget, at which fine-tuned agents are judged, in rising order; none does not fine-tune."""
    threshold: float = 0.9
    """What fine-tuning and training from scratch race to, as a share of the specialist's return."""
    starts: int = 10
    seed: int = 0
    pad: bool = False
    workers: int = 0
    address: str = "local"


Returns = tuple[float, ...]
"""Of each held-out start, the same starts for all."""


@dataclass(frozen=True)
class Tuning:
    """One policy on one body beside a specialist, all on the same held-out starts."""

    agent: str
    """The policy: an agent, or one training run of a group."""
    body: str
    zero_shot: Returns
    """Empty where the agent cannot act on the body."""
    specialist: Returns
    """Trained from scratch on the body with the agent's preset, seed and budget."""
    from_scratch: Returns
    """The agent that the specialist was before any training."""
    tuned: tuple[tuple[float, Returns], ...] = ()
    """Share of the budget, and returns after as much fine-tuning; empty where there was none."""
    threshold: float | None = None
    """The return that both race to, a share of the specialist's; None where that is not positive."""
    steps_tuned: int | None = None
    """Environment steps until fine-tuning reached the threshold, 0 at once; None where it did not."""
    steps_from_scratch: int | None = None
    """The same for training from scratch."""


def tune(
    agent: Agent,
    config: RunConfig,
    spec: SwimmerSpec,
    request: Request,
    *,
    progress: Callable[[str, float], None] = lambda doing, share: None,
) -> Tuning:
    """Train a specialist, and fine-tune the agent where that is asked for.

    Every return is the interquartile mean over the request's held-out starts, while training, too: whoever is better
    by one of them is better by all.

    Args:
        agent: from a run.
        config: of that run.
        spec: the body and the task.
        request: how.
        progress: is told what is being done, and which share of it is done.

    Raises:
        Interrupted: the user stopped it; the next call goes on.
    """
    there, name = on_body(config, spec), spec.body.name
    specialist = Training(there, request.cache)
    stages = _train(specialist, specialist.stages, request, lambda share: progress(f"specialist on {name}", share))
    zero_shot, best, scratch = _judge([agent, stages[-1].agent, untrained(there)], spec, request)
    tuning = Tuning(agent.name, name, zero_shot, best, scratch)
    if not request.shares or not _can_go_on(agent, spec):
        return tuning
    fine = Training(there, request.cache, start=agent.weights)
    asked = {fine.iterations(share): share for share in request.shares}
    steps = sorted({*asked, *(stage for stage in fine.stages if stage < max(asked))})
    tuned = _train(fine, steps, request, lambda share: progress(f"fine-tuning on {name}", share))
    curve = _judged(tuned, spec, request)
    scores = {stage.iterations: returns for stage, returns in curve}
    aim = request.threshold * score(best)
    return dataclasses.replace(
        tuning,
        tuned=tuple((share, scores[fine.iterations(share)]) for share in request.shares),
        threshold=aim if aim > 0 else None,
        steps_tuned=_steps_to(aim, zero_shot, curve),
        steps_from_scratch=_steps_to(aim, scratch, _judged(stages, spec, request)),
    )


def score(returns: Returns) -> float:
    """Return what one policy is judged by: the interquartile mean of its returns ``[E]``."""
    return float(interquartile_mean(np.array(returns)))


def _train(
    training: Training, iterations: Sequence[int], request: Request, progress: Callable[[float], None]
) -> list[Stage]:
    """Train up to some iterations, in rising order, and return the agent at each."""
    last = iterations[-1]
    return [
        training.reach(
            stage, workers=request.workers, address=request.address, progress=lambda done: progress(done / last)
        )
        for stage in iterations
    ]


def _can_go_on(agent: Agent, spec: SwimmerSpec) -> bool:
    """Tell whether the agent's weights fit the body, and its learner can start from weights."""
    try:
        fits = not isinstance(fit_agent(agent, spec), PaddedAgent)
    except NotTransferable:
        return False
    return fits and agent.weights is not None and not isinstance(agent.config, ForestConfig)


def _judge(agents: Sequence[Agent], spec: SwimmerSpec, request: Request) -> list[Returns]:
    jobs = [EvaluationJob(agent, spec, starts=request.starts, seed=request.seed, pad=request.pad) for agent in agents]
    return [outcome.returns for outcome in measure(jobs, request.outcomes)]


def _judged(stages: Sequence[Stage], spec: SwimmerSpec, request: Request) -> list[tuple[Stage, Returns]]:
    return list(zip(stages, _judge([stage.agent for stage in stages], spec, request), strict=True))


def _steps_to(aim: float, start: Returns, curve: Sequence[tuple[Stage, Returns]]) -> int | None:
    """Return the environment steps at which a return was reached first: 0 at the start, None never."""
    if aim <= 0:
        return None
    if start and score(start) >= aim:
        return 0
    return next((stage.steps for stage, returns in curve if score(returns) >= aim), None)
