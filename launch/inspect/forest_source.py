"""Watching a boosted policy, and what can be written of it."""

from __future__ import annotations

import itertools
import textwrap

import numpy as np

from wormwood.agents.policies.acting import act_steps
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Floats, Policy
from wormwood.envs.randomness import evaluation_streams
from wormwood.envs.specs import EnvironmentSpec
from wormwood.launch.inspect.forest_summary import Summary
from wormwood.launch.run.evaluation import BATCH
from wormwood.trees.source_export import c_source, python_source

__all__ = ["STEPS", "policy_sources", "visited_observations"]

STEPS = 300
"""Control steps for which a policy is watched."""


def visited_observations(policy: Policy, spec: EnvironmentSpec, *, steps: int = STEPS, first: int = 0) -> Floats:
    """Play a batch of held-out episodes without exploration and return the observations ``[steps BATCH, D]``.

    An episode that ends is followed by the next one. ``first`` numbers the first of the starts, as in ``evaluate``.
    """
    simulation = spec.simulate(BATCH, streams=evaluation_streams(0), first=first)
    simulation.reset()
    played = itertools.islice(act_steps(policy, simulation, spec.actions), steps)
    return np.concatenate([taken.observation for taken in played])


def policy_sources(config: ForestConfig, summary: Summary) -> dict[str, str]:
    """Return the forest as ``policy.c`` and ``policy.py``, which need nothing and predict the same bits.

    Raises:
        BadInput: the forest has no trees.
    """
    whose = "each joint" if config.features == "joint" else "an observation"
    lines = [
        f"x, of {whose}, rounded to single precision: {', '.join(summary.features)}",
        f"out: {', '.join(summary.outputs)}",
        "Of choices, the action is the largest logit of each; of numbers, the output within the action's bounds.",
    ]
    comment = "\n".join(textwrap.fill(line, 100, subsequent_indent="  ") for line in lines)
    forest = summary.forest
    return {"policy.c": c_source(forest, comment=comment), "policy.py": python_source(forest, comment=comment)}
