"""What an agent is made of, as text, JSON and a picture."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Arrays, Floats, Policy
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.agents.policies.modulated_circuit import ModulatedNCAP
from wormwood.agents.policies.table import agent_kind, initial_weights
from wormwood.envs.families.swimmer_bodies import SwimmerBodies
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.pictures.files import figure_pixels, write_picture
from wormwood.envs.randomness import stream
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec, require_swimmer
from wormwood.errors import BadInput
from wormwood.launch.inspect.circuit_anatomy import describe, record_activity
from wormwood.launch.inspect.circuit_picture import make_figure
from wormwood.launch.run.agent_files import BUILT_IN, Agent
from wormwood.launch.storage.files import to_json, write_text_atomic

__all__ = ["Inspection", "inspect_agent"]


@dataclass(frozen=True)
class Inspection:
    """One agent in one environment."""

    name: str
    """Of the files that ``write`` makes."""
    described: dict[str, Any]
    """Everything, in plain values."""
    summary: str
    """What a person reads first."""
    figure: Callable[[], Figure] | None = None
    """Draws the picture, where there is one."""
    sources: Callable[[], Mapping[str, str]] | None = None
    """Returns the agent as source code, by the file's name, where it can be written so."""

    def write(self, folder: Path) -> list[Path]:
        """Write JSON, picture and sources to a folder, which is made where missing, and return the files.

        Raises:
            BadInput: they cannot be written there.
        """
        files = [folder / f"{self.name}.json"]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_text_atomic(files[0], to_json(self.described, indent=2) + "\n")
            if self.figure is not None:
                files.append(folder / f"{self.name}.png")
                write_picture(files[-1], figure_pixels(self.figure()))
            for name, source in (self.sources() if self.sources else {}).items():
                files.append(folder / name)
                write_text_atomic(files[-1], source)
        except OSError as error:
            reason = error.strerror or error
            raise BadInput(f"cannot write to the output folder {folder}: {reason}; choose another --out") from error
        return files


def inspect_agent(agent: Agent, spec: EnvironmentSpec) -> Inspection:
    """Look into an agent; a circuit and a forest are also watched while they act.

    Raises:
        BadInput: the agent does not fit the environment.
    """
    weights = agent.weights
    if weights is None:
        if agent.config is None:
            summary = f"{agent.name}: {BUILT_IN[agent.name][1]}; it has no parameters"
            return Inspection(agent.name, {"agent": agent.name, "parameters": 0}, summary)
        weights = initial_weights(agent.config, spec, stream(0, "update"))
    policy = agent.policy(spec)  # whoever does not fit is refused here
    if isinstance(agent.config, NCAPConfig):
        return _inspect_circuit(agent.config, weights, require_swimmer(spec, where="agent ncap"))
    if isinstance(agent.config, ForestConfig):
        return _inspect_forest(agent.name, agent.config, weights, spec=spec, policy=policy)
    if isinstance(agent.config, MemoryConfig):
        return _inspect_memory(agent, weights, spec=spec, policy=policy)
    if isinstance(policy, ModulatedNCAP):
        return _inspect_modulated(agent, weights, spec=spec, policy=policy)
    return _inspect_network(agent, weights)


def _inspect_circuit(config: NCAPConfig, weights: Arrays, spec: SwimmerSpec) -> Inspection:
    body, task = spec.body, spec.task
    activity = record_activity(config, weights, body=body, task=task)
    described = describe(config, weights, body=body, activity=activity)
    lines = [f"NCAP circuit on {body.name}: {body.joints} joints, {len(described['synapses'])} synapses"]
    # A file of weights holds them in no order that means anything.
    names = [
        name for name in (*config.synapses, "steering_weight", "steering_bias", "lag", "period") if name in weights
    ]
    width = max(8, *map(len, names))
    for name in names:
        value = weights[name]
        text = f"{value:+.3f}" if value.ndim == 0 else f"{value.shape}"
        lines.append(f"  {name:<{width}} {text.lstrip('+') if name in ('lag', 'period') else text}")
    return Inspection("circuit", described, "\n".join(lines), lambda: make_figure(described))


