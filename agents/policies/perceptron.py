"""A multilayer perceptron policy in NumPy, for one policy or for a population."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.action_head import choose_action
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.search_space import Parameter, SearchSpace
from wormwood.agents.policies.weights import Shape, check_arrays, check_rows
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.specs import ActionSpace
from wormwood.errors import bad_input

__all__ = ["MLP", "check_weights", "initial_weights", "input_columns", "layer_count", "search_space"]

CLIP = 10.0
"""Standardised inputs are clipped to this many deviations."""


def input_columns(layout: ObservationLayout) -> list[int]:
    """Return the columns of an observation that a perceptron looks at: all but the clock."""
    return [column for column in range(layout.size) if column != layout.clock]


def initial_weights(config: MLPConfig, *, layout: ObservationLayout, outputs: int, rng: np.random.Generator) -> Arrays:
    """Draw ``layer<i>_weight [in, out]`` and ``layer<i>_bias [out]`` for each layer.

    Weights are normal with deviation ``1 / sqrt(in)``, 100 times smaller in the last layer; biases are 0.
    """
    sizes = [len(input_columns(layout)), *config.hidden, outputs]
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


def check_weights(weights: Arrays, layout: ObservationLayout, outputs: int) -> None:
    """Check that the layers lead from this observation to so many outputs, for one perceptron or a population.

    Raises:
        BadInput: the layers were made for another observation, or other actions; or an array is missing, or
            has another shape, or something else than finite numbers in it.
    """
    inputs = len(input_columns(layout))
    depth = max(layer_count(weights), 1)
    ends = _shape(weights, "layer0_weight")[-2:-1] + _shape(weights, f"layer{depth - 1}_weight")[-1:]
    if len(ends) == 2 and ends != (inputs, outputs):
        expected, got = f"{inputs} inputs to {outputs} outputs", f"{ends[0]} inputs to {ends[1]} outputs"
        raise bad_input("agent does not fit the environment", where="agent mlp", expected=expected, got=got)
    # The units of hidden layers are what their biases say.
    hidden = [(_shape(weights, f"layer{index}_bias")[-1:] or (1,))[0] for index in range(depth - 1)]
    shapes: dict[str, Shape] = {}
    for index, (fan_in, fan_out) in enumerate(pairwise([inputs, *hidden, outputs])):
        shapes |= {f"layer{index}_bias": (fan_out,), f"layer{index}_weight": (fan_in, fan_out)}
    if any(name.startswith("observation_") for name in weights):
        shapes |= {"observation_mean": (layout.size,), "observation_deviation": (layout.size,)}
    optional: dict[str, Shape] = {"observation_count": (), "log_std": (outputs,)}
    shapes |= {name: shape for name, shape in optional.items() if name in weights}
    check_arrays(weights, shapes, where="agent mlp", positive=("observation_deviation",))


def _shape(weights: Arrays, name: str) -> Shape:
    return np.shape(weights[name]) if name in weights else ()


class MLP:
    """``a = W_n tanh(... tanh(W_0 x + b_0) ...) + b_n`` for the observation ``x`` without its clock.

    Where the weights hold a mean and a deviation, ``x`` is standardised by them, and what is not a joint is clipped to
    10 deviations. Weights may carry a leading population axis M; the N rows of an observation then belong to the
    candidates in turn, N / M to each.
    """

    def __init__(self, weights: Arrays, *, layout: ObservationLayout, actions: ActionSpace) -> None:
        """Take ``layer<i>_weight [.., in, out]``, ``layer<i>_bias [.., out]``, and optionally both
        ``observation_mean`` and ``observation_deviation [.., D]``, and ``log_std [.., J]``.

        Raises:
            BadInput: as ``check_weights``.
        """
        check_weights(weights, layout, actions.outputs)
        self._choices = actions.choices
        population = weights["layer0_weight"].shape[:-2]
        self._population = population[0] if population else 1
        # Every array gets the axes [M or 1, rows of a candidate, columns].
        self._layers = [
            (weights[f"layer{index}_weight"], weights[f"layer{index}_bias"][..., None, :])
            for index in range(layer_count(weights))
        ]
        self._noise = np.exp(weights["log_std"][..., None, :]) if "log_std" in weights else None
        self._columns = input_columns(layout)
        self._standard: tuple[Floats, Floats] | None = None
        if "observation_mean" in weights:
            mean, deviation = weights["observation_mean"], weights["observation_deviation"]
            self._standard = mean[..., None, self._columns], deviation[..., None, self._columns]
        is_joint = np.isin(self._columns, range(layout.size)[layout.joints])
        self._clip = np.where(is_joint, np.inf, CLIP)

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        """Return actions ``[N, J]`` for observations ``[N, D]``, or choices ``[N, K]``; see ``Policy.act``.

        Raises:
            BadInput: N is no multiple of the number of candidates.
        """
        check_rows(len(observation), self._population)
        x: Floats = observation[:, self._columns].reshape(self._population, -1, len(self._columns))
        if self._standard is not None:
            mean, deviation = self._standard
            x = np.clip((x - mean) / deviation, -self._clip, self._clip)
        for index, (weight, bias) in enumerate(self._layers):
            x = x @ weight + bias
            if index < len(self._layers) - 1:
                x = np.tanh(x)
        action, extras = choose_action(x, choices=self._choices, std=self._noise, rng=rng)
        count = len(observation)
        return action.reshape(count, -1), state, {name: values.reshape(count) for name, values in extras.items()}
