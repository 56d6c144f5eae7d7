"""OpenAI-ES as a learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from wormwood.agents.learning.evolution.fitness import candidate_returns, return_metrics
from wormwood.agents.learning.evolution.settings import OpenAIESConfig
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.search_space import SearchSpace
from wormwood.envs.randomness import stream

__all__ = ["OpenAIES", "adam_step", "centred_ranks"]

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's defaults (Kingma and Ba 2015)


def centred_ranks(scores: Floats) -> Floats:
    """Return ranks ``[M]`` scaled to [-0.5, 0.5], the best score highest; equal scores share their mean rank."""
    ranks: Floats = rankdata(scores)
    return (ranks - 1.0) / (len(scores) - 1) - 0.5


def adam_step(gradient: Floats, first: Floats, second: Floats, *, step: int) -> tuple[Floats, Floats, Floats]:
    """Return Adam's direction ``[P]`` for step 1, 2, ..., and the new first and second moments.

    ``m = β₁ m + (1 - β₁) g``, ``v = β₂ v + (1 - β₂) g²``, direction ``m̂ / (√v̂ + ε)`` with both debiased.
    """
    first = BETA1 * first + (1 - BETA1) * gradient
    second = BETA2 * second + (1 - BETA2) * gradient**2
    direction = (first / (1 - BETA1**step)) / (np.sqrt(second / (1 - BETA2**step)) + EPSILON)
    return direction, first, second


class OpenAIES:
    """Climbs the gradient of the expected rank of candidates ``θ ± σ ε``."""

    def __init__(self, config: OpenAIESConfig, space: SearchSpace, weights: Arrays, *, seed: int) -> None:
        """Start from ``weights``."""
        self._config, self._space, self._seed = config, space, seed
        self._mean = space.encode(weights)
        self._first, self._second = np.zeros(space.size), np.zeros(space.size)
        self._generation = 0

    def _noise(self) -> Floats:
        """Return this generation's noise ``[M, P]``: M / 2 draws, then their mirror images."""
        half = (self._config.population // 2, self._space.size)
        noise = stream(self._seed, "update", self._generation).standard_normal(half)
        return np.concatenate([noise, -noise])

    def _within_bounds(self, vectors: Floats) -> Floats:
        low, high = self._space.bounds.T
        clipped: Floats = np.clip(vectors, low, high)
        return clipped

    def weights(self) -> Arrays:
        return self._space.decode(self._within_bounds(self._mean + self._config.sigma * self._noise()))

    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        config = self._config
        returns = candidate_returns(fragments, population=config.population)
        gradient = centred_ranks(returns) @ self._noise() / (config.population * config.sigma)
        gradient -= config.weight_decay * self._mean
        self._generation += 1
        direction, self._first, self._second = adam_step(gradient, self._first, self._second, step=self._generation)
        self._mean = self._within_bounds(self._mean + config.learning_rate * direction)
        return {**return_metrics(returns), "gradient_norm": float(np.linalg.norm(gradient))}

    def policy_weights(self) -> Arrays:
        return self._space.decode(self._mean)

    def state(self) -> Arrays:
        return {
            "mean": self._mean.copy(),
            "first_moment": self._first.copy(),
            "second_moment": self._second.copy(),
            "generation": np.array(self._generation),
        }

    def restore(self, state: Arrays) -> None:
        self._mean, self._generation = state["mean"].copy(), int(state["generation"])
        self._first, self._second = state["first_moment"].copy(), state["second_moment"].copy()
