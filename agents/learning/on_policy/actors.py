"""Actors that learn by a compiled update: where their weights stand, and what they look at."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from wormwood.agents.learning.compiled.circuits import build_circuit
from wormwood.agents.learning.compiled.matrices import padded
from wormwood.agents.learning.compiled.perceptrons import Singles, build, layers
from wormwood.agents.learning.on_policy.moments import RunningMoments
from wormwood.agents.learning.on_policy.networks import layer_sizes
from wormwood.agents.policies import circuit as circuits
from wormwood.agents.policies import perceptron as perceptrons
from wormwood.agents.policies.circuit_settings import SYNAPSES, NCAPConfig
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import AgentConfig
from wormwood.envs.specs import EnvironmentSpec, require_swimmer

__all__ = ["CompiledActor", "has_compiled_actor", "make_actor"]


class CompiledActor(Protocol):
    """What ``CompiledPPOLearner`` asks of an actor."""

    network: Any
    """A ``Perceptron`` or a ``Circuit``."""
    end: int
    """Where in the flat array the actor's parameters end."""
    fixed: Arrays
    """Weights of the policy that are not learned."""
    bounds: dict[str, tuple[float, float]]
    """Of parameters that have some, by name."""

    def parts(self, flat: Singles) -> dict[str, Singles]:
        """Return the actor's parts of a flat array by the names of the policy's weights, as views."""

    def fix(self, fixed: Arrays) -> None:
        """Replace the weights of the policy that are not learned."""

    def inputs(self, observation: Floats, moments: RunningMoments) -> Singles:
        """Return what the actor looks at ``[N, D]`` of observations ``[..., D]``."""

    def standardized(self) -> bool:
        """Return whether the policy standardises what it observes."""


def has_compiled_actor(agent: AgentConfig, spec: EnvironmentSpec) -> bool:
    """Return whether an agent is one of those here: a perceptron, or a circuit of one weight for each synapse."""
    if isinstance(agent, MLPConfig):
        return True
    return (
        isinstance(agent, NCAPConfig)
        and agent.share_weights
        and not (agent.turn_control or agent.speed_control or agent.learn_period or agent.patience)
        and spec.layout.clock is not None
    )


def make_actor(agent: AgentConfig, weights: Arrays, spec: EnvironmentSpec, *, rows: int) -> CompiledActor:
    """Return the actor of an agent for which ``has_compiled_actor``, for up to ``rows`` observations at once.

    Raises:
        BadInput: the weights do not fit.
    """
    if isinstance(agent, MLPConfig):
        return _PerceptronActor(agent, weights, spec, rows=rows)
    assert isinstance(agent, NCAPConfig)
    return _CircuitActor(agent, weights, spec, rows=rows)


class _PerceptronActor:
    def __init__(self, agent: MLPConfig, weights: Arrays, spec: EnvironmentSpec, *, rows: int) -> None:
        perceptrons.check_weights(weights, spec.layout, spec.actions.outputs)
        sizes = layer_sizes(weights)
        self.network, self.end = build(sizes[0], sizes[1:], activation="tanh", first=0, rows=rows)
        self.fixed, self.bounds = Arrays(), dict[str, tuple[float, float]]()
        self._columns, self._standardized = perceptrons.input_columns(spec.layout), bool(agent.normalize)

    def parts(self, flat: Singles) -> dict[str, Singles]:
        named: dict[str, Singles] = {}
        for index, (weight, bias) in enumerate(layers(self.network, flat)):
            named |= {f"layer{index}_weight": weight, f"layer{index}_bias": bias}
        return named

    def fix(self, fixed: Arrays) -> None:
        pass

    def inputs(self, observation: Floats, moments: RunningMoments) -> Singles:
        seen = moments.standardize(observation) if self._standardized else observation
        return np.ascontiguousarray(seen.reshape(-1, seen.shape[-1])[:, self._columns], dtype=np.float32)

    def standardized(self) -> bool:
        return self._standardized


class _CircuitActor:
    def __init__(self, agent: NCAPConfig, weights: Arrays, spec: EnvironmentSpec, *, rows: int) -> None:
        body, layout = require_swimmer(spec, where="agent ncap").body, spec.layout
        circuits.check_weights(agent, weights, body)
        assert layout.clock is not None
        self._places = {name: place for place, name in enumerate(agent.synapses)}
        self.end = padded(len(self._places))
        self._agent, self._body = agent, body
        self.bounds = {name: _bounds(agent, name) for name in agent.synapses if name in agent.bounds}
        self.network = build_circuit(
            np.array(body.joint_limit),
            self._places,
            {name: SYNAPSES[name].sign if agent.constrain_signs else 0 for name in agent.synapses},
            inputs=layout.size,
            angles=layout.joints.start,
            clock=layout.clock,
            period=1.0,
            lag=0.0,
            through=agent.constraint == "straight_through",
            rows=rows,
        )
        self.fix({name: weights[name] for name in ("period", "lag") if name in weights})

    def fix(self, fixed: Arrays) -> None:
        self.fixed = {name: np.array(values) for name, values in fixed.items()}
        period, lag = float(circuits.period_of(self._agent, fixed, self._body)), float(fixed.get("lag", 0.0))
        self.network = self.network._replace(period=period, lag=lag)

    def parts(self, flat: Singles) -> dict[str, Singles]:
        return {name: flat[place : place + 1].reshape(()) for name, place in self._places.items()}

    def inputs(self, observation: Floats, moments: RunningMoments) -> Singles:
        return np.ascontiguousarray(observation.reshape(-1, observation.shape[-1]), dtype=np.float32)

    def standardized(self) -> bool:
        return False


def _bounds(agent: NCAPConfig, name: str) -> tuple[float, float]:
    """Return between which values a weight is kept after each step."""
    low, high = agent.bounds[name]
    if not agent.constrain_signs:
        return -high, high
    sign = SYNAPSES[name].sign
    first, last = sorted((sign * low, sign * high))
    return first, last
