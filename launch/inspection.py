"""What an agent is made of, as text, JSON and a picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wormwood.agents.catalogue import initial_weights
from wormwood.agents.circuits.anatomy import describe, record_activity
from wormwood.agents.circuits.config import NCAPConfig
from wormwood.agents.circuits.picture import draw_circuit
from wormwood.agents.interfaces import Arrays
from wormwood.envs.bodies import Body
from wormwood.envs.randomness import stream
from wormwood.envs.tasks import Task
from wormwood.launch.agent_files import BUILT_IN, Agent
from wormwood.launch.runs import to_json, write_text_atomic

__all__ = ["Inspection", "inspect_agent"]


@dataclass(frozen=True)
class Inspection:
    """One agent on one body."""

    name: str
    """Of the files that ``write`` makes."""
    described: dict[str, Any]
    """Everything, in plain values."""
    summary: str
    """What a person reads first."""
    draw: Callable[[Path], None] | None = None
    """Writes the picture, where there is one."""

    def write(self, folder: Path) -> list[Path]:
        """Write JSON and picture to a folder, which is made where missing, and return the files."""
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{self.name}.json"]
        write_text_atomic(files[0], to_json(self.described, indent=2) + "\n")
        if self.draw is not None:
            files.append(folder / f"{self.name}.png")
            self.draw(files[1])
        return files


def inspect_agent(agent: Agent, body: Body, task: Task) -> Inspection:
    """Look into an agent; a circuit is also watched while it swims.

    Raises:
        BadInput: the agent does not fit the body or task.
    """
    if agent.config is None:
        summary = f"{agent.name}: {BUILT_IN[agent.name][1]}; it has no parameters"
        return Inspection(agent.name, {"agent": agent.name, "parameters": 0}, summary)
    weights = agent.weights or initial_weights(agent.config, body, task, stream(0, "update"))
    agent.policy(body, task)  # whoever does not fit is refused here
    if isinstance(agent.config, NCAPConfig):
        return _inspect_circuit(agent.config, weights, body, task)
    return _inspect_network(agent, weights)


def _inspect_circuit(config: NCAPConfig, weights: Arrays, body: Body, task: Task) -> Inspection:
    activity = record_activity(config, weights, body=body, task=task)
    described = describe(config, weights, body=body, activity=activity)
    lines = [f"NCAP circuit on {body.name}: {body.joints} joints, {len(described['synapses'])} synapses"]
    for name, value in weights.items():
        shown = f"{value:+.3f}" if value.ndim == 0 else f"{value.shape}"
        lines.append(f"  {name:<8} {shown.lstrip('+') if name == 'period' else shown}")
    return Inspection("circuit", described, "\n".join(lines), lambda path: draw_circuit(described, path))


def _inspect_network(agent: Agent, weights: Arrays) -> Inspection:
    arrays = {
        name: {"shape": list(values.shape), "norm": float((values**2).sum() ** 0.5)} for name, values in weights.items()
    }
    parameters = sum(values.size for name, values in weights.items() if name.startswith("layer"))
    described = {"agent": agent.name, "kind": "mlp", "parameters": parameters, "arrays": arrays}
    lines = [f"multilayer perceptron: {parameters:,} parameters"]
    lines += [f"  {name:<24} {entry['shape']}" for name, entry in arrays.items()]
    return Inspection("network", described, "\n".join(lines))
