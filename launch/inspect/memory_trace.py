"""Watching a memory over one held-out trial."""

from __future__ import annotations

import itertools

import numpy as np

from wormwood.agents.policies.acting import act_steps
from wormwood.agents.policies.interfaces import Arrays, Policy
from wormwood.agents.policies.memory import initial_state, whole_step
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.randomness import evaluation_streams
from wormwood.envs.specs import EnvironmentSpec
from wormwood.launch.inspect.memory_picture import MemoryTrace
from wormwood.launch.run.evaluation import BATCH

__all__ = ["LONGEST", "trace_memory"]

LONGEST = 300
"""Steps of a trial that are watched at most."""


def trace_memory(name: str, weights: Arrays, spec: EnvironmentSpec, policy: Policy) -> MemoryTrace:
    """Play held-out start 0 without exploration, and note what its memory does in each step."""
    played = spec.held_out if isinstance(spec, TrialSpec) else spec
    simulation = played.simulate(BATCH, streams=evaluation_streams(0))
    simulation.reset()
    state = initial_state(weights, BATCH)
    columns: dict[str, list[np.ndarray]] = {part: [] for part in ("read", "written", "erased", "kept", "reward")}
    actions, kept = [], np.ones(weights["initial_memory"].shape[0])
    for taken in itertools.islice(act_steps(policy, simulation, spec.actions), min(spec.horizon, LONGEST)):
        whole = whole_step(weights, taken.observation, state)
        state = whole.state
        erased = whole.write_address[0] * whole.erased[0].mean()
        kept = kept * (1 - erased)
        row = (whole.read_address[0], whole.write_address[0], erased, kept, taken.step.reward[0])
        for part, value in zip(columns, row, strict=True):
            columns[part].append(np.array(value))
        actions.append(" ".join(f"{value:.3g}" for value in taken.action[0]))
        if taken.step.done[0]:
            break
    inner = spec.horizon // spec.episodes if isinstance(spec, TrialSpec) else spec.horizon
    return MemoryTrace(
        f"{name}: {'one of the held-out' if isinstance(spec, TrialSpec) else 'a held-out episode of'} {spec.name}"[
            :110
        ],
        **{part: np.array(values) for part, values in columns.items()},
        action=actions,
        starts=range(0, len(actions), inner),
    )
