"""The training loop, the same for every agent, learner and executor."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wormwood.agents.interfaces import Arrays
from wormwood.launch.agent_files import Agent, save_agent
from wormwood.launch.configs import RunConfig
from wormwood.launch.evaluation import Evaluation, evaluate
from wormwood.launch.executors import Executor, InProcessExecutor
from wormwood.launch.runs import Run, read_metrics
from wormwood.launch.service import LearnerService, Progress

__all__ = ["Interrupted", "Watcher", "train"]


class Interrupted(KeyboardInterrupt):
    """The user stopped the run. What was learned is in a checkpoint."""


@dataclass
class Watcher:
    """Told how a run comes along; the default tells nobody."""

    started: Callable[[Progress], None] = lambda progress: None
    advanced: Callable[[Mapping[str, Any]], None] = lambda metrics: None


def train(run: Run, config: RunConfig, *, workers: int = 0, watcher: Watcher | None = None) -> dict[str, Any]:
    """Train to the end, from where the run stands, and export and evaluate the policy.

    Args:
        run: folder to write to, held by this process.
        config: the run's configuration.
        workers: Ray actors that collect experience; 0 collects in this process. The result is the same.
        watcher: is told of progress.

    Returns:
        The summary, which is also in ``summary.json``.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        NonFiniteError: an observation, action or reward is NaN or infinite; nothing was learned from it.
    """
    watcher, started = watcher or Watcher(), time.monotonic()
    with _backend(config, workers) as (service, executor):
        progress = service.create("run", config, run.checkpoints)
        run.truncate_metrics(progress.iteration)
        watcher.started(progress)
        try:
            for _ in range(progress.iteration, config.iterations):
                rollouts = executor.collect(service.job("run"))
                metrics = dict(service.update("run", *rollouts))
                if config.evaluate_every and metrics["iteration"] % config.evaluate_every == 0:
                    metrics |= _held_out(config, service.policy_weights("run"))
                run.log({**metrics, "seconds": time.monotonic() - started})
                if metrics["iteration"] % config.checkpoint_every == 0:
                    service.save("run")
                watcher.advanced(metrics)
        except KeyboardInterrupt:
            service.save("run")
            raise Interrupted from None
        service.save("run")
        weights, state_sha256 = service.policy_weights("run"), service.state_sha256("run")
    return _finish(run, config, weights, workers=workers, seconds=time.monotonic() - started, sha256=state_sha256)


@contextlib.contextmanager
def _backend(config: RunConfig, workers: int) -> Iterator[tuple[LearnerService, Executor]]:
    """Give the service and the executor: plain objects, or Ray actors."""
    if workers == 0:
        yield LearnerService(), InProcessExecutor(config.plan)
        return
    from wormwood.launch.ray_executor import RayExecutor, ray_session, remote_service

    with ray_session(workers):
        yield remote_service(), RayExecutor(config.plan, workers)


def _agent(config: RunConfig, weights: Arrays, name: str) -> Agent:
    return Agent(name, config.agent, weights, config.built_body, config.task)


def _evaluate(config: RunConfig, agent: Agent) -> Evaluation:
    return evaluate(agent, config.built_body, config.built_task, episodes=config.evaluation_episodes)


def _held_out(config: RunConfig, weights: Arrays) -> dict[str, float]:
    row = _evaluate(config, _agent(config, weights, "run")).to_row()
    return {f"held_out_{name}": row[name] for name in ("return_mean", "return_std", "speed_mean")}


def _finish(
    run: Run, config: RunConfig, weights: Arrays, *, workers: int, seconds: float, sha256: str
) -> dict[str, Any]:
    """Export and evaluate the policy, and write the summary."""
    agent = _agent(config, weights, run.path.name)
    row = _evaluate(config, agent).to_row()
    last = read_metrics(run.metrics)[-1]
    summary = {
        "run": str(run.path),
        "seed": config.seed,
        "workers": workers,
        "steps": last["steps"],
        "episodes": last["episodes"],
        "seconds": seconds,
        "return_mean": row["return_mean"],
        "return_std": row["return_std"],
        "speed_mean": row["speed_mean"],
        "state_sha256": sha256,
    }
    save_agent(run.agent, agent, origin={name: summary[name] for name in ("seed", "steps", "return_mean")})
    run.write_summary(summary)
    return summary
