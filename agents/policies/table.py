"""The table of agents: what a new kind of agent adds one line to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field, WrapValidator

from wormwood.agents.policies import custom
from wormwood.agents.policies import modulated_circuit as modulated
from wormwood.agents.policies.circuit import NCAP
from wormwood.agents.policies.circuit import initial_weights as initial_circuit
from wormwood.agents.policies.circuit import search_space as circuit_space
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Arrays, Policy
from wormwood.agents.policies.modulated_circuit_settings import ModulatedNCAPConfig
from wormwood.agents.policies.perceptron import MLP
from wormwood.agents.policies.perceptron import initial_weights as initial_perceptron
from wormwood.agents.policies.perceptron import search_space as perceptron_space
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.recurrent import RecurrentConfig, make_recurrent_policy
from wormwood.agents.policies.recurrent import initial_weights as initial_recurrent
from wormwood.agents.policies.search_space import SearchSpace
from wormwood.configs.custom import CustomSettings, custom_or, is_custom
from wormwood.envs.specs import EnvironmentSpec, require_swimmer
from wormwood.errors import bad_input

__all__ = [
    "AGENTS",
    "AgentConfig",
    "AgentField",
    "AgentKind",
    "BuiltInConfig",
    "agent_kind",
    "initial_weights",
    "make_policy",
    "make_population",
    "search_space",
    "warm_up",
]

BuiltInConfig = NCAPConfig | MLPConfig | ForestConfig | RecurrentConfig | ModulatedNCAPConfig
AgentConfig = BuiltInConfig | CustomSettings
AgentField = Annotated[
    Annotated[BuiltInConfig, Field(discriminator="kind")], WrapValidator(custom_or(custom.policy_class))
]
"""The settings of an agent as files hold them: one of ours by its ``kind``, or those of a class of the user's."""


@dataclass(frozen=True)
class AgentKind:
    """How to start and how to run one kind of agent."""

    initial_weights: Callable[[Any, EnvironmentSpec, np.random.Generator], Arrays]
    make_policy: Callable[[Any, Arrays, EnvironmentSpec], Policy]
    search_space: Callable[[Any, Arrays], SearchSpace]
    summary: str
    warm_up: Callable[[Any, EnvironmentSpec], None] = lambda config, spec: None
    """Compiles what acting needs, where that takes seconds."""
    make_population: Callable[[Any, Arrays, EnvironmentSpec], Policy] | None = None
    """Builds one policy of candidates whose weights are stacked; None: ``make_policy`` does."""


def _initial_ncap(config: NCAPConfig, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    return initial_circuit(config, require_swimmer(spec, where="agent ncap").body, rng)


def _ncap(config: NCAPConfig, weights: Arrays, spec: EnvironmentSpec) -> Policy:
    body = require_swimmer(spec, where="agent ncap").body
    noise = np.exp(weights["log_std"]) if "log_std" in weights else None
    return NCAP(config, weights, body=body, layout=spec.layout, noise_std=noise)


def _initial_forest(config: ForestConfig, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    # Only who has trees pays for numba: half a second.
    from wormwood.agents.policies.forest import initial_weights

    return initial_weights(config, spec)


def _forest(config: ForestConfig, weights: Arrays, spec: EnvironmentSpec) -> Policy:
    from wormwood.agents.policies.forest import ForestPolicy

    return ForestPolicy(config, weights, spec=spec)


def _warm_up_forest(config: ForestConfig, spec: EnvironmentSpec) -> None:
    from wormwood.agents.policies.forest import forest_of, initial_weights
    from wormwood.trees.warm_up import warm_up

    warm_up([forest_of(initial_weights(config, spec)).outputs])


def _no_search(config: ForestConfig | RecurrentConfig, weights: Arrays) -> SearchSpace:
    expected = "kind boosted" if isinstance(config, ForestConfig) else "kind recurrent-ppo"
    raise bad_input("learner", where=f"agent {config.kind}", expected=expected, got="a search of its weights")


AGENTS = {
    "ncap": AgentKind(_initial_ncap, _ncap, circuit_space, "the C. elegans swimming circuit"),
    "mlp": AgentKind(
        lambda config, spec, rng: initial_perceptron(config, layout=spec.layout, outputs=spec.actions.outputs, rng=rng),
        lambda config, weights, spec: MLP(weights, layout=spec.layout, actions=spec.actions),
        lambda config, weights: perceptron_space(weights),
        "a multilayer perceptron",
    ),
    "forest": AgentKind(
        _initial_forest,
        _forest,
        _no_search,
        "a gradient-boosted forest",
        _warm_up_forest,
    ),
    "gru": AgentKind(initial_recurrent, make_recurrent_policy, _no_search, "a gated recurrent unit"),
    "memory": AgentKind(initial_recurrent, make_recurrent_policy, _no_search, "controllers that share a memory"),
    "linear-transformer": AgentKind(
        initial_recurrent, make_recurrent_policy, _no_search, "a transformer whose attention is a memory of slots"
    ),
    "modulated-ncap": AgentKind(
        modulated.initial_weights,
        modulated.ModulatedNCAP,
        modulated.search_space,
        "a circuit that is tuned to the body at hand",
    ),
}


CUSTOM = AgentKind(
    custom.initial_weights,
    custom.make_policy,
    custom.search_space,
    "a class of your own",
    make_population=custom.make_population,
)


def agent_kind(kind: str) -> AgentKind:
    """Return how to start and run a kind of agent: one of ``AGENTS``, or a class ``module:Class``."""
    return CUSTOM if is_custom(kind) else AGENTS[kind]


def initial_weights(config: AgentConfig, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    """Draw the weights an agent starts from in this environment.

    Raises:
        BadInput: the agent does not fit the environment.
    """
    return agent_kind(config.kind).initial_weights(config, spec, rng)


def make_policy(config: AgentConfig, weights: Arrays, spec: EnvironmentSpec) -> Policy:
    """Build the policy of an agent for an environment, in NumPy.

    Raises:
        BadInput: the agent does not fit the environment.
    """
    return agent_kind(config.kind).make_policy(config, weights, spec)


def make_population(config: AgentConfig, weights: Arrays, spec: EnvironmentSpec) -> Policy:
    """Build one policy of M candidates, whose weights ``[M, ...]`` are stacked; errors as ``make_policy``."""
    kind = agent_kind(config.kind)
    return (kind.make_population or kind.make_policy)(config, weights, spec)


def warm_up(config: AgentConfig, spec: EnvironmentSpec) -> None:
    """Compile what the agent's policy needs, so that no deadline has to allow for it."""
    agent_kind(config.kind).warm_up(config, spec)


def search_space(config: AgentConfig, weights: Arrays) -> SearchSpace:
    """Return how evolution searches the weights of an agent."""
    return agent_kind(config.kind).search_space(config, weights)
