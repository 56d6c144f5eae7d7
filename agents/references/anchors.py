"""What a policy on trials is to be compared with: chance, who knows the task, and the best that can be expected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wormwood.agents.policies.interfaces import Floats
from wormwood.agents.references.bandit_values import MOST_PULLS, bayes_optimal_value
from wormwood.agents.references.grid_values import LONGEST_EPISODE, bayes_optimal_return, oracle_return, random_return
from wormwood.agents.references.tabular_policies import value_iteration
from wormwood.envs.families.bandits import BernoulliBandit
from wormwood.envs.families.grid_navigation import GridNavigation
from wormwood.envs.families.table import held_out_tasks
from wormwood.envs.families.tabular import TabularMDP, tables
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["Anchors", "anchors_of"]


@dataclass(frozen=True)
class Anchors:
    """Expected returns on trials of K episodes. In each episode chance earns the same, and so does the oracle."""

    episodes: int
    """K."""
    random: float
    """Of one episode, actions being drawn alike."""
    oracle: float
    """Of one episode, for who knows the task."""
    bayes: float | None = None
    """Of a whole trial, the most that any policy can expect; None where it is not known."""

    @property
    def optimum(self) -> str:
        """What a score of 1 is: ``Bayes-optimal`` where that is known, else ``oracle``."""
        return "oracle" if self.bayes is None else "Bayes-optimal"

    @property
    def optimal(self) -> float:
        """Return of a whole trial at a score of 1."""
        return self.oracle * self.episodes if self.bayes is None else self.bayes

    def scores(self, returns: Floats) -> Floats:
        """Return ``(R - random) / (optimal - random)`` of the returns ``[E]`` of whole trials."""
        chance = self.random * self.episodes
        scores: Floats = (returns - chance) / (self.optimal - chance)
        return scores

    def to_row(self, returns: Floats) -> dict[str, Any]:
        """Return what `wormwood evaluate --json` adds for the returns ``[E]`` of trials: the mean score, and more."""
        scores = self.scores(returns)
        mean, half = float(scores.mean()), 1.96 * float(scores.std()) / len(scores) ** 0.5
        return {
            "random_return": self.random * self.episodes,
            "optimal_return": self.optimal,
            "optimum": self.optimum,
            "score": mean,
            "score_low": mean - half,
            "score_high": mean + half,
        }


def anchors_of(spec: EnvironmentSpec, tasks: int, *, seed: int = 0) -> Anchors | None:
    """Return what is known of an environment; None where it is no trials, or nothing is.

    Args:
        spec: the environment.
        tasks: how many of a seed's held-out tasks the oracle of a tabular process knows; elsewhere values are exact.
        seed: of those tasks.
    """
    if not isinstance(spec, TrialSpec):
        return None
    family, episodes = spec.family, spec.episodes
    if isinstance(family, BernoulliBandit):
        # The largest of k draws from U[0, 1] is k / (k + 1) on average.
        bayes = bayes_optimal_value(family.arms, episodes) if episodes <= MOST_PULLS else None
        return Anchors(episodes, 0.5, family.arms / (family.arms + 1), bayes)
    if isinstance(family, TabularMDP):
        values = np.array([task.values for task in held_out_tasks(family, tasks, seed=seed)])
        optimum, _ = value_iteration(*tables(family, values), family.steps)
        # Mean rewards are N(1, 1), whatever state the last choice led to.
        return Anchors(episodes, float(family.steps), float(optimum[:, 0].mean()))
    if isinstance(family, GridNavigation) and family.steps <= LONGEST_EPISODE:
        steps = family.steps
        bayes = bayes_optimal_return(episodes, steps=steps)
        return Anchors(episodes, random_return(1, steps=steps), oracle_return(1, steps=steps), bayes)
    return None
