"""CMA-ES as a learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from cmaes import CMA

from wormwood.agents.evolution.config import CMAESConfig
from wormwood.agents.evolution.returns import candidate_returns, return_metrics
from wormwood.agents.interfaces import Arrays, Floats, Fragment
from wormwood.agents.search_space import SearchSpace
from wormwood.envs.randomness import stream

__all__ = ["CMAES"]

_ARRAYS = ("_mean", "_C", "_p_sigma", "_pc", "_funhist_values")
_EIGEN = ("_B", "_D")


class CMAES:
    """Samples candidates around a mean, and moves mean, step size and covariance towards the better half.

    The policy it learns is the mean. ``cmaes`` offers no way to save its state but pickle, so its attributes are read
    and written here, the eigenvectors included: computed anew, their signs could differ.
    """

    def __init__(self, config: CMAESConfig, space: SearchSpace, weights: Arrays, *, seed: int) -> None:
        """Start from ``weights``."""
        self._config, self._space, self._seed = config, space, seed
        self._search = CMA(
            mean=space.encode(weights), sigma=config.sigma, bounds=space.bounds, population_size=config.population
        )
        self._search._funhist_values.fill(0.0)  # the library leaves it uninitialised

    @property
    def _low_high(self) -> tuple[Floats, Floats]:
        low, high = self._space.bounds.T
        return low, high

    def candidates(self) -> Floats:
        """Return this generation's candidates ``[M, P]`` in search coordinates, the same at every call."""
        bits = stream(self._seed, "update", self._search.generation).bit_generator
        self._search._rng = np.random.RandomState(bits)  # noqa: NPY002 # the library draws from one
        return np.stack([self._search.ask() for _ in range(self._config.population)])

    def weights(self) -> Arrays:
        return self._space.decode(self.candidates())

    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        config = self._config
        returns = candidate_returns(fragments, population=config.population, starts=config.starts)
        self._search.tell([(vector, -score) for vector, score in zip(self.candidates(), returns, strict=True)])
        return {**return_metrics(returns), "sigma": float(self._search._sigma)}

    def policy_weights(self) -> Arrays:
        return self._space.decode(np.clip(self._search.mean, *self._low_high))

    def state(self) -> Arrays:
        state = {name.strip("_"): np.array(getattr(self._search, name)) for name in _ARRAYS}
        for name in _EIGEN:
            value = getattr(self._search, name)
            state[name.strip("_")] = np.zeros(0) if value is None else value.copy()
        return {**state, "sigma": np.array(self._search._sigma), "generation": np.array(self._search.generation)}

    def restore(self, state: Arrays) -> None:
        for name in _ARRAYS:
            setattr(self._search, name, state[name.strip("_")].copy())
        for name in _EIGEN:
            value = state[name.strip("_")]
            setattr(self._search, name, value.copy() if value.size else None)
        self._search._sigma = float(state["sigma"])
        self._search._g = int(state["generation"])