def _inspect_forest(
    name: str, config: ForestConfig, weights: Arrays, *, spec: EnvironmentSpec, policy: Policy
) -> Inspection:
    # Only who has trees pays for numba: half a second.
    from wormwood.launch.inspect.forest_picture import make_figure
    from wormwood.launch.inspect.forest_source import policy_sources, visited_observations
    from wormwood.launch.inspect.forest_summary import describe, summarise, write_text

    summary = summarise(config, weights, spec=spec, observation=visited_observations(policy, spec))
    described, text = {"agent": name, **describe(summary)}, write_text(summary)
    if "log_std" in weights:
        described["noise_std"] = np.exp(weights["log_std"]).tolist()
    if not len(summary.forest):
        return Inspection("forest", described, text)
    return Inspection("forest", described, text, lambda: make_figure(summary), lambda: policy_sources(config, summary))


def _inspect_memory(agent: Agent, weights: Arrays, *, spec: EnvironmentSpec, policy: Policy) -> Inspection:
    # matplotlib is slow to load: only who draws waits for it.
    from wormwood.launch.inspect.memory_picture import describe, make_figure
    from wormwood.launch.inspect.memory_trace import trace_memory

    trace = trace_memory(agent.name, weights, spec, policy)
    slots = weights["initial_memory"].shape
    lines = [
        f"memory of {slots[0]} slots of {slots[1]} numbers: {_count(weights):,} parameters",
        f"  return of one held-out trial: {trace.reward.sum():.2f} over {len(trace.reward)} steps",
        f"  most used slots: {_most(trace.read)} for reading, {_most(trace.written)} for writing",
        f"  kept of what each slot began with: {', '.join(f'{share:.2f}' for share in trace.kept[-1])}",
    ]
    described = {"agent": agent.name, "kind": "memory", "parameters": _count(weights), "trial": describe(trace)}
    return Inspection("memory", described, "\n".join(lines), lambda: make_figure(trace))


def _inspect_modulated(agent: Agent, weights: Arrays, *, spec: EnvironmentSpec, policy: ModulatedNCAP) -> Inspection:
    from wormwood.launch.inspect.modulated_picture import answers, make_figure

    # It acts in trials of bodies alone.
    assert isinstance(spec, TrialSpec) and isinstance(spec.family, SwimmerBodies)
    rows = answers(policy, tuple(sorted({*spec.family.links, *spec.family.held_out_links})))
    names = [name for name in rows[0] if name not in ("links", "mean_reward")]
    asked = ", ".join(policy.config.cues) or "nothing"
    lines = [f"circuit that is tuned to the body at hand: {_count(weights)} parameters; cues: {asked}"]
    lines.append(f"  {'links':>5} {'mean reward':>11} " + " ".join(f"{name:>8}" for name in names))
    for row in rows:
        reward = "not yet" if row["mean_reward"] is None else f"{row['mean_reward']:.1f}"
        lines.append(f"  {row['links']:>5} {reward:>11} " + " ".join(f"{row[name]:>8.3g}" for name in names))
    described = {"agent": agent.name, "kind": policy.config.kind, "parameters": _count(weights), "answers": rows}
    described["weights"] = {name: values.tolist() for name, values in weights.items()}
    title = f"{agent.name}: how the circuit answers a body"
    return Inspection("modulated", described, "\n".join(lines), lambda: make_figure(policy, title=title))


def _count(weights: Arrays) -> int:
    return sum(values.size for values in weights.values())


def _most(shares: Floats) -> str:
    order = np.argsort(-shares.mean(axis=0), kind="stable")[:2]
    return " and ".join(f"{slot} ({shares[:, slot].mean():.0%})" for slot in order)


def _inspect_network(agent: Agent, weights: Arrays) -> Inspection:
    arrays = {
        name: {"shape": list(weights[name].shape), "norm": float((weights[name] ** 2).sum() ** 0.5)}
        for name in sorted(weights, key=_layers_first)
    }
    parameters = _count({name: weights[name] for name in weights if not name.startswith(("observation_", "log_std"))})
    kind = agent.config.kind if agent.config is not None else "mlp"
    described = {"agent": agent.name, "kind": kind, "parameters": parameters, "arrays": arrays}
    lines = [f"{agent_kind(kind).summary.removeprefix('a ')}: {parameters:,} parameters"]
    lines += [f"  {name:<24} {entry['shape']}" for name, entry in arrays.items()]
    return Inspection("network", described, "\n".join(lines))


def _layers_first(name: str) -> tuple[int, bool, str]:
    """Sort the layers from input to output, the weight before the bias, and by name what else was learned."""
    layer = re.fullmatch(r"layer(\d+)_(\w+)", name)
    return (int(layer[1]), layer[2] != "weight", name) if layer else (sys.maxsize, True, name)
