"""Weights as the flat vectors that evolution searches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from wormwood.agents.policies.interfaces import Arrays, Floats

__all__ = ["Parameter", "SearchSpace"]

SMALLEST = 1e-3
"""Magnitudes below it are searched from here: their logarithm would be far away."""


@dataclass(frozen=True)
class Parameter:
    """One array of weights and how it is searched."""

    name: str
    shape: tuple[int, ...] = ()
    sign: int = 0
    """+1 or -1: the logarithm of the magnitude is searched and the sign kept; 0: the values themselves are."""
    low: float = -np.inf
    """Smallest value, or smallest magnitude where the sign is kept."""
    high: float = np.inf
    """Largest value, or largest magnitude where the sign is kept."""

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return int(np.prod(self.shape))

    def to_coordinates(self, values: Floats) -> Floats:
        """Return the coordinates ``[.., *shape]`` of values of that shape; one of the wrong sign comes close to 0."""
        return np.log(np.maximum(self.sign * values, SMALLEST)) if self.sign else values

    def to_values(self, coordinates: Floats) -> Floats:
        """Return the values ``[.., *shape]`` of coordinates of that shape."""
        return self.sign * np.exp(coordinates) if self.sign else coordinates

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest coordinate."""
        if not self.sign:
            return self.low, self.high
        return float(np.log(self.low)) if self.low > 0 else -np.inf, float(np.log(self.high))


@dataclass(frozen=True)
class SearchSpace:
    """The parameters of one agent, one after the other in a vector of P coordinates."""

    parameters: tuple[Parameter, ...]
    fixed: Mapping[str, Floats] = field(default_factory=dict)
    """Weights that every candidate has alike."""

    @property
    def size(self) -> int:
        """P, the number of coordinates."""
        return sum(parameter.size for parameter in self.parameters)

    @property
    def bounds(self) -> Floats:
        """``[P, 2]`` smallest and largest value of each coordinate."""
        rows = [np.tile(parameter.bounds, (parameter.size, 1)) for parameter in self.parameters]
        return np.concatenate(rows)

    def encode(self, weights: Arrays) -> Floats:
        """Return the coordinates ``[P]`` of one set of weights, within the bounds."""
        parts = [parameter.to_coordinates(weights[parameter.name]).ravel() for parameter in self.parameters]
        low, high = self.bounds.T
        return np.clip(np.concatenate(parts), low, high)

    def decode(self, vectors: Floats) -> Arrays:
        """Return the weights of coordinates ``[P]``, or of a population ``[M, P]`` with a leading axis M each."""
        weights: Arrays = {}
        population, start = vectors.shape[:-1], 0
        for parameter in self.parameters:
            part = vectors[..., start : start + parameter.size].reshape((*population, *parameter.shape))
            # Arrays of their own: neither NumPy scalars, nor views of the vectors.
            weights[parameter.name] = np.array(parameter.to_values(part))
            start += parameter.size
        for name, values in self.fixed.items():
            weights[name] = np.broadcast_to(values, (*population, *np.shape(values))).copy()
        return weights
