"""CMA-ES as a learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from cmaes import CMA

from wormwood.agents.learning.evolution.fitness import candidate_returns, return_metrics
from wormwood.agents.learning.evolution.settings import CMAESConfig
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.search_space import SearchSpace
from wormwood.envs.randomness import stream

__all__ = ["CMAES"]

_ARRAYS = {
    "mean": "_mean",
    "covariance": "_C",
    "eigenvectors": "_B",
    "deviations": "_D",
    "path_sigma": "_p_sigma",
    "path_covariance": "_pc",
}
"""What a state calls the arrays of ``cmaes.CMA``; its history of values serves early stopping, which is not used."""


class CMAES:
    """Samples candidates around a mean, and moves mean, step size and covariance towards the better half.

    The policy it learns is the mean. ``cmaes`` offers no way to save its state but pickle, so its attributes are read
    and written here. The eigenvectors are among them: computed anew, their signs could differ, and the library puts
    the covariance together from them again.
    """

    def __init__(self, config: CMAESConfig, space: SearchSpace, weights: Arrays, *, seed: int) -> None:
        """Start from ``weights``."""
        self._config, self._space, self._seed = config, space, seed
        self._search = CMA(
            mean=space.encode(weights), sigma=config.sigma, bounds=space.bounds, population_size=config.population
        )
        self._decompose()

    def _decompose(self) -> None:
        # The library does it at the first question of a generation. Done before, asking changes no state.
        self._search._eigen_decomposition()

    def candidates(self) -> Floats:
        """Return this generation's candidates ``[M, P]`` in search coordinates, the same at every call."""
        bits = stream(self._seed, "update", self._search.generation).bit_generator
        self._search._rng = np.random.RandomState(bits)  # the library draws from one
        return np.stack([self._search.ask() for _ in range(self._config.population)])

    def weights(self) -> Arrays:
        return self._space.decode(self.candidates())

    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        config = self._config
        returns = candidate_returns(fragments, population=config.population)
        self._search.tell([(vector, -score) for vector, score in zip(self.candidates(), returns, strict=True)])
        self._decompose()
        return {**return_metrics(returns), "sigma": float(self._search._sigma)}

    def policy_weights(self) -> Arrays:
        low, high = self._space.bounds.T
        return self._space.decode(np.clip(self._search.mean, low, high))

    def state(self) -> Arrays:
        arrays = {name: getattr(self._search, attribute).copy() for name, attribute in _ARRAYS.items()}
        return {**arrays, "sigma": np.array(self._search._sigma), "generation": np.array(self._search.generation)}

    def restore(self, state: Arrays) -> None:
        for name, attribute in _ARRAYS.items():
            setattr(self._search, attribute, state[name].copy())
        self._search._sigma, self._search._g = float(state["sigma"]), int(state["generation"])
