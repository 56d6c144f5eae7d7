"""How likely actions are under a policy's outputs, and the slopes of that by the outputs, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.interfaces import Floats

__all__ = ["Likelihood", "categorical_likelihood", "gaussian_likelihood"]


@dataclass(frozen=True)
class Likelihood:
    """Of n actions, one under each row of outputs."""

    log_prob: Floats
    """``[n]`` logarithm of the probability or density."""
    slope: Floats
    """``[n, P]`` derivative of ``log_prob`` by the outputs."""
    entropy: Floats
    """``[n]`` of the distribution."""
    entropy_slope: Floats
    """``[n, P]`` derivative of ``entropy`` by the outputs."""
    noise_slope: Floats | None = None
    """``[n, J]`` derivative of ``log_prob`` by the logarithm of the noise; None for choices."""


def categorical_likelihood(logits: Floats, action: NDArray[Any], choices: Sequence[int]) -> Likelihood:
    """Return the likelihood of choices ``[n, K]`` under ``logits [n, sum(choices)]``."""
    slope, entropy_slope = np.empty_like(logits), np.empty_like(logits)
    log_prob, entropy = np.zeros(len(logits)), np.zeros(len(logits))
    rows, begin = np.arange(len(logits)), 0
    for index, alternatives in enumerate(choices):
        part = slice(begin, begin + alternatives)
        shifted = logits[:, part] - logits[:, part].max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        probabilities = np.exp(logs)
        chosen = action[:, index].astype(np.int64)
        own_entropy = -(probabilities * logs).sum(axis=1)
        log_prob += logs[rows, chosen]
        entropy += own_entropy
        slope[:, part] = -probabilities
        slope[rows, begin + chosen] += 1.0
        entropy_slope[:, part] = -probabilities * (logs + own_entropy[:, None])
        begin += alternatives
    return Likelihood(log_prob, slope, entropy, entropy_slope)


def gaussian_likelihood(mean: Floats, action: Floats, log_std: Floats) -> Likelihood:
    """Return the likelihood of actions ``[n, J]`` around ``mean [n, J]``, with ``log_std [J]`` or one for all."""
    std = np.exp(log_std)
    z = (action - mean) / std
    log_prob = -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1) - np.broadcast_to(log_std, mean.shape[1]).sum()
    entropy = np.broadcast_to(log_std, mean.shape[1]).sum() + 0.5 * mean.shape[1] * np.log(2 * np.pi * np.e)
    return Likelihood(log_prob, z / std, np.full(len(mean), entropy), np.zeros_like(mean), z**2 - 1.0)
