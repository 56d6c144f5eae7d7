"""What is exactly known about Bernoulli bandits with uniform priors: the Bayes-optimal value, and Gittins indices."""

from __future__ import annotations

import functools

import numpy as np

from wormwood.agents.policies.interfaces import Floats
from wormwood.errors import bad_input

__all__ = ["MOST_PULLS", "bayes_optimal_value", "gittins_indices"]

MOST_PULLS = 16
"""Up to which the optimum is worked out: the number of states doubles with every further pull."""
Counts = tuple[tuple[int, int], ...]
"""Successes and failures of each arm that has been pulled, sorted: untouched arms are all the same."""


def bayes_optimal_value(arms: int, pulls: int) -> float:
    """Return the largest total that any policy can expect, arms being drawn from U[0, 1].

    By the dynamic program over what has been seen, with ``p = (s + 1) / (s + f + 2)`` for an arm of s successes and f
    failures: ``V(c) = max_i p_i (1 + V(c + success of i)) + (1 - p_i) V(c + failure of i)``, 0 after the last pull.

    Raises:
        BadInput: ``arms`` is below 1, or ``pulls`` is not from 1 to 16.
    """
    if arms < 1 or not 1 <= pulls <= MOST_PULLS:
        expected = f"at least one arm and 1 to {MOST_PULLS} pulls"
        raise bad_input("bandit", where="optimal value", expected=expected, got=f"{arms} arms, {pulls} pulls")

    @functools.cache
    def value(counts: Counts, left: int) -> float:
        if not left:
            return 0.0
        options = set(counts) | ({(0, 0)} if len(counts) < arms else set())
        return max(_worth(arm, counts, left) for arm in options)

    def _worth(arm: tuple[int, int], counts: Counts, left: int) -> float:
        s, f = arm
        others = list(counts)
        if arm != (0, 0):
            others.remove(arm)
        better, worse = (tuple(sorted([*others, seen])) for seen in ((s + 1, f), (s, f + 1)))
        p = (s + 1) / (s + f + 2)
        return p * (1.0 + value(better, left - 1)) + (1.0 - p) * value(worse, left - 1)

    return value((), pulls)


@functools.lru_cache(maxsize=4)
def gittins_indices(pulls: int, resolution: int = 256) -> Floats:
    """Return the finite-horizon Gittins indices ``[pulls + 1, pulls, pulls]`` by pulls left, successes and failures.

    The index of an arm is the sure payment λ per pull at which playing it, with the freedom to stop for good, is worth
    as much as λ itself: the zero of ``A_r(s, f; λ) = p - λ + p A⁺_{r-1}(s + 1, f) + (1 - p) A⁺_{r-1}(s, f + 1)`` with
    ``A⁺ = max(0, A)`` and ``A_0 = 0`` (Kaufmann 2018, On Bayesian index policies for sequential resource allocation).
    Entries that cannot occur, with more pulls made and left than there are, are 0.

    Args:
        pulls: the horizon.
        resolution: values of λ for which A is worked out; between them it is taken to be linear.
    """
    payments = np.linspace(0.0, 1.0, resolution)
    table = np.zeros((pulls + 1, pulls, pulls))
    ahead = np.zeros((pulls + 1, pulls + 1, resolution))
    for left in range(1, pulls + 1):
        size = pulls - left + 1
        s, f = np.ogrid[:size, :size]
        p = ((s + 1) / (s + f + 2))[:, :, None]
        advantage = p - payments + p * ahead[1 : size + 1, :size] + (1.0 - p) * ahead[:size, 1 : size + 1]
        # It falls with λ: from the last payment at which it is positive, along a line to the next.
        last = np.clip(np.sum(advantage > 0, axis=2) - 1, 0, resolution - 2)[..., None]
        above = np.take_along_axis(advantage, last, axis=2)[..., 0]
        below = np.take_along_axis(advantage, last + 1, axis=2)[..., 0]
        index = (last[..., 0] + above / (above - below)) / (resolution - 1)
        table[left, :size, :size] = np.where(s + f < size, index, 0.0)
        ahead = np.maximum(advantage, 0.0)
    return table
