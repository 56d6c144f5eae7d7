"""The table of agents: what a new kind of agent adds one line to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wormwood.agents.policies import modulated_circuit as modulated
from wormwood.agents.policies import repertoire
from wormwood.agents.policies.circuit import NCAP
from wormwood.agents.policies.circuit import initial_weights as initial_circuit
from wormwood.agents.policies.circuit import search_space as circuit_space
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.forest_settings import BoostedConfig
from wormwood.agents.policies.interfaces import Arrays, Policy
from wormwood.agents.policies.modulated_circuit_settings import ModulatedNCAPConfig
from wormwood.agents.policies.perceptron import MLP
from wormwood.agents.policies.perceptron import initial_weights as initial_perceptron
from wormwood.agents.policies.perceptron import search_space as perceptron_space
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.recurrent import RecurrentConfig, make_recurrent_policy
from wormwood.agents.policies.recurrent import initial_weights as initial_recurrent
from wormwood.agents.policies.repertoire_settings import RepertoireConfig
from wormwood.agents.policies.search_space import SearchSpace
from wormwood.envs.specs import EnvironmentSpec, require_swimmer
from wormwood.errors import bad_input

__all__ = ["AGENTS", "AgentConfig", "AgentKind", "initial_weights", "make_policy", "search_space", "warm_up"]

AgentConfig = NCAPConfig | MLPConfig | BoostedConfig | RecurrentConfig | RepertoireConfig | ModulatedNCAPConfig


@dataclass(frozen=True)
class AgentKind:
    """How to start and how to run one kind of agent."""

    initial_weights: Callable[[Any, EnvironmentSpec, np.random.Generator], Arrays]
    make_policy: Callable[[Any, Arrays, EnvironmentSpec], Policy]
    search_space: Callable[[Any, Arrays], SearchSpace]
    summary: str
    warm_up: Callable[[Any, EnvironmentSpec], None] = lambda config, spec: None
    """Compiles what acting needs, where that takes seconds."""


def _initial_ncap(config: NCAPConfig, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    return initial_circuit(config, require_swimmer(spec, where="agent ncap").body, rng)


def _ncap(config: NCAPConfig, weights: Arrays, spec: EnvironmentSpec) -> Policy:
    body = require_swimmer(spec, where="agent ncap").body
    noise = np.exp(weights["log_std"]) if "log_std" in weights else None
    return NCAP(config, weights, body=body, layout=spec.layout, noise_std=noise)


def _initial_boosted(config: BoostedConfig, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    # Only who has trees pays for numba: half a second.
    from wormwood.agents.policies.forest import initial_weights

    return initial_weights(config, spec)


def _boosted(config: BoostedConfig, weights: Arrays, spec: EnvironmentSpec) -> Policy:
    from wormwood.agents.policies.forest import BoostedPolicy

    return BoostedPolicy(config, weights, spec=spec)


def _warm_up_boosted(config: BoostedConfig, spec: EnvironmentSpec) -> None:
    from wormwood.agents.policies.forest import forest_of, initial_weights
    from wormwood.trees.warm_up import warm_up

    warm_up([forest_of(initial_weights(config, spec)).outputs])


def _no_search(config: BoostedConfig | RecurrentConfig, weights: Arrays) -> SearchSpace:
    expected = "kind boosted" if isinstance(config, BoostedConfig) else "kind recurrent-ppo"
    raise bad_input("learner", where=f"agent {config.kind}", expected=expected, got="a search of its weights")


AGENTS = {
    "ncap": AgentKind(_initial_ncap, _ncap, circuit_space, "the C. elegans swimming circuit"),
    "mlp": AgentKind(
        lambda config, spec, rng: initial_perceptron(config, layout=spec.layout, outputs=spec.actions.outputs, rng=rng),
        lambda config, weights, spec: MLP(weights, layout=spec.layout, actions=spec.actions),
        lambda config, weights: perceptron_space(weights),
        "a multilayer perceptron",
    ),
    "boosted": AgentKind(
        _initial_boosted,
        _boosted,
        _no_search,
        "a gradient-boosted forest",
        _warm_up_boosted,
    ),
    "gru": AgentKind(initial_recurrent, make_recurrent_policy, _no_search, "a gated recurrent unit"),
    "memory": AgentKind(initial_recurrent, make_recurrent_policy, _no_search, "controllers that share a memory"),
    "linear-transformer": AgentKind(
        initial_recurrent, make_recurrent_policy, _no_search, "a transformer whose attention is a memory of slots"
    ),
    "repertoire": AgentKind(
        repertoire.initial_weights,
        repertoire.Repertoire,
        repertoire.search_space,
        "several circuits, tried on the body at hand",
    ),
    "modulated-ncap": AgentKind(
        modulated.initial_weights,
        modulated.ModulatedNCAP,
        modulated.search_space,
        "a circuit that is tuned to the body at hand",
    ),
}


def initial_weights(config: AgentConfig, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    """Draw the weights an agent starts from in this environment.

    Raises:
        BadInput: the agent does not fit the environment.
    """
    return AGENTS[config.kind].initial_weights(config, spec, rng)


def make_policy(config: AgentConfig, weights: Arrays, spec: EnvironmentSpec) -> Policy:
    """Build the policy of an agent for an environment, in NumPy.

    Raises:
        BadInput: the agent does not fit the environment.
    """
    return AGENTS[config.kind].make_policy(config, weights, spec)


def warm_up(config: AgentConfig, spec: EnvironmentSpec) -> None:
    """Compile what the agent's policy needs, so that no deadline has to allow for it."""
    AGENTS[config.kind].warm_up(config, spec)


def search_space(config: AgentConfig, weights: Arrays) -> SearchSpace:
    """Return how evolution searches the weights of an agent."""
    return AGENTS[config.kind].search_space(config, weights)
