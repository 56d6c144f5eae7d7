"""What was measured, as rows and tables: intervals per body and over the whole suite."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wormwood.agents.policies.interfaces import Floats
from wormwood.launch.transfer.comparison import Comparison, compare, scores_of_runs
from wormwood.launch.transfer.statistics import (
    Interval,
    improvement_interval,
    iqm_interval,
    optimality_gap,
    performance_profile,
    profile_band,
)
from wormwood.launch.transfer.suites import LABELS, Suite, SuiteBody
from wormwood.launch.transfer.tuning import Tuning
from wormwood.launch.transfer.zero_shot import Outcome

__all__ = ["GRAVITY", "ROW_KEYS", "THRESHOLDS", "Results"]

GRAVITY = 9.81  # m/s²
ROW_KEYS = (
    "agent",
    "body",
    "label",
    "return_iqm",
    "return_low",
    "return_high",
    "speed_mean",
    "retention",
    "unstable",
    "unstable_step",
    "control_timestep",
    "trained_timestep",
)
"""What scripts rely on; files have more."""
THRESHOLDS = np.linspace(0.0, 1.0, 101)
"""Of the performance profile, as shares of the most that an episode can return."""


@dataclass(frozen=True)
class Results:
    """Every agent on every body of a suite."""

    suite: Suite
    agents: tuple[str, ...]
    outcomes: Mapping[tuple[str, str], Outcome]
    """By policy and body."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The policies of agents that are several training runs; all others are one policy of the same name."""
    seed: int = 0
    """Of the held-out starts, and of the resamples."""
    tunings: tuple[Tuning, ...] = ()
    """Policies beside specialists, on the bodies where there are any."""

    def runs(self, agent: str) -> tuple[str, ...]:
        """Return the names of an agent's policies: the training runs of a group, or itself."""
        return self.groups.get(agent, (agent,))

    def outcomes_of(self, agent: str, body: str) -> list[Outcome]:
        """Return how each of an agent's policies did on a body."""
        return [self.outcomes[run, body] for run in self.runs(agent)]

    @functools.cached_property
    def comparisons(self) -> dict[tuple[str, str], Comparison]:
        """Agents beside their specialists, by agent and body, where there are any."""
        tunings = {(tuning.agent, tuning.body): tuning for tuning in self.tunings}
        found = {}
        for agent, entry in itertools.product(self.agents, self.suite.bodies):
            own = [tunings[run, entry.body.name] for run in self.runs(agent) if (run, entry.body.name) in tunings]
            if len(own) == len(self.runs(agent)):
                found[agent, entry.body.name] = compare(agent, own, seed=self.seed)
        return found

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One mapping for each agent and body, in their order; None where nothing was measured."""
        return [self._row(agent, entry) for agent in self.agents for entry in self.suite.bodies]

    @functools.cached_property
    def by_name(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The rows by agent and body."""
        return {(row["agent"], row["body"]): row for row in self.rows}

    def _row(self, agent: str, entry: SuiteBody) -> dict[str, Any]:
        body, outcomes = entry.body, self.outcomes_of(agent, entry.body.name)
        comparison = self.comparisons.get((agent, body.name))
        kept = None if comparison is None else comparison.retention
        unstable = [step for outcome in outcomes for step in outcome.unstable]
        row: dict[str, Any] = {
            "agent": agent,
            "body": body.name,
            "label": entry.label,
            "axis": entry.axis,
            "value": entry.value,
            **dict.fromkeys(("return_iqm", "return_low", "return_high", "return_mean")),
            **dict.fromkeys(("speed_mean", "body_lengths_per_second", "cost_of_transport")),
            "retention": kept and kept.estimate,
            "retention_low": kept and kept.low,
            "retention_high": kept and kept.high,
            "runs": len(outcomes),
            "interval_over": "starts" if len(outcomes) == 1 else "runs",
            "adapted": any(outcome.adapted for outcome in outcomes),
            "unstable": sum(map(bool, unstable)),
            "unstable_step": min(filter(None, unstable), default=None),
            "control_timestep": body.control_timestep,
            "trained_timestep": _another([outcome.trained_timestep for outcome in outcomes], body.control_timestep),
            "reason": next((outcome.reason for outcome in outcomes if outcome.reason is not None), None),
        }
        if row["reason"] is not None:
            return row
        interval = iqm_interval([scores_of_runs([outcome.returns for outcome in outcomes])], seed=self.seed)
        speed = float(np.mean([outcome.speeds for outcome in outcomes]))
        work, distance = (sum(sum(getattr(outcome, name)) for outcome in outcomes) for name in ("work", "distance"))
        weight = sum(body.link_mass) * GRAVITY
        return row | {
            "return_iqm": interval.estimate,
            "return_low": interval.low,
            "return_high": interval.high,
            "return_mean": float(np.mean([outcome.returns for outcome in outcomes])),
            "speed_mean": speed,
            "body_lengths_per_second": speed / sum(body.link_length),
            "cost_of_transport": work / (weight * distance) if distance > 0 else None,
        }

    def scores(self, agent: str, *, label: str | None = None) -> list[Floats]:
        """Return on each body the scores ``[K]`` as shares of the most possible; zeros where a policy cannot act.

        What there are K of is said by ``scores_of_runs``.
        """
        nothing = (0.0,) * (max((len(outcome.returns) for outcome in self.outcomes.values()), default=0) or 1)
        entries = [entry for entry in self.suite.bodies if label in (None, entry.label)]
        returns = [
            [nothing if outcome.reason is not None else outcome.returns for outcome in self.outcomes_of(agent, name)]
            for name in (entry.body.name for entry in entries)
        ]
        return [scores_of_runs(values) / self.suite.task.horizon for values in returns]

    @functools.cached_property
    def summary(self) -> list[dict[str, Any]]:
        """One mapping for each agent: interquartile mean over bodies and scores by label and in all, optimality gap."""
        lines = []
        for agent in self.agents:
            groups = [("all", self.scores(agent))]
            groups += [(label, scores) for label in LABELS if (scores := self.scores(agent, label=label))]
            line: dict[str, Any] = {"agent": agent}
            line |= {name: iqm_interval(scores, seed=self.seed) for name, scores in groups}
            line["optimality_gap"] = optimality_gap(np.concatenate(groups[0][1]))
            line["bodies"] = sum(self.by_name[agent, e.body.name]["reason"] is None for e in self.suite.bodies)
            line["runs"] = len(self.runs(agent))
            lines.append(line)
        return lines

    @functools.cached_property
    def improvements(self) -> list[tuple[str, str, Interval]]:
        """For each pair of agents, how likely the first is to do better than the second on a body of the suite."""
        return [
            (agent, other, improvement_interval(self.scores(agent), self.scores(other), seed=self.seed))
            for agent, other in itertools.combinations(self.agents, 2)
        ]

    def profile(self, agent: str) -> tuple[Floats, Floats, Floats]:
        """Return the performance profile at the T ``THRESHOLDS`` and its lower and upper end, ``[T]`` each."""
        scores = self.scores(agent)
        return performance_profile(scores, THRESHOLDS), *profile_band(scores, THRESHOLDS, seed=self.seed)


def _another(trained: Sequence[float | None], timestep: float) -> float | None:
    """Return the control step that some runs were trained with, if any with another one than ``timestep``: that one."""
    known = [step for step in trained if step is not None]
    return next((step for step in known if step != timestep), next(iter(known), None))
