"""The training loop, the same for every agent, learner and executor."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wormwood.agents.policies.interfaces import Arrays
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.launch.run.agent_files import Agent, save_agent
from wormwood.launch.run.evaluation import Evaluation, evaluate
from wormwood.launch.run.executors import Collection, Executor, InProcessExecutor
from wormwood.launch.run.interrupts import interrupts_deferred
from wormwood.launch.run.run_folder import Run, read_metrics
from wormwood.launch.run.service import LearnerService, Progress, Service, ServiceLostError
from wormwood.launch.run.settings import RunConfig
from wormwood.launch.run.threads import one_thread
from wormwood.launch.run.trust import custom_names

__all__ = ["Interrupted", "Watcher", "train"]


MAX_DEATHS = 10
"""Deaths of the service without progress after which a run gives up: the update itself may be the cause."""


class Interrupted(KeyboardInterrupt):
    """The user stopped the run. What was learned is in a checkpoint."""


@dataclass
class Watcher:
    """Told how a run comes along; the default tells nobody."""

    started: Callable[[Progress], None] = lambda progress: None
    """The run goes on from here: once at the start, and again where the service was lost."""
    advanced: Callable[[Mapping[str, Any]], None] = lambda metrics: None
    """An update was made, with these metrics."""


@one_thread
def train(
    run: Run, config: RunConfig, *, workers: int = 0, address: str = "local", watcher: Watcher | None = None
) -> dict[str, Any]:
    """Train to the end, from where the run stands, and export and evaluate the policy.

    Args:
        run: folder to write to, held by this process.
        config: the run's configuration.
        workers: Ray actors that collect experience; 0 collects in this process. The result is the same.
        address: of a running Ray cluster; ``"local"`` starts one for this run.
        watcher: is told of progress.

    Returns:
        The summary, which is also in ``summary.json``.

    Raises:
        Interrupted: the user pressed Ctrl-C.
        NonFiniteError: an observation, action or reward is NaN or infinite; nothing was learned from it.
    """
    name = str(run.path.resolve())
    with _backend(config, workers, address) as (service, executor):
        training = _Training(run, config, service, executor, watcher or Watcher(), name)
        while True:
            try:
                training.continue_from_checkpoint()
                weights, state_sha256 = service.policy_weights(name), service.state_sha256(name)
                break
            except ServiceLostError:
                # Go on from the newest checkpoint, in the service that Ray has started again.
                training.count_death()
            finally:
                # Others may share the service: this run leaves nothing in it, however it ends.
                with contextlib.suppress(ServiceLostError):
                    service.remove(name)
    return _finish(run, config, weights, workers=workers, sha256=state_sha256)


@dataclass
class _Training:
    """The loop of one run: an executor collects experience, and a service learns from it and keeps the checkpoints."""

    run: Run
    config: RunConfig
    service: Service
    executor: Executor
    watcher: Watcher
    name: str
    seconds: float = 0.0
    """Of training before this process went on with the run."""
    update_seconds: float = 0.0
    """Of the updates since then."""
    playing_since: float = 0.0
    """When the first rollout since then began."""
    deaths: int = 0
    """Of the service, one after another without an update in between."""
    done_at_death: int = -1
    """Updates that were done at the latest of them."""

    def continue_from_checkpoint(self) -> None:
        """Train from the newest checkpoint to the end.

        Each round collects one iteration and makes one update from it. With a lag of 1, the next iteration is collected
        during the update. Ctrl-C waits for the end of an update: a checkpoint never lies within one.
        """
        progress = self.service.create(self.name, self.config, self.run.checkpoints_location)
        lost = self.run.truncate_logs(progress.iteration)
        progress = dataclasses.replace(progress, notes=(*progress.notes, *lost))
        self.run.send()
        lines = read_metrics(self.run.metrics)
        self.seconds = (lines[-1].get("seconds") or 0.0) if lines else 0.0
        self.update_seconds, self.began = 0.0, time.monotonic()
        self.playing_since = self.began
        self.watcher.started(progress)
        remaining, lag = self.config.iterations - progress.iteration, self.config.requirements.lag
        if remaining:
            self.run.summary.unlink(missing_ok=True)  # it is of an earlier end
        try:
            self.playing_since = time.monotonic()
            collection = self._collect() if remaining else None
            while collection is not None:
                rollouts = collection.result()
                remaining -= 1
                with interrupts_deferred():
                    self.service.receive(self.name, *rollouts)
                    ahead = self._collect() if lag and remaining else None
                    self._learn()
                collection = self._collect() if remaining and not lag else ahead
        except KeyboardInterrupt:
            # Whoever ends all processes of a run at once ends Ray's, too: the newest checkpoint is then an older one.
            with contextlib.suppress(ServiceLostError):
                self._save()
            raise Interrupted from None
        self._save()

    def count_death(self) -> None:
        """Give up where the service dies again and again without any progress in between.

        Raises:
            ServiceLostError: it did.
        """
        done = len(read_metrics(self.run.metrics))
        self.deaths = self.deaths + 1 if done <= self.done_at_death else 1
        self.done_at_death = max(done, self.done_at_death)
        if self.deaths >= MAX_DEATHS:
            raise ServiceLostError(f"the learner service died {self.deaths} times after iteration {done}")

    def _collect(self) -> Collection:
        """Begin with the next iteration."""
        return self.executor.start(self.service.request(self.name))

    def _learn(self) -> None:
        """Make one update, and write down what it did."""
        config = self.config
        update = self.service.update(self.name)
        self.update_seconds += update.seconds
        metrics = {**update.metrics, "seconds": self.seconds + time.monotonic() - self.began}
        if config.evaluate_every and metrics["iteration"] % config.evaluate_every == 0:
            metrics |= _held_out(config, self.service.policy_weights(self.name))
        # Of the same time as the workers' shares, and without waiting for updates of other runs.
        idle = max(0.0, 1.0 - self.update_seconds / max(1e-9, time.monotonic() - self.playing_since))
        self.run.log(metrics, ledger=update.entries, workers=self.executor.status(), learner_idle_share=idle)
        if metrics["iteration"] % config.checkpoint_every == 0:
            self._save()
        self.watcher.advanced(metrics)

    def _save(self) -> None:
        # The logs first: of what goes beyond a checkpoint they are freed, but what they lack is lost.
        self.run.sync_logs()
        self.run.send()
        self.service.save(self.name)


@contextlib.contextmanager
def _backend(config: RunConfig, workers: int, address: str) -> Iterator[tuple[Service, Executor]]:
    """Give the service and the executor: plain objects, or Ray actors."""
    if workers == 0:
        yield LearnerService(), InProcessExecutor(config.plan)
        return
    if isinstance(config.spec, GymnasiumSpec):
        config.spec.require_importable([name.partition(":")[0] for name in custom_names(config.to_mapping())])
    from wormwood.launch.run.custom_code import Packed, pack
    from wormwood.launch.run.ray_service import RemoteService
    from wormwood.launch.run.ray_session import ray_session
    from wormwood.launch.run.ray_workers import RayExecutor

    with ray_session(min(workers, config.shards), address=address):
        plan = pack(config.plan)
        suffix = f"-{plan.digest}" if isinstance(plan, Packed) else ""
        executor = RayExecutor(plan, workers, deadline=config.rollout_deadline, suffix=suffix)
        with contextlib.closing(executor):
            yield RemoteService(suffix), executor


def _agent(config: RunConfig, weights: Arrays, name: str) -> Agent:
    return Agent(name, config.agent, weights, config.spec)


def _evaluate(config: RunConfig, agent: Agent) -> Evaluation:
    return evaluate(agent, config.spec, episodes=config.evaluation_episodes)


def _held_out(config: RunConfig, weights: Arrays) -> dict[str, float]:
    row = _evaluate(config, _agent(config, weights, "run")).to_row()
    names = ("return_mean", "return_std", "speed_mean")
    return {f"held_out_{name}": row[name] for name in names if row[name] is not None}


def _finish(run: Run, config: RunConfig, weights: Arrays, *, workers: int, sha256: str) -> dict[str, Any]:
    """Export and evaluate the policy, and write the summary."""
    agent = _agent(config, weights, run.path.name)  # a URL's local folder has the name of its last part
    row = _evaluate(config, agent).to_row()
    lines = read_metrics(run.metrics)
    last = {"steps": None, "episodes": None, "seconds": None, **(lines[-1] if lines else {})}
    summary = {
        "run": run.location,
        "seed": config.seed,
        "workers": workers,
        "steps": last["steps"],
        "episodes": last["episodes"],
        "seconds": last["seconds"],
        "return_mean": row["return_mean"],
        "return_std": row["return_std"],
        "speed_mean": row["speed_mean"],
        "state_sha256": sha256,
    }
    save_agent(run.agent, agent, origin={name: summary[name] for name in ("seed", "steps", "return_mean")})
    run.write_summary(summary)
    return summary
