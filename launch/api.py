"""What Python users call, and the command line as well: one function for each thing."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wormwood.configs.custom import is_custom, load_modules
from wormwood.envs.bodies import Body, load_body
from wormwood.envs.faces.common import LARGEST_SEED, choose_body, choose_task
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input
from wormwood.launch.run.agent_files import Agent, load_agent
from wormwood.launch.run.environment_settings import Spec
from wormwood.launch.run.evaluation import Evaluation
from wormwood.launch.run.evaluation import evaluate as evaluate_in
from wormwood.launch.run.opening import open_run
from wormwood.launch.run.run_folder import Run, read_metrics
from wormwood.launch.run.settings import RunConfig
from wormwood.launch.run.training import Interrupted, Watcher
from wormwood.launch.run.training import train as train_to_the_end
from wormwood.launch.transfer.plan import ReportPlan
from wormwood.launch.transfer.report import Report, make_report

__all__ = ["evaluate", "spec_for", "train", "train_run", "transfer"]

Place = str | os.PathLike[str]


def train(  # noqa: PLR0913 # the options of `wormwood train`
    preset: Place | Mapping[str, Any] | None = None,
    *,
    out: Place | None = None,
    workers: int = 0,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    address: str = "local",
    watcher: Watcher | None = None,
    trust: Collection[str] = (),
) -> dict[str, Any]:
    """Train an agent into a run folder, as `wormwood train` does.

    Example: ``wormwood.train("swim-ncap-cma", out="runs/worm", workers=2, overrides=["body=swimmer-12"])``

    Args:
        preset: a name of `wormwood list presets`, a YAML file, or a mapping of what such a file holds. None where
            ``resume`` goes on with a run.
        out: folder of the run, or a URL; None makes a new folder in ``runs/``.
        workers: Ray actors that collect experience; 0 collects in this process. The result is the same.
        seed: of all randomness; None takes the preset's.
        overrides: changes of the preset, each ``"key.path=value"``.
        resume: go on with the run in ``out``, from its newest checkpoint.
        address: of a running Ray cluster; ``"local"`` starts one for this run.
        watcher: is told of progress.
        trust: classes ``module:Class`` that a run which somebody else made may name.

    Returns:
        The summary: ``"run"`` is the folder, ``"return_mean"`` the mean return of the trained agent on held-out starts,
        ``"state_sha256"`` the hash of all that was learned.

    Raises:
        BadInput: the preset, an override or the folder is wrong.
        Interrupted: the user pressed Ctrl-C; the message says how to go on.
    """
    _check_whole("workers", workers, where="train")
    if seed is not None:
        _check_whole("seed", seed, where="train")
    if isinstance(overrides, str):
        raise bad_input("overrides", where="train", expected='a list such as ["body=swimmer-3"]', got=overrides)
    given = preset if preset is None or isinstance(preset, Mapping) else _path(preset, "preset", "train")
    folder = None if out is None else _path(out, "out", "train")
    with open_run(given, out=folder, resume=resume, seed=seed, overrides=overrides, trust=trust) as (run, config):
        return train_run(run, config, workers=workers, address=address, watcher=watcher)


def train_run(
    run: Run, config: RunConfig, *, workers: int = 0, address: str = "local", watcher: Watcher | None = None
) -> dict[str, Any]:
    """Train an open run to the end, draw its learning curve, and return the summary; see ``train``."""
    try:
        summary = train_to_the_end(run, config, workers=workers, address=address, watcher=watcher)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; go on with: wormwood train --out {run.location} --resume") from None
    # matplotlib is slow to load: only who draws waits for it.
    from wormwood.launch.inspect.learning_curve import plot_learning_curve

    plot_learning_curve(read_metrics(run.metrics), run.curve, title=run.path.name, final=summary["return_mean"])
    run.send()
    return summary


def evaluate(
    agent: Agent | Place,
    *,
    body: Body | Place | None = None,
    task: Task | str | None = None,
    episodes: int = 10,
    seed: int = 0,
    trust: Collection[str] = (),
) -> Evaluation:
    """Play held-out episodes of an agent, without exploration, as `wormwood evaluate` does.

    Example: ``wormwood.evaluate("runs/worm", body="swimmer-12").returns.mean()``

    Args:
        agent: an agent, or what ``load_agent`` takes: a run, an exported agent, a zip as ``"ppo:FILE.zip"``, or one of
            ``"ncap"``, ``"mlp"``, ``"random"``, ``"zero"``.
        body: a body, its name or file; None takes the agent's own.
        task: a task or its name; None takes the agent's own.
        episodes: how many held-out starts.
        seed: of the held-out starts, of initial weights and of random actions.
        trust: classes ``module:Class`` that the agent's files may name.

    Returns:
        Returns ``[episodes]`` and speeds ``[episodes]`` in m/s.

    Raises:
        BadInput: there is no such agent, body or task, or the agent does not fit.
    """
    _check_whole("episodes", episodes, where="evaluate", low=1)
    _check_whole("seed", seed, where="evaluate")
    loaded = agent if isinstance(agent, Agent) else load_agent(_path(agent, "agent", "evaluate"), trust=trust)
    return evaluate_in(loaded, spec_for(loaded, body, task), episodes=episodes, seed=seed)


def spec_for(agent: Agent, body: Body | Place | None = None, task: Task | str | None = None) -> Spec:
    """Return what an agent was trained in, but for a body or task that is given; swimmer-6 that swims by default.

    Raises:
        BadInput: there is no such body or task, or the agent is none that swims.
    """
    if is_custom(task):
        load_modules([str(task)], Path())
    trained_in = agent.spec or SwimmerSpec(load_body("swimmer-6"), task_from_name("swim"))
    if isinstance(trained_in, SwimmerSpec):
        return SwimmerSpec(
            trained_in.body
            if body is None
            else choose_body(os.fspath(body) if isinstance(body, os.PathLike) else body),
            trained_in.task if task is None else choose_task(task),
        )
    if body is not None or task is not None:
        where, expected = "--task" if body is None else "--body", f"none: the agent was trained in {trained_in.name}"
        raise bad_input("option", where=where, expected=expected, got=task if body is None else body)
    return trained_in


def transfer(
    agents: Sequence[Agent | Place] | Agent | Place,
    *,
    suite: Place | None = None,
    out: Place | None = None,
    seeds: int | None = None,
    workers: int = 0,
    **options: Any,
) -> Report:
    """Measure agents on the bodies of a suite, and write a report, as `wormwood transfer` does.

    Example: ``wormwood.transfer(["runs/worm", "ncap"], suite="links").results.rows``

    Args:
        agents: agents, or what ``load_agent`` takes, each once; training runs of one kind as ``"name=runs/worm-*"``.
        suite: a name of `wormwood list suites`, or a YAML file; None takes ``"quick"``, or that of a report that goes
            on.
        out: folder of the report; None makes a new one in ``runs/``.
        seeds: held-out starts on each body; None takes 10, or those of a report that goes on.
        workers: Ray workers that measure; 0 measures in this process. The results are the same.
        options: other fields of ``ReportPlan``, such as ``adapt="pad"``, ``retention=True`` or ``resume=True``.

    Returns:
        The report: ``page`` is its HTML page, ``results.rows`` has one mapping for each agent and body.

    Raises:
        BadInput: an agent, the suite, the folder or an option is wrong.
        Interrupted: the user pressed Ctrl-C; the message says how to go on.
    """
    known = [field.name for field in dataclasses.fields(ReportPlan)]
    for name in options:
        if name not in known:
            expected = f"one of {', '.join(known)}"
            raise bad_input("unknown option", where="transfer", expected=expected, got=name, nearest_to=known)
    if seeds is not None:
        _check_whole("seeds", seeds, where="transfer", low=1)
    _check_whole("workers", workers, where="transfer")
    lists = {name: tuple(value) for name, value in options.items() if isinstance(value, list)}
    several = [agents] if isinstance(agents, Agent | str | os.PathLike) else agents
    if suite is None and not options.get("resume"):
        suite = "quick"
    return make_report(
        ReportPlan(
            tuple(agent if isinstance(agent, Agent) else _path(agent, "agent", "transfer") for agent in several),
            None if suite is None else _path(suite, "suite", "transfer"),
            None if out is None else _path(out, "out", "transfer"),
            seeds=seeds,
            workers=workers,
            **{**options, **lists},
        )
    )


def _check_whole(name: str, value: object, *, where: str, low: int = 0) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low or value > LARGEST_SEED:
        raise bad_input(name, where=where, expected=f"a whole number of at least {low}", got=value)


def _path(value: object, name: str, where: str) -> str:
    if not isinstance(value, str | os.PathLike):
        raise bad_input(name, where=where, expected="a name or a path", got=value)
    return os.fspath(value)
