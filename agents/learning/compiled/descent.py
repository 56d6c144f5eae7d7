"""Steps down a gradient, as ``torch.optim`` takes them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from wormwood.agents.learning.compiled.perceptrons import Singles
from wormwood.compilation import inlined, kernel

__all__ = ["Descent", "descend", "length", "unbounded"]

SUMS = 16


class Descent(NamedTuple):
    """An optimiser and what it remembers; all arrays are ``[P]``, one number for each parameter."""

    adam: bool
    """Adam (Kingma and Ba 2015, https://arxiv.org/abs/1412.6980), or else RMSprop, as torch computes it."""
    rates: Singles
    """Learning rate of each parameter."""
    mean: Singles
    """Running mean of the gradient; RMSprop has none."""
    square: Singles
    """Running mean of its squares."""
    first_decay: float
    """By which the mean is kept in each step."""
    second_decay: float
    """By which the squares are kept."""
    epsilon: float
    low: Singles
    """``[P]`` below which no parameter is left by a step; nothing where none has bounds."""
    high: Singles
    """``[P]`` above which none is."""


def unbounded() -> Singles:
    """Return the bounds of an optimiser whose parameters have none."""
    return np.zeros(0, dtype=np.float32)


@inlined
def length(gradient: Any) -> float:
    """Return the length of a gradient; sums of every sixteenth square are added up."""
    sums = np.zeros(SUMS, dtype=np.float32)
    whole = len(gradient) // SUMS * SUMS
    for i in range(0, whole, SUMS):
        for j in range(SUMS):
            sums[j] += gradient[i + j] * gradient[i + j]
    total = 0.0
    for j in range(SUMS):
        total += sums[j]
    for i in range(whole, len(gradient)):
        total += gradient[i] * gradient[i]
    return math.sqrt(total)


@kernel
def descend(descent: Any, parameters: Any, gradient: Any, step: int, scale: float) -> None:
    """Take one step, the ``step``-th from 1, with the gradient times ``scale``."""
    d = descent
    factor, epsilon = np.float32(scale), np.float32(d.epsilon)
    keep, take = np.float32(d.second_decay), np.float32(1.0 - d.second_decay)
    if d.adam:
        first = np.float32(1.0 - d.first_decay)
        mean_correction = np.float32(1.0 / (1.0 - d.first_decay**step))
        root_correction = np.float32(math.sqrt(1.0 - d.second_decay**step))
        for i in range(len(parameters)):
            slope = gradient[i] * factor
            d.mean[i] += (slope - d.mean[i]) * first
            d.square[i] = d.square[i] * keep + slope * slope * take
            rate = d.rates[i] * mean_correction
            parameters[i] -= rate * d.mean[i] / (np.sqrt(d.square[i]) / root_correction + epsilon)
    else:
        for i in range(len(parameters)):
            slope = gradient[i] * factor
            d.square[i] = d.square[i] * keep + slope * slope * take
            parameters[i] -= d.rates[i] * slope / (np.sqrt(d.square[i]) + epsilon)
    for i in range(len(d.low)):
        parameters[i] = min(max(parameters[i], d.low[i]), d.high[i])
