"""What Python users call, and the command line as well: one function for each thing."""

from __future__ import annotations

from typing import Any

from wormwood.envs.bodies import load_body
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.task_table import task_from_name
from wormwood.errors import bad_input
from wormwood.launch.run.agent_files import Agent
from wormwood.launch.run.environment_settings import Spec
from wormwood.launch.run.run_folder import Run, read_metrics
from wormwood.launch.run.settings import RunConfig
from wormwood.launch.run.training import Watcher
from wormwood.launch.run.training import train as train_to_the_end

__all__ = ["spec_for", "train_run"]


def train_run(
    run: Run, config: RunConfig, *, workers: int = 0, address: str = "local", watcher: Watcher | None = None
) -> dict[str, Any]:
    """Train an open run to the end, draw its learning curve, and return the summary; see ``training.train``."""
    summary = train_to_the_end(run, config, workers=workers, address=address, watcher=watcher)
    # matplotlib is slow to load: only who draws waits for it.
    from wormwood.launch.inspect.learning_curve import plot_learning_curve

    plot_learning_curve(read_metrics(run.metrics), run.curve, title=run.path.name, final=summary["return_mean"])
    run.send()
    return summary


def spec_for(agent: Agent, body: str | None = None, task: str | None = None) -> Spec:
    """Return what an agent was trained in, but for a body or task that is named; swimmer-6 that swims by default.

    Raises:
        BadInput: there is no such body or task, or the agent is none that swims.
    """
    own = agent.spec or SwimmerSpec(load_body("swimmer-6"), task_from_name("swim"))
    if isinstance(own, SwimmerSpec):
        return SwimmerSpec(load_body(body) if body else own.body, task_from_name(task) if task else own.task)
    if body or task:
        where, expected = "--body" if body else "--task", f"none: the agent was trained in {own.name}"
        raise bad_input("option", where=where, expected=expected, got=body or task)
    return own
