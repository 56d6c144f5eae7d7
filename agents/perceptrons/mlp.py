"""A multilayer perceptron policy in NumPy, for one policy or for a population."""

from __future__ import annotations

import numpy as np

from wormwood.agents.interfaces import Arrays, Floats
from wormwood.agents.perceptrons.config import MLPConfig
from wormwood.agents.search_space import Parameter, SearchSpace
from wormwood.envs.layouts import ObservationLayout
from wormwood.errors import bad_input

__all__ = ["MLP", "initial_weights", "search_space"]

CLIP = 10.0
"""Standardised inputs are clipped to this many deviations."""


def initial_weights(config: MLPConfig, *, layout: ObservationLayout, joints: int, rng: np.random.Generator) -> Arrays:
    """Draw weights for each layer: normal with deviation 1/sqrt(inputs), the last layer 100 times smaller; biases 0."""
    sizes = [_inputs(layout), *config.hidden, joints]
    weights: Arrays = {}
    for index, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        scale = (0.01 if index == len(sizes) - 2 else 1.0) / np.sqrt(fan_in)
        weights[f"layer{index}_weight"] = rng.standard_normal((fan_in, fan_out)) * scale
        weights[f"layer{index}_bias"] = np.zeros(fan_out)
    return weights


def search_space(weights: Arrays) -> SearchSpace:
    """Return how evolution searches the weights: as they are."""
    return SearchSpace(tuple(Parameter(name, values.shape) for name, values in weights.items()))


class MLP:
    """``a = W_n tanh(... tanh(W_0 x + b_0) ...) + b_n`` for the standardised observation ``x`` without its clock.

    Weights may carry a leading population axis M; the N rows of an observation then belong to the candidates in turn,
    N / M to each.
    """

    def __init__(self, weights: Arrays, *, layout: ObservationLayout) -> None:
        """Take ``layer<i>_weight [.., in, out]``, ``layer<i>_bias [.., out]``, and optionally ``observation_mean``,
        ``observation_deviation [D]`` and ``log_std [J]``.

        Raises:
            BadInput: the first layer was made for another observation.
        """
        depth = sum(name.endswith("_weight") for name in weights)
        self._layers = [(weights[f"layer{i}_weight"], weights[f"layer{i}_bias"]) for i in range(depth)]
        self._columns = np.delete(np.arange(layout.size), [] if layout.clock is None else layout.clock)
        inputs = self._layers[0][0].shape[-2]
        if inputs != len(self._columns):
            raise bad_input(
                "agent does not fit the body",
                where="mlp policy",
                expected=f"a body that gives {inputs} inputs",
                got=f"{len(self._columns)} inputs",
            )
        self._mean = weights.get("observation_mean", np.zeros(layout.size))[self._columns]
        self._deviation = weights.get("observation_deviation", np.ones(layout.size))[self._columns]
        self._noise = np.exp(weights["log_std"]) if "log_std" in weights else None
        self._population = self._layers[0][0].shape[0] if self._layers[0][0].ndim == 3 else 0

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[Floats, Arrays, Arrays]:
        """Return actions ``[N, J]`` for observations ``[N, D]``; see ``Policy.act``."""
        x = np.clip((observation[:, self._columns] - self._mean) / self._deviation, -CLIP, CLIP)
        if self._population:
            x = x.reshape(self._population, -1, x.shape[1])
        for index, (weight, bias) in enumerate(self._layers):
            x = x @ weight + (bias[:, None, :] if self._population else bias)
            if index < len(self._layers) - 1:
                x = np.tanh(x)
        action = x.reshape(len(observation), -1)
        if rng is not None and self._noise is not None:
            action = action + self._noise * rng.standard_normal(action.shape)
        return action, state, {}


def _inputs(layout: ObservationLayout) -> int:
    return layout.size - (layout.clock is not None)
