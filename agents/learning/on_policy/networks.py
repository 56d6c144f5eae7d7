"""Layers of perceptrons by their names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.perceptron import layer_count

__all__ = ["initial_critic", "layer_sizes"]


def layer_sizes(weights: Arrays) -> list[int]:
    """Return inputs and units of the layers ``layer<i>_weight [in, out]``."""
    shapes = [weights[f"layer{index}_weight"].shape for index in range(layer_count(weights))]
    return [shapes[0][0], *(units for _, units in shapes)]


def initial_critic(inputs: int, hidden: Sequence[int], rng: np.random.Generator) -> Arrays:
    """Draw orthogonal layers (Saxe et al. 2014, https://arxiv.org/abs/1312.6120), and biases of 0.

    Weights of hidden layers are scaled by √2, as is usual in PPO.
    """
    weights: Arrays = {}
    for index, (fan_in, fan_out) in enumerate(pairwise([inputs, *hidden, 1])):
        gain = 1.0 if index == len(hidden) else 2.0**0.5
        weights[f"layer{index}_weight"] = gain * _orthogonal(fan_in, fan_out, rng)
        weights[f"layer{index}_bias"] = np.zeros(fan_out)
    return weights


def _orthogonal(rows: int, columns: int, rng: np.random.Generator) -> Floats:
    long, short = max(rows, columns), min(rows, columns)
    basis, triangle = np.linalg.qr(rng.standard_normal((long, short)))
    basis *= np.sign(np.diag(triangle))  # else some directions would be likelier than others
    drawn: Floats = basis if rows >= columns else basis.T
    return drawn
