"""How likely actions are under a policy's outputs, and the gradients of that by the outputs, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Floats

__all__ = ["Likelihood", "categorical_likelihood", "gaussian_likelihood"]


@dataclass(frozen=True)
class Likelihood:
    """Of n actions, one under each row of outputs."""

    log_prob: Floats
    """``[n]`` logarithm of the probability or density."""
    gradient: Floats
    """``[n, P]`` derivative of ``log_prob`` by the outputs."""
    entropy: Floats
    """``[n]`` of the distribution."""
    entropy_gradient: Floats
    """``[n, P]`` derivative of ``entropy`` by the outputs."""
    noise_gradient: Floats | None = None
    """``[n, J]`` derivative of ``log_prob`` by the logarithm of the noise; None for choices."""


def categorical_likelihood(logits: Floats, action: NDArray[Any], choices: Sequence[int]) -> Likelihood:
    """Return the likelihood of choices ``[n, K]`` under ``logits [n, sum(choices)]``."""
    ends = list(accumulate(choices))
    parts = [
        _choice_likelihood(logits[:, end - alternatives : end], action[:, index].astype(np.int64))
        for index, (alternatives, end) in enumerate(zip(choices, ends, strict=True))
    ]
    if len(parts) == 1:
        return parts[0]
    return Likelihood(
        sum((part.log_prob for part in parts), start=np.zeros(len(logits))),
        np.hstack([part.gradient for part in parts]),
        sum((part.entropy for part in parts), start=np.zeros(len(logits))),
        np.hstack([part.entropy_gradient for part in parts]),
    )


def _choice_likelihood(logits: Floats, chosen: NDArray[np.int64]) -> Likelihood:
    rows = np.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    weights = np.exp(shifted)
    totals = weights.sum(axis=1, keepdims=True)
    probabilities, logs = weights / totals, shifted - np.log(totals)
    entropy = -np.einsum("nc,nc->n", probabilities, logs)
    gradient = -probabilities
    entropy_gradient = gradient * (logs + entropy[:, None])
    gradient[rows, chosen] += 1.0
    return Likelihood(logs[rows, chosen], gradient, entropy, entropy_gradient)


def gaussian_likelihood(mean: Floats, action: Floats, log_std: Floats) -> Likelihood:
    """Return the likelihood of actions ``[n, J]`` around ``mean [n, J]``, with ``log_std [J]`` or one for all."""
    std = np.exp(log_std)
    z = (action - mean) / std
    log_prob = -0.5 * (z**2 + np.log(2 * np.pi)).sum(axis=1) - np.broadcast_to(log_std, mean.shape[1]).sum()
    entropy = np.broadcast_to(log_std, mean.shape[1]).sum() + 0.5 * mean.shape[1] * np.log(2 * np.pi * np.e)
    return Likelihood(log_prob, z / std, np.full(len(mean), entropy), np.zeros_like(mean), z**2 - 1.0)
