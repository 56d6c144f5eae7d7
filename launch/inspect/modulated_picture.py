"""How a modulated circuit answers bodies, as numbers and as a picture."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.modulated_circuit import REFERENCE_LINKS, ModulatedNCAP, cues_of

__all__ = ["answers", "make_figure"]

NOT_YET = float("nan")
"""The mean reward before an episode has ended."""
REWARDS = (NOT_YET, 0.1, 0.2, 0.4, 0.8)
"""Mean rewards that are asked about."""


def answers(policy: ModulatedNCAP, links: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the weights on bodies of these many links, before and after episodes that went well or badly.

    What the circuit takes no cue from is left out: for a fixed one there is a single row.
    """
    counts = links if "links" in policy.config.cues else (int(REFERENCE_LINKS),)
    rewards = REWARDS if "return" in policy.config.cues else (NOT_YET,)
    pairs = list(itertools.product(counts, rewards))
    tuned = _tuned(policy, *np.array(pairs, dtype=np.float64).T)
    return [
        {"links": count, "mean_reward": None if np.isnan(reward) else reward}
        | {name: float(values[row]) for name, values in tuned.items()}
        for row, (count, reward) in enumerate(pairs)
    ]


def _tuned(policy: ModulatedNCAP, links: Floats, reward: Floats) -> Arrays:
    tuned = policy.tuned(cues_of(policy.config, links, reward))
    # A file of weights holds them in no order that means anything.
    return {name: tuned[name] for name in (*policy.config.circuit.synapses, "lag", "period") if name in tuned}


def make_figure(policy: ModulatedNCAP, *, title: str) -> Figure:
    """Draw how the weights depend on links and reward."""
    figure = Figure(figsize=(9, 4), dpi=150, layout="constrained")
    first, second = figure.subplots(1, 2, sharey=True)
    figure.suptitle(title, fontsize=11, parse_math=False)
    links, reward = np.arange(2.0, 16.0), np.linspace(0.0, 1.0, 101)
    home = _tuned(policy, np.array([REFERENCE_LINKS]), np.array([NOT_YET]))
    panels = (
        (first, links, _tuned(policy, links, np.full(len(links), NOT_YET)), "links, before an episode ended"),
        (second, reward, _tuned(policy, np.full(len(reward), REFERENCE_LINKS), reward), "mean reward so far, 7 links"),
    )
    for axes, where, tuned, label in panels:
        for name, values in tuned.items():
            axes.plot(where, values / home[name], label=f"{name} ({home[name][0]:.3g})")
        axes.axhline(1.0, color="0.6", linewidth=0.8, zorder=0)
        axes.set_yscale("log")
        axes.grid(alpha=0.3, which="both")
        axes.set_xlabel(label)
    first.set_ylabel("weight, as a multiple of that\non 7 links before an episode ended")
    second.legend(title="weight (there)", fontsize=8, title_fontsize=8)
    return figure
