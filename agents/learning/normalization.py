"""Standardising observations while learning."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wormwood.agents.policies.interfaces import Arrays
from wormwood.envs.layouts import ObservationLayout

__all__ = ["RunningNormalizer", "Standardized"]

CLIP = 10.0
"""Standardised inputs are clipped to this many deviations."""


class RunningNormalizer(nn.Module):
    """Standardises observations by their running mean and deviation; joints and clock stay as they are."""

    def __init__(self, layout: ObservationLayout) -> None:
        """Start at mean 0 and deviation 1, which the first update replaces."""
        super().__init__()
        self.skipped: Tensor
        self.mean: Tensor
        self.variance: Tensor
        self.count: Tensor
        skipped = torch.zeros(layout.size, dtype=torch.bool)
        skipped[layout.joints] = True
        if layout.clock is not None:
            skipped[layout.clock] = True
        self.register_buffer("skipped", skipped, persistent=False)
        self.register_buffer("mean", torch.zeros(layout.size, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(layout.size, dtype=torch.float64))
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))

    def weights(self) -> Arrays:
        """Return ``observation_mean`` and ``observation_deviation [D]``, and the ``observation_count`` behind them."""
        values = {"mean": self.mean, "deviation": self.deviation, "count": self.count}
        return {f"observation_{name}": tensor.cpu().numpy().copy() for name, tensor in values.items()}

    def start_from(self, weights: Arrays) -> None:
        """Go on from what ``weights`` returned, if it is among these weights."""
        if "observation_count" in weights:
            self.mean.copy_(torch.tensor(weights["observation_mean"]))
            self.variance.copy_(torch.tensor(weights["observation_deviation"]) ** 2)
            self.count.copy_(torch.tensor(weights["observation_count"]))

    @torch.no_grad()
    def update(self, observation: Tensor) -> None:
        """Take observations ``[N, D]`` into mean and variance (Chan et al. 1979)."""
        batch = observation.double()
        n, total = len(batch), self.count + len(batch)
        delta = batch.mean(0) - self.mean
        spread = self.variance * self.count + batch.var(0, correction=0) * n + delta**2 * self.count * n / total
        self.mean = torch.where(self.skipped, 0.0, self.mean + delta * n / total)
        self.variance = torch.where(self.skipped, 1.0, spread / total)
        self.count = total

    @property
    def deviation(self) -> Tensor:
        """``[D]`` standard deviation; a quantity that never changes is left as it is."""
        deviation = self.variance.sqrt()
        return torch.where(deviation > 1e-8, deviation, 1.0)

    def forward(self, observation: Tensor) -> Tensor:
        """Return standardised observations ``[N, D]``."""
        standard = (observation - self.mean.to(observation.dtype)) / self.deviation.to(observation.dtype)
        clipped = standard.clamp(-CLIP, CLIP)
        return torch.where(self.skipped, observation, clipped)


class Standardized(nn.Module):
    """A module that sees standardised observations."""

    def __init__(self, normalizer: RunningNormalizer, module: nn.Module) -> None:
        super().__init__()
        self.normalizer, self.module = normalizer, module

    def forward(self, observation: Tensor) -> Tensor:
        value: Tensor = self.module(self.normalizer(observation))
        return value
