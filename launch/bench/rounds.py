"""Fair timing on a machine that is never quiet: short slices taken in turn, and the median of the rounds' ratios."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from scipy import stats

__all__ = ["LEAST_ROUNDS", "Contestant", "Progress", "interleave", "mean_interval", "median_interval", "ratios"]

LEAST_ROUNDS = 3
"""Rounds that are played even where the time is up before."""

Contestant = Callable[[], float]
"""Plays one slice of 10 to 50 ms and returns its speed, in environment steps per second."""
Progress = Callable[[str, float], None]
"""Is told what runs and which share of its time has passed, in [0, 1]."""


def interleave(
    contestants: Mapping[str, Contestant], *, seconds: float, name: str = "", progress: Progress | None = None
) -> dict[str, list[float]]:
    """Let each contestant play one slice in turn, A B C A B C ..., for about ``seconds``.

    Returns:
        The speeds of each contestant, one for each round: those of one round were measured within a moment.
    """
    speeds: dict[str, list[float]] = {contestant: [] for contestant in contestants}
    began, rounds = time.perf_counter(), 0
    while True:
        passed = time.perf_counter() - began
        if progress is not None:
            progress(name, min(1.0, passed / seconds) if seconds > 0 else 1.0)
        if rounds >= LEAST_ROUNDS and passed >= seconds:
            return speeds
        for contestant, play in contestants.items():
            speeds[contestant].append(play())
        rounds += 1


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median of ``values`` and a 95 % interval of it, from the smallest to the largest plausible median.

    The interval runs between two of the sorted values: the ranks ``n / 2 ± 1.96 √n / 2``, between which the median of
    the distribution lies in 95 % of samples, whatever the distribution (Conover, *Practical Nonparametric
    Statistics*, 3rd edition, section 3.2).
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    count = len(ordered)
    reach = 1.96 * math.sqrt(count) / 2
    low, high = math.floor(count / 2 - reach), math.ceil(count / 2 + reach)
    return float(np.median(ordered)), float(ordered[max(low, 0)]), float(ordered[min(high, count - 1)])


def mean_interval(values: Iterable[float]) -> dict[str, float]:
    """Return ``mean``, and ``low`` and ``high`` of its 95 % interval by Student's t, which one value does not have."""
    numbers = np.array(list(values))
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return {"mean": mean}
    reach = float(stats.t.ppf(0.975, len(numbers) - 1) * numbers.std(ddof=1) / len(numbers) ** 0.5)
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def ratios(prefix: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return ``{prefix}_median``, ``_low`` and ``_high`` of ``ours / theirs``, round by round."""
    median, low, high = median_interval([our_speed / other for our_speed, other in zip(ours, theirs, strict=True)])
    return {f"{prefix}_median": median, f"{prefix}_low": low, f"{prefix}_high": high}
