"""Running mean and deviation of observations, and observations standardised by them, in NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.envs.layouts import ObservationLayout

__all__ = ["RunningMoments"]

CLIP = 10.0
"""Standardised inputs are clipped to this many deviations."""


class RunningMoments:
    """Standardises observations by their running mean and deviation; joints and clock stay as they are."""

    def __init__(self, layout: ObservationLayout, weights: Arrays) -> None:
        """Go on from a policy's weights that hold moments; else start at mean 0 and deviation 1."""
        self._skipped = np.zeros(layout.size, dtype=bool)
        self._skipped[layout.joints] = True
        if layout.clock is not None:
            self._skipped[layout.clock] = True
        self.mean, self.variance = np.zeros(layout.size), np.ones(layout.size)
        self.count = 0.0
        if "observation_count" in weights:
            self.mean = np.array(weights["observation_mean"])
            self.variance = np.array(weights["observation_deviation"]) ** 2
            self.count = float(weights["observation_count"])

    @property
    def deviation(self) -> Floats:
        """``[D]`` standard deviation; a quantity that never changes is left as it is."""
        deviation = np.sqrt(self.variance)
        return np.where(deviation > 1e-8, deviation, 1.0)

    def weights(self) -> Arrays:
        """Return ``observation_mean`` and ``observation_deviation [D]``, and the ``observation_count`` behind them."""
        return {
            "observation_mean": self.mean.copy(),
            "observation_deviation": self.deviation,
            "observation_count": np.array(self.count),
        }

    def update(self, observation: Floats) -> None:
        """Take observations ``[..., D]`` into mean and variance (Chan et al. 1979)."""
        batch = observation.reshape(-1, observation.shape[-1])
        n, total = len(batch), self.count + len(batch)
        delta = batch.mean(axis=0) - self.mean
        spread = self.variance * self.count + batch.var(axis=0) * n + delta**2 * self.count * n / total
        self.mean = np.where(self._skipped, 0.0, self.mean + delta * n / total)
        self.variance = np.where(self._skipped, 1.0, spread / total)
        self.count = total

    def standardize(self, observation: Floats) -> NDArray[np.float32]:
        """Return standardised observations ``[..., D]``."""
        standard = np.clip((observation - self.mean) / self.deviation, -CLIP, CLIP)
        return np.where(self._skipped, observation, standard).astype(np.float32)
