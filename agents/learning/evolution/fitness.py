"""What evolution learns from: the mean return of each candidate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.policies.interfaces import Floats

__all__ = ["candidate_returns", "return_metrics"]


def candidate_returns(fragments: Sequence[Fragment], *, population: int) -> Floats:
    """Return the mean return ``[M]`` over the episodes of each candidate: its starts, on each body.

    Of K episodes each, environment ``m * K + k`` plays number ``k`` of candidate ``m``. Fragments and episodes may
    stand in any order.

    Raises:
        ValueError: an environment has no episode, or more than one.
    """
    environment = np.concatenate([fragment.episodes.environment for fragment in fragments])
    reward = np.concatenate([fragment.episodes.reward for fragment in fragments])
    episodes = max(1, len(environment) // population)
    if not np.array_equal(np.sort(environment), np.arange(population * episodes)):
        expected = f"one episode of each of {population * episodes} environments"
        raise ValueError(f"expected {expected}, got those of {environment}")
    means: Floats = reward[np.argsort(environment)].reshape(population, episodes).mean(axis=1)
    return means


def return_metrics(returns: Floats) -> dict[str, float]:
    """Summarise the returns ``[M]`` of one generation."""
    return {
        "return_mean": float(returns.mean()),
        "return_best": float(returns.max()),
        "return_worst": float(returns.min()),
    }
