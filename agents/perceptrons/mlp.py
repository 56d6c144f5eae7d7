"""A multilayer perceptron policy in NumPy, for one policy or for a population."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from wormwood.agents.exploration import gaussian_action
from wormwood.agents.interfaces import Arrays, Floats
from wormwood.agents.perceptrons.config import MLPConfig
from wormwood.agents.search_space import Parameter, SearchSpace
from wormwood.envs.layouts import ObservationLayout
from wormwood.errors import bad_input

__all__ = ["MLP", "check_weights", "initial_weights", "input_columns", "layer_count", "search_space"]

CLIP = 10.0
"""Standardised inputs are clipped to this many deviations."""


def input_columns(layout: ObservationLayout) -> list[int]:
    """Return the columns of an observation that a perceptron looks at: all but the clock."""
    return [column for column in range(layout.size) if column != layout.clock]


def initial_weights(config: MLPConfig, *, layout: ObservationLayout, joints: int, rng: np.random.Generator) -> Arrays:
    """Draw ``layer<i>_weight [in, out]`` and ``layer<i>_bias [out]`` for each layer.

    Weights are normal with deviation ``1 / sqrt(in)``, 100 times smaller in the last layer; biases are 0.
    """
    sizes = [len(input_columns(layout)), *config.hidden, joints]
    weights: Arrays = {}
    for index, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        scale = (0.01 if index == len(sizes) - 2 else 1.0) / np.sqrt(fan_in)
        weights[f"layer{index}_weight"] = rng.standard_normal((fan_in, fan_out)) * scale
        weights[f"layer{index}_bias"] = np.zeros(fan_out)
    return weights


def search_space(weights: Arrays) -> SearchSpace:
    """Return how evolution searches the layers: as they are. What else PPO has learned stays fixed."""
    searched = tuple(Parameter(name, values.shape) for name, values in weights.items() if name.startswith("layer"))
    return SearchSpace(searched, fixed={name: weights[name] for name in weights if not name.startswith("layer")})


def layer_count(weights: Arrays) -> int:
    """Return the number of layers among these weights."""
    return sum(name.startswith("layer") and name.endswith("_weight") for name in weights)


def check_weights(weights: Arrays, layout: ObservationLayout) -> None:
    """Check that the layers lead from this observation to one action for each of its joints.

    Raises:
        BadInput: they do not.
    """
    inputs, joints = len(input_columns(layout)), len(range(layout.size)[layout.joints])
    depth = layer_count(weights)
    got = "no layers"
    if depth:
        got = f"{weights['layer0_weight'].shape[-2]} inputs to {weights[f'layer{depth - 1}_weight'].shape[-1]} joints"
    expected = f"{inputs} inputs to {joints} joints"
    if got != expected:
        raise bad_input("agent does not fit the body", where="agent mlp", expected=expected, got=got)


class MLP:
    """``a = W_n tanh(... tanh(W_0 x + b_0) ...) + b_n`` for the observation ``x`` without its clock.

    Where the weights hold a mean and a deviation, ``x`` is standardised by them, and what is not a joint is clipped to
    10 deviations. Weights may carry a leading population axis M; the N rows of an observation then belong to the
    candidates in turn, N / M to each.
    """

    def __init__(self, weights: Arrays, *, layout: ObservationLayout) -> None:
        """Take ``layer<i>_weight [.., in, out]``, ``layer<i>_bias [.., out]``, and optionally both
        ``observation_mean`` and ``observation_deviation [.., D]``, and ``log_std [.., J]``.

        Raises:
            BadInput: the layers were made for another observation, or another number of joints.
        """
        check_weights(weights, layout)
        population = weights["layer0_weight"].shape[:-2]
        self._population = population[0] if population else 1
        # Every array gets the axes [M or 1, rows of a candidate, columns].
        vectors = (name for name in weights if not name.endswith(("_weight", "_count")))
        rows = {name: weights[name][..., None, :] for name in vectors}
        self._layers = [
            (weights[f"layer{index}_weight"], rows[f"layer{index}_bias"]) for index in range(layer_count(weights))
        ]
        self._noise = np.exp(rows["log_std"]) if "log_std" in rows else None
        self._columns = input_columns(layout)
        self._standard: tuple[Floats, Floats] | None = None
        if "observation_mean" in rows:
            mean, deviation = rows["observation_mean"], rows["observation_deviation"]
            self._standard = mean[..., self._columns], deviation[..., self._columns]
        is_joint = np.isin(self._columns, range(layout.size)[layout.joints])
        self._clip = np.where(is_joint, np.inf, CLIP)

    def act(self, observation: Floats, state: Arrays, rng: np.random.Generator | None) -> tuple[Floats, Arrays, Arrays]:
        """Return actions ``[N, J]`` for observations ``[N, D]``; see ``Policy.act``."""
        x: Floats = observation[:, self._columns].reshape(self._population, -1, len(self._columns))
        if self._standard is not None:
            mean, deviation = self._standard
            x = np.clip((x - mean) / deviation, -self._clip, self._clip)
        for index, (weight, bias) in enumerate(self._layers):
            x = x @ weight + bias
            if index < len(self._layers) - 1:
                x = np.tanh(x)
        extras: Arrays = {}
        if rng is not None and self._noise is not None:
            x, extras = gaussian_action(x, self._noise, rng)
            extras["log_prob"] = extras["log_prob"].reshape(len(observation))
        return x.reshape(len(observation), -1), state, extras
