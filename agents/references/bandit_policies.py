"""Classic policies for Bernoulli bandits, which act on the observations of trials as learned ones do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.references.bandit_values import gittins_indices
from wormwood.envs.randomness import stream

__all__ = ["BanditPolicy", "Index", "gittins", "greedy", "thompson", "upper_confidence_bound"]

Index = Callable[[Floats, Floats, NDArray[np.int64], np.random.Generator], Floats]
"""(successes ``[N, k]``, failures ``[N, k]``, pulls made ``[N]``, generator) -> the index of each arm ``[N, k]``."""
FAMILIAR = 1e-9
"""What an arm's index loses for each pull, and a thousandth of it for each place: ties go to the arm that is known
least, and among equals to the first."""


def greedy(successes: Floats, failures: Floats, pulls: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return the posterior means ``(s + 1) / (s + f + 2)``, ``[N, k]``; see ``Index``."""
    return (successes + 1.0) / (successes + failures + 2.0)


def thompson(successes: Floats, failures: Floats, pulls: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Return draws ``[N, k]`` from the posteriors ``Beta(s + 1, f + 1)`` (Thompson 1933); see ``Index``."""
    return rng.beta(successes + 1.0, failures + 1.0)


def upper_confidence_bound(width: float) -> Index:
    """Return the rule ``p + width √(2 ln t / (s + f + 2))`` with the posterior mean p before pull t.

    UCB1 (Auer et al. 2002) with a Beta(1, 1) prior, as Duan et al. 2016 tune it: the prior counts as two pulls.
    """

    def index(successes: Floats, failures: Floats, pulls: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        seen = successes + failures + 2.0
        bound: Floats = (successes + 1.0) / seen + width * np.sqrt(2.0 * np.log(pulls + 1.0)[:, None] / seen)
        return bound

    return index


def gittins(horizon: int) -> Index:
    """Return the rule of the finite-horizon Gittins index; see ``gittins_indices``."""
    table = gittins_indices(horizon)

    def index(successes: Floats, failures: Floats, pulls: NDArray[np.int64], rng: np.random.Generator) -> Floats:
        return table[(horizon - pulls)[:, None], successes.astype(np.int64), failures.astype(np.int64)]

    return index


@dataclass(frozen=True)
class BanditPolicy:
    """Pulls the arm of the largest index; see ``wormwood.agents.policies.interfaces.Policy``.

    It counts what it sees in the observations of a trial, and remembers nothing else.
    """

    arms: int
    index: Index
    seed: int = 0
    """Of the draws of policies that draw, as Thompson's; they are the same in every call for the same pull."""

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[np.int64], Arrays, Arrays]:
        none = np.zeros((len(observation), self.arms))
        chosen, reward = observation[:, : self.arms], observation[:, self.arms, None]
        successes = state.get("successes", none) + chosen * reward
        failures = state.get("failures", none) + chosen * (1.0 - reward)
        pulls = np.sum(successes + failures, axis=1).astype(np.int64)
        draws = stream(self.seed, "action", int(pulls.max(initial=0))) if rng is None else rng
        familiar = successes + failures + np.arange(self.arms) / 1000.0
        index = self.index(successes, failures, pulls, draws) - FAMILIAR * familiar
        return np.argmax(index, axis=1)[:, None], {"successes": successes, "failures": failures}, {}
