"""Training on the bodies of a suite: specialists from scratch, and agents that go on from what they know.

Every training run is an ordinary run folder, named by its configuration's hash and by what it started from. It is found
again by whoever asks for the same, and goes on where it was stopped.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wormwood.agents.learners import make_learner
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import initial_weights
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, body_fields
from wormwood.envs.randomness import stream
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.task_table import options_of, task_name
from wormwood.errors import BadInput
from wormwood.launch.run.agent_files import Agent, load_agent
from wormwood.launch.run.ledger import EMPTY
from wormwood.launch.run.run_folder import Run, RunFolder, read_metrics
from wormwood.launch.run.settings import RunConfig, parse_config
from wormwood.launch.run.training import Watcher, train
from wormwood.launch.run.trust import custom_names
from wormwood.launch.storage.checkpoints import save_checkpoint
from wormwood.launch.storage.states import nest, state_sha256

__all__ = ["Stage", "Training", "config_of", "on_body", "untrained"]

STAGES = 10
"""Of a whole budget, after each of which the agent is kept: how finely the steps to a threshold are known."""


@dataclass(frozen=True)
class Stage:
    """How far a training has come."""

    iterations: int
    steps: int
    """Environment steps so far."""
    agent: Agent


@dataclass(frozen=True)
class Training:
    """One training run, which may be stopped and gone on with."""

    config: RunConfig
    """Of the whole budget."""
    cache: Path
    """Folder of all such runs."""
    start: Arrays | None = None
    """Weights to go on from; None starts from scratch."""

    @property
    def stages(self) -> list[int]:
        """The iterations after which the agent is kept, in rising order; the last is the whole budget."""
        return sorted({self.iterations((number + 1) / STAGES) for number in range(STAGES)})

    def iterations(self, share: float) -> int:
        """Return the iterations that a share of the budget buys, at least one."""
        return max(1, round(share * self.config.iterations))

    def folders(self) -> Iterator[RunFolder]:
        """Give where it keeps its files. No run goes back: who asks for less than it has done needs another."""
        origin = "scratch" if self.start is None else state_sha256(self.start)[:16]
        first = self.cache / f"{self.config.hash[:16]}-{origin}"
        yield RunFolder(first)
        yield from (RunFolder(first.with_name(f"{first.name}-{number}")) for number in itertools.count(2))

    def reach(
        self,
        iterations: int,
        *,
        workers: int = 0,
        address: str = "local",
        progress: Callable[[int], None] = lambda iteration: None,
    ) -> Stage:
        """Train until so many iterations are done, unless they are, and return the agent as it is then.

        Raises:
            Interrupted: the user stopped it; the next call goes on.
            BadInput: the folder cannot be written, or the agent cannot learn on this body.
        """
        folder = next(folder for folder in self.folders() if _can_reach(folder, iterations))
        kept = _stage_folder(folder, iterations)
        if not kept.is_dir():
            config = dataclasses.replace(self.config, iterations=iterations)
            with self._open(folder, config) as run:
                watcher = Watcher(advanced=lambda metrics: progress(metrics["iteration"]))
                train(run, config, workers=workers, address=address, watcher=watcher)
                draft = kept.with_name(f".{kept.name}")
                shutil.rmtree(draft, ignore_errors=True)
                shutil.copytree(run.agent, draft)
                draft.rename(kept)
        lines = read_metrics(folder.metrics)
        steps = next(int(line["steps"]) for line in lines if line["iteration"] == iterations)
        return Stage(iterations, steps, load_agent(str(kept), trust=custom_names(self.config.to_mapping())))

    def _open(self, folder: RunFolder, config: RunConfig) -> Run:
        if folder.config.is_file():
            run = Run.resume(folder.path)
            run.replace_config(config.to_yaml())
        else:
            run = Run.create(folder.path, config.to_yaml())
        if self.start is not None and not run.metrics.exists():
            _write_start(run, config, self.start)
        return run


def _stage_folder(folder: RunFolder, iterations: int) -> Path:
    return folder.path / f"stage-{iterations}"


def _can_reach(folder: RunFolder, iterations: int) -> bool:
    """Tell whether a run has been at so many iterations and kept the agent, or has not come farther."""
    done = max((line["iteration"] for line in read_metrics(folder.metrics)), default=0)
    return done <= iterations or _stage_folder(folder, iterations).is_dir()


def _write_start(run: Run, config: RunConfig, weights: Arrays) -> None:
    """Write a checkpoint of iteration 0 with a learner that starts from ``weights``."""
    learner = make_learner(config.learner, weights, config.learner_context)
    state = {
        **nest("learner", learner.state()),
        **nest("older_weights", learner.weights() if config.requirements.lag else {}),
        **{name: np.array(0) for name in ("iteration", "steps", "episodes")},
        "ledger": EMPTY,
    }
    metadata = {"steps": 0, "episodes": 0, "return_mean": None}
    save_checkpoint(run.checkpoints, 0, state, metadata, config_hash=config.hash, keep=config.keep_checkpoints)


def config_of(agent_text: str, *, trust: Collection[str] = ()) -> RunConfig | None:
    """Return the configuration of the run that an agent is from, or None where it is from none on a swimmer."""
    folder = RunFolder(Path(agent_text))
    if not folder.config.is_file():
        return None
    try:
        config = parse_config(folder.read_config(), where=str(folder.config), location=agent_text, trust=trust)
    except BadInput:
        return None  # of an earlier version: its agent can act, but nobody can be trained like it
    return config if isinstance(config.spec, SwimmerSpec) else None


def on_body(config: RunConfig, spec: SwimmerSpec) -> RunConfig:
    """Return the same training, with the same budget, on another body and task."""
    return dataclasses.replace(
        config,
        body=_plain_body(spec.body),
        other_bodies=(),
        task=task_name(spec.task),
        task_options=options_of(spec.task),
        evaluate_every=0,
    )


def _plain_body(body: Body) -> str | dict[str, Any]:
    return body.name if body == GYMNASIUM_SWIMMER else body_fields(body)


def untrained(config: RunConfig) -> Agent:
    """Return the agent that a training from scratch starts with."""
    weights = initial_weights(config.agent, config.spec, stream(config.seed, "update"))
    return Agent("untrained", config.agent, weights, config.spec)
