"""Policies from the zips of Stable-Baselines3, of which only the tensors are read: nothing in a file is run.

Such a zip holds pickled fields, which could hold any command: they are never decoded. ``policy.pth`` is read with
``weights_only=True``. The shapes of its tensors say what the policy is; algorithm and activation are said by whoever
names the file, as in ``ppo:model.zip?activation=relu``.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats, Policy
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, swimmer
from wormwood.envs.faces.swimmer_v5 import action_from_swimmer_v5, to_swimmer_v5
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim, SwimAtSpeed, Task
from wormwood.errors import bad_input

__all__ = ["ZippedPolicy", "load_zip"]

TENSORS = "policy.pth"
LARGEST = 2**30  # bytes of the tensors
MOST_LINKS = 200


class _Algorithm(NamedTuple):
    """Where an algorithm keeps its policy."""

    layers: tuple[str, ...]
    """Prefixes of its layers, in their order."""
    activation: str
    """Between layers, where the user set no other."""
    squashes: bool
    """The output goes through tanh."""


_ON_POLICY = _Algorithm(("mlp_extractor.policy_net.", "action_net."), "tanh", squashes=False)
_DETERMINISTIC = _Algorithm(("actor.mu.",), "relu", squashes=True)
ALGORITHMS: Mapping[str, _Algorithm] = {
    "ppo": _ON_POLICY,
    "a2c": _ON_POLICY,
    "sac": _Algorithm(("actor.latent_pi.", "actor.mu."), "relu", squashes=True),
    "td3": _DETERMINISTIC,
    "ddpg": _DETERMINISTIC,
}
ACTIVATIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "silu": lambda x: x / (1.0 + np.exp(-np.clip(x, -700.0, None))),
}


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

    def policy(self, spec: EnvironmentSpec) -> Policy:
        """Build the policy for an environment.

        A policy for Swimmer-v5 swims with any three links: through the table of ``wormwood.envs.faces.swimmer_v5``.

        Raises:
            BadInput: its sizes do not fit the environment.
        """
        network = _Network(self.weights, self.activation, squashes=self.squashes)
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


def load_zip(text: str) -> ZippedPolicy:
    """Return the policy in a zip of Stable-Baselines3.

    Args:
        text: ``ALGORITHM:PATH``, optionally with ``?activation=NAME``.

    Raises:
        BadInput: the file is no such zip, its policy is no perceptron with continuous actions, or it is made for an
            environment that is no swimmer.
    """
    algorithm, path, activation = _parse(text)
    tensors = _read_tensors(path)
    known = ALGORITHMS[algorithm]
    weights = _layers(tensors, known, where=str(path), algorithm=algorithm)
    depth = len(weights) // 2
    inputs, outputs = len(weights["layer0_weight"]), len(weights[f"layer{depth - 1}_bias"])
    spec = _home(inputs, outputs, where=str(path))
    return ZippedPolicy(path.stem, weights, spec, activation or known.activation, known.squashes)


def _parse(text: str) -> tuple[str, Path, str | None]:
    """Return the algorithm, the path, and the activation if it is said."""
    match = re.fullmatch(r"(\w+):([^?]+)(?:\?(.*))?", text, flags=re.DOTALL)
    if match is None:
        expected = "the algorithm before the path of a zip, as in ppo:model.zip?activation=relu"
        raise bad_input("missing algorithm", where="agent", expected=expected, got=text)
    algorithm, path, query = match.groups()
    if algorithm not in ALGORITHMS:
        expected = f"one of {', '.join(ALGORITHMS)}"
        raise bad_input("unknown algorithm", where="agent", expected=expected, got=algorithm, nearest_to=ALGORITHMS)
    options = dict(parse_qsl(query or "", keep_blank_values=True))
    for name in options:
        if name != "activation":
            where, known = f"agent {algorithm}:{path}", ["activation"]
            raise bad_input("unknown option", where=where, expected="activation", got=name, nearest_to=known)
    activation = options.get("activation")
    if activation is not None and activation not in ACTIVATIONS:
        where, expected = f"agent {algorithm}:{path}", f"one of {', '.join(ACTIVATIONS)}"
        raise bad_input("activation", where=where, expected=expected, got=activation, nearest_to=ACTIVATIONS)
    return algorithm, Path(path), activation


def _read_tensors(path: Path) -> Arrays:
    """Return the tensors of the policy and its critics by name."""
    # torch is slow to load: only who reads its files waits for it.
    import torch

    expected = f"a zip that Stable-Baselines3 saved, with a {TENSORS} of weights alone"
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(TENSORS).file_size > LARGEST:
                raise ValueError(f"{TENSORS} of more than {LARGEST} bytes")
            data = archive.read(TENSORS)
        with warnings.catch_warnings(action="ignore"):  # of formats that are refused anyway
            tensors = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
        if not isinstance(tensors, dict):
            raise ValueError(f"{TENSORS} is a {type(tensors).__name__}")
        kept = {str(name): value for name, value in tensors.items() if isinstance(value, torch.Tensor)}
        return {name: value.detach().to(torch.float64).numpy() for name, value in kept.items()}
    except Exception as error:
        # Whatever a damaged or malicious file makes of the readers, it is the file that is wrong. The first sentence
        # says what: torch goes on with how to trust the file all the same.
        summary = re.split(r"\.\s|\n", str(error).strip())[0]
        raise bad_input("unreadable zip", where=str(path), expected=expected, got=summary) from error


def _layers(tensors: Arrays, known: _Algorithm, *, where: str, algorithm: str) -> Arrays:
    """Return ``layer<k>_weight [in, out]`` and ``layer<k>_bias [out]`` from input to output."""
    strange = next((name for name in tensors if "features_extractor" in name), None)
    expected = f"the perceptron of a policy of {algorithm} with continuous actions"
    if strange is not None or (known is _ON_POLICY and "log_std" not in tensors):
        raise bad_input("policy", where=where, expected=expected, got=strange or "discrete actions")
    found: list[str] = []
    for prefix in known.layers:
        names = [re.fullmatch(rf"{re.escape(prefix)}(?:(\d+)\.)?weight", name) for name in tensors]
        found += [match[0] for match in sorted(filter(None, names), key=lambda match: int(match[1] or 0))]
    if not found or not found[-1].startswith(known.layers[-1]):
        raise bad_input("policy", where=where, expected=expected, got=", ".join(list(tensors)[:4]) or "no tensor")
    weights: Arrays = {}
    for k, name in enumerate(found):
        weight, bias = tensors[name].T, tensors.get(f"{name.removesuffix('weight')}bias", np.zeros(0))
        fits = weight.ndim == 2 and weight.size and weight.shape[1:] == bias.shape
        if not fits or not np.isfinite(weight).all() or not np.isfinite(bias).all():
            got = f"weight {weight.shape}, bias {bias.shape}"
            raise bad_input(name, where=where, expected="finite numbers of fitting shapes", got=got)
        if k and len(weight) != len(weights[f"layer{k - 1}_bias"]):
            got = f"{len(weights[f'layer{k - 1}_bias'])} outputs before {len(weight)} inputs"
            raise bad_input(name, where=where, expected="layers that follow each other", got=got)
        weights[f"layer{k}_weight"], weights[f"layer{k}_bias"] = weight, bias
    return weights


def _home(inputs: int, outputs: int, *, where: str) -> SwimmerSpec:
    """Return the environment whose observations and actions have these sizes."""
    if (inputs, outputs) == (8, 2):
        return SwimmerSpec(GYMNASIUM_SWIMMER, GymnasiumForward())
    tasks: list[Task] = [Swim(), SwimAtSpeed(), Navigate()]
    if 1 <= outputs < MOST_LINKS:
        body = swimmer(outputs + 1)
        for task in tasks:
            size = task.layout(body).size
            if inputs in ((size, size - 1) if isinstance(task, Swim) else (size,)):
                return SwimmerSpec(body, task)
    expected = "a policy for gymnasium's Swimmer-v5 (8 inputs to 2 outputs) or for a swimmer of ours"
    raise bad_input("sizes", where=where, expected=expected, got=f"{inputs} inputs to {outputs} outputs")


class _Network:
    """Fully connected layers."""

    def __init__(self, weights: Arrays, activation: str, *, squashes: bool) -> None:
        depth = len(weights) // 2
        self._layers = [(weights[f"layer{k}_weight"], weights[f"layer{k}_bias"]) for k in range(depth)]
        self._activate, self._squashes = ACTIVATIONS[activation], squashes
        self.inputs, self.outputs = len(self._layers[0][0]), len(self._layers[-1][1])

    def __call__(self, x: Floats) -> Floats:
        *hidden, (weight, bias) = self._layers
        for inner_weight, inner_bias in hidden:
            x = self._activate(x @ inner_weight + inner_bias)
        x = x @ weight + bias
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
