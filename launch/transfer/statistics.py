"""Statistics over few runs, after Agarwal et al. 2021 (https://arxiv.org/abs/2108.13264), on SciPy.

Scores come as one array for each stratum: the starts of one body, or of one task. Strata are resampled apart from each
other, so that no body is left out of a resample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from wormwood.envs.randomness import report_stream

__all__ = [
    "Interval",
    "bootstrap_interval",
    "improvement_interval",
    "interquartile_mean",
    "iqm_interval",
    "optimality_gap",
    "performance_profile",
    "profile_band",
]

Floats = NDArray[np.float64]
Strata = Sequence[Floats]
"""Scores ``[E_k]`` of each stratum k."""

RESAMPLES = 2000
BATCH = 100  # resamples at a time, for the memory's sake
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and its 95 % confidence interval."""

    estimate: float
    low: float
    high: float


def interquartile_mean(scores: ArrayLike, *, axis: int | None = None) -> Any:
    """Return the mean of the middle half: what is left when a quarter, rounded down, is cut off at each end.

    Args:
        scores: any shape, with at least one number.
        axis: along which to average; None takes all.
    """
    return stats.trim_mean(scores, 0.25, axis=axis)


def optimality_gap(scores: ArrayLike, *, target: float = 1.0) -> float:
    """Return how far scores fall short of ``target`` on average; what lies above it makes up for nothing."""
    return float(np.mean(target - np.minimum(np.asarray(scores, dtype=np.float64), target)))


def performance_profile(strata: Strata, thresholds: ArrayLike) -> Floats:
    """Return the share of scores above each threshold ``[T]``, each stratum with the same weight."""
    levels = np.asarray(thresholds, dtype=np.float64)
    shares = [np.mean(scores[:, None] > levels, axis=0) for scores in strata]
    return np.asarray(np.mean(shares, axis=0))


def _share_of_wins(x: Floats, y: Floats) -> Any:
    """Return the statistic of Mann and Whitney's U test over the number of pairs."""
    # Pair by pair: for few scores that is faster than by ranks, and SciPy's test would compute p-values as well.
    difference = x[..., :, None] - y[..., None, :]
    return ((difference > 0) + 0.5 * (difference == 0)).mean(axis=(-2, -1))


def bootstrap_interval(statistic: Callable[..., Any], strata: Strata, *, seed: int = 0) -> Interval:
    """Return a statistic with its interval by the stratified percentile bootstrap.

    Args:
        statistic: takes one array ``[..., E_k]`` for each stratum and returns ``[...]``.
        strata: scores ``[E_k]``, at least one each. With one score in every stratum the interval is a point.
        seed: of the resamples.
    """
    estimate = float(statistic(*strata))
    if max(len(scores) for scores in strata) == 1 or all(np.ptp(scores) == 0 for scores in strata):
        return Interval(estimate, estimate, estimate)
    # SciPy asks for two scores in every stratum: the only one of its stratum is in every resample as it is.
    varying = [scores for scores in strata if len(scores) > 1]

    def of_resample(*resampled: Floats, axis: int) -> Any:
        drawn, rows = iter(resampled), resampled[0].shape[:-1]
        return statistic(
            *(next(drawn) if len(scores) > 1 else np.broadcast_to(scores, (*rows, 1)) for scores in strata)
        )

    result = stats.bootstrap(
        varying,
        of_resample,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=BATCH,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=report_stream(seed),
    )
    return Interval(estimate, float(result.confidence_interval.low), float(result.confidence_interval.high))


def iqm_interval(strata: Strata, *, seed: int = 0) -> Interval:
    """Return the interquartile mean of all scores together with its interval."""
    return bootstrap_interval(
        lambda *resampled: interquartile_mean(np.concatenate(resampled, axis=-1), axis=-1), strata, seed=seed
    )


def improvement_interval(strata: Strata, others: Strata, *, seed: int = 0) -> Interval:
    """Return how likely a score is to beat one of the others' on the same stratum, with its interval.

    A tie counts half, and strata count alike. Both sides are resampled.
    """
    count = len(strata)

    def statistic(*resampled: Floats) -> Any:
        pairs = zip(resampled[:count], resampled[count:], strict=True)
        return np.mean([_share_of_wins(x, y) for x, y in pairs], axis=0)

    return bootstrap_interval(statistic, [*strata, *others], seed=seed)


def profile_band(strata: Strata, thresholds: ArrayLike, *, seed: int = 0) -> tuple[Floats, Floats]:
    """Return the lower and upper end ``[T]`` of a performance profile's interval at each threshold.

    Raises:
        ValueError: there is no stratum.
    """
    if not strata:
        raise ValueError("a performance profile needs scores")
    levels, rng = np.asarray(thresholds, dtype=np.float64), report_stream(seed)
    profiles = np.zeros((RESAMPLES, len(levels)))
    for scores in strata:
        # The share above a threshold is what is left of the resample behind its place in sorted order.
        resampled = np.sort(rng.choice(scores, size=(RESAMPLES, len(scores))), axis=1)
        profiles += (resampled[:, :, None] > levels).mean(axis=1) / len(strata)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(profiles, [tail, 100 - tail], axis=0)
    return low, high
