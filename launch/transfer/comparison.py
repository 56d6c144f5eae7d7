"""An agent beside specialists on one body: what it keeps, and how fast it learns there, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wormwood.agents.policies.interfaces import Floats
from wormwood.launch.transfer.statistics import Interval, bootstrap_interval, interquartile_mean
from wormwood.launch.transfer.tuning import Returns, Tuning

__all__ = ["Comparison", "compare", "scores_of_runs"]


@dataclass(frozen=True)
class Comparison:
    """An agent, or a group of training runs, on one body beside the specialists of its runs."""

    agent: str
    body: str
    zero_shot: float | None
    """None where it cannot act on the body."""
    specialist: float
    from_scratch: float
    retention: Interval | None
    """Zero-shot as a share of the specialist's return."""
    jumpstart: Interval | None
    """By how much it starts better than one that knows nothing."""
    tuned: Mapping[float, Interval]
    """By share of the budget, the return after as much fine-tuning."""
    threshold: float | None
    """The return that steps were counted to: of a group, the median over its runs."""
    steps_tuned: tuple[int | None, ...]
    """Of each run, the environment steps until fine-tuning reached its threshold; None where it did not."""
    steps_from_scratch: tuple[int | None, ...]
    """The same for training from scratch."""


def scores_of_runs(returns: Sequence[Returns]) -> Floats:
    """Return the scores ``[K]`` of an agent on one body, of which its interquartile mean and interval are.

    One policy alone has one for each start. Of several training runs each has one, its mean over the starts: how much
    runs differ is what tells how another would do.
    """
    return np.array(returns[0]) if len(returns) == 1 else np.array([np.mean(values) for values in returns])


def compare(agent: str, tunings: Sequence[Tuning], *, seed: int = 0) -> Comparison:
    """Return an agent beside its specialists.

    Args:
        agent: what rows call it.
        tunings: of its runs on one body, at least one.
        seed: of the resamples.
    """

    def scores(of: Callable[[Tuning], Returns]) -> Floats:
        return scores_of_runs([of(tuning) for tuning in tunings])

    acts = all(tuning.zero_shot for tuning in tunings)
    expert, scratch = scores(lambda tuning: tuning.specialist), scores(lambda tuning: tuning.from_scratch)
    zero = scores(lambda tuning: tuning.zero_shot) if acts else None
    best = float(interquartile_mean(expert))
    thresholds = [tuning.threshold for tuning in tunings if tuning.threshold is not None]
    return Comparison(
        agent,
        tunings[0].body,
        zero_shot=None if zero is None else float(interquartile_mean(zero)),
        specialist=best,
        from_scratch=float(interquartile_mean(scratch)),
        retention=None if zero is None or best <= 0 else bootstrap_interval(_ratio, [zero, expert], seed=seed),
        jumpstart=None if zero is None else bootstrap_interval(_difference, [zero, scratch], seed=seed),
        tuned={
            share: bootstrap_interval(_middle, [scores(lambda tuning, k=k: tuning.tuned[k][1])], seed=seed)  # type: ignore[misc]
            for k, (share, _) in enumerate(tunings[0].tuned)
            if all(len(tuning.tuned) > k for tuning in tunings)
        },
        threshold=float(np.median(thresholds)) if thresholds else None,
        steps_tuned=tuple(tuning.steps_tuned for tuning in tunings),
        steps_from_scratch=tuple(tuning.steps_from_scratch for tuning in tunings),
    )


def _middle(scores: Any) -> Any:
    return interquartile_mean(scores, axis=-1)


def _ratio(scores: Any, others: Any) -> Any:
    return _middle(scores) / np.maximum(_middle(others), 1e-9)  # of a resample that has no return


def _difference(scores: Any, others: Any) -> Any:
    return _middle(scores) - _middle(others)
