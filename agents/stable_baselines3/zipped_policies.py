"""Perceptrons that Stable-Baselines3 has trained, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, expit

from wormwood.agents.policies.interfaces import Arrays, Floats, Policy
from wormwood.envs.faces.swimmer_v5 import action_from_swimmer_v5, to_swimmer_v5
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import bad_input

__all__ = ["ACTIVATIONS", "ZippedPolicy"]

ACTIVATIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "silu": lambda x: x * expit(x),
    "gelu": lambda x: x * (1.0 + erf(x / np.sqrt(2.0))) / 2.0,
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0.0))),
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "mish": lambda x: x * np.tanh(np.logaddexp(x, 0.0)),
    "sigmoid": expit,
    "identity": lambda x: x,
}
"""By their names in torch, written small, with torch's own settings."""


@dataclass(frozen=True)
class ZippedPolicy:
    """A perceptron that Stable-Baselines3 trained on one of our environments or on gymnasium's Swimmer-v5."""

    name: str
    """Of the file, without its ending."""
    weights: Arrays
    """``layer<k>_weight [in, out]`` and ``layer<k>_bias [out]`` from input to output."""
    spec: SwimmerSpec
    """What it was trained in."""
    activation: str = "tanh"
    """One of ``ACTIVATIONS``."""
    squashes: bool = False
    """The output goes through tanh."""
    bound: float | None = None
    """The output is first clipped to ± this, as SAC does with state-dependent exploration."""
    normalization: Arrays = field(default_factory=dict)
    """``mean [D]``, ``deviation [D]`` and ``clip []`` of what ``VecNormalize`` did to observations; or nothing."""

    @property
    def arrays(self) -> Arrays:
        """All arrays, as an agent's file keeps them: ``weights``, and the normalization with its name in front."""
        return self.weights | {f"normalization_{name}": values for name, values in self.normalization.items()}

    @property
    def settings(self) -> dict[str, Any]:
        """What an agent's file keeps beside the arrays."""
        return {"activation": self.activation, "squashes": self.squashes, "bound": self.bound}

    @classmethod
    def read(cls, name: str, settings: Mapping[str, Any], arrays: Arrays, spec: Any) -> ZippedPolicy:
        """Return the policy that an agent's file holds.

        Raises:
            ValueError, LookupError, TypeError: it holds none.
        """
        activation, squashes, bound = (settings[key] for key in ("activation", "squashes", "bound"))
        if activation not in ACTIVATIONS or not isinstance(squashes, bool) or not isinstance(spec, SwimmerSpec):
            raise ValueError(f"activation {activation!r}, squashes {squashes!r} in {type(spec).__name__}")
        normalization = {
            key.removeprefix("normalization_"): arrays[key] for key in arrays if key.startswith("normalization_")
        }
        weights = {key: value for key, value in arrays.items() if key.startswith("layer")}
        policy = cls(name, weights, spec, activation, squashes, None if bound is None else float(bound), normalization)
        inputs = _Network(policy).inputs  # looks every array up
        if normalization and normalization["mean"].shape != (inputs,):
            raise ValueError(f"means of {normalization['mean'].shape} for {inputs} inputs")
        return policy

    def policy(self, spec: EnvironmentSpec) -> Policy:
        """Build the policy for an environment.

        A policy for Swimmer-v5 swims with any three links: through the table of ``wormwood.envs.faces.swimmer_v5``.

        Raises:
            BadInput: its sizes do not fit the environment.
        """
        network = _Network(self)
        size, outputs = spec.layout.size, spec.actions.outputs
        clockless = _is_swim(spec) and network.inputs == size - 1
        if not spec.actions.choices and network.outputs == outputs and (network.inputs == size or clockless):
            return _Perceptron(network)
        if isinstance(spec, SwimmerSpec) and _is_swim(spec) and (network.inputs, network.outputs, outputs) == (8, 2, 2):
            return _OfSwimmerV5(network, timestep=spec.body.control_timestep)
        expected = f"{size} inputs to {outputs} outputs"
        got = f"{network.inputs} inputs to {network.outputs} outputs"
        raise bad_input("agent does not fit the environment", where=f"agent {self.name}", expected=expected, got=got)


def _is_swim(spec: EnvironmentSpec) -> bool:
    return isinstance(spec, SwimmerSpec) and isinstance(spec.task, Swim)


class _Network:
    """Fully connected layers behind what ``VecNormalize`` did."""

    def __init__(self, described: ZippedPolicy) -> None:
        weights, depth = described.weights, len(described.weights) // 2
        self._layers = [(weights[f"layer{k}_weight"], weights[f"layer{k}_bias"]) for k in range(depth)]
        self._activate = ACTIVATIONS[described.activation]
        self._squashes, self._bound = described.squashes, described.bound
        known = described.normalization
        self._normalization = [known[name] for name in ("mean", "deviation", "clip")] if known else None
        self.inputs, self.outputs = len(self._layers[0][0]), len(self._layers[-1][1])

    def __call__(self, x: Floats) -> Floats:
        if self._normalization:
            mean, deviation, clip = self._normalization
            x = np.clip((x - mean) / deviation, -clip, clip)
        *hidden, (weight, bias) = self._layers
        for inner_weight, inner_bias in hidden:
            x = self._activate(x @ inner_weight + inner_bias)
        x = x @ weight + bias
        if self._bound is not None:
            x = np.clip(x, -self._bound, self._bound)
        return np.tanh(x) if self._squashes else x


class _Perceptron:
    """Acts on the observation that the network was trained on."""

    def __init__(self, network: _Network) -> None:
        self._network = network

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        """Return actions ``[N, J]``; see ``Policy.act``. A clock that the network does not know is left out."""
        return self._network(observation[:, : self._network.inputs]), state, {}


class _OfSwimmerV5:
    """Acts in the swim task as in Swimmer-v5.

    Swim does not tell the heading. It is reckoned from the head's yaw rate by the trapezoidal rule, and counts from the
    start of the episode: the policy swims to where the body looked then.
    """

    def __init__(self, network: _Network, *, timestep: float) -> None:
        """Reckon the heading over control steps of ``timestep`` s."""
        self._network, self._timestep = network, timestep

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        """Return actions ``[N, 2]`` for swim observations ``[N, 12]`` of three links; see ``Policy.act``."""
        rate, began = observation[:, 4], observation[:, -1] == 0
        heading = np.zeros(len(rate))
        if state:
            heading = state["heading"] + self._timestep * (state["rate"] + rate) / 2
            heading = np.where(began, 0.0, heading)
        action = self._network(to_swimmer_v5(observation, heading=heading))
        return action_from_swimmer_v5(action), {"heading": heading, "rate": rate.copy()}, {}
