"""The table of agents: what a new kind of agent adds one line to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wormwood.agents.circuits.config import NCAPConfig
from wormwood.agents.circuits.ncap import NCAP
from wormwood.agents.circuits.ncap import initial_weights as initial_circuit
from wormwood.agents.circuits.ncap import search_space as circuit_space
from wormwood.agents.interfaces import Arrays, Floats, Policy
from wormwood.agents.perceptrons.config import MLPConfig
from wormwood.agents.perceptrons.mlp import MLP
from wormwood.agents.perceptrons.mlp import initial_weights as initial_perceptron
from wormwood.agents.perceptrons.mlp import search_space as perceptron_space
from wormwood.agents.search_space import SearchSpace
from wormwood.envs.bodies import Body
from wormwood.envs.tasks import Task

__all__ = [
    "AGENTS",
    "AgentConfig",
    "AgentKind",
    "UniformPolicy",
    "ZeroPolicy",
    "initial_weights",
    "make_policy",
    "search_space",
]

AgentConfig = NCAPConfig | MLPConfig


@dataclass(frozen=True)
class AgentKind:
    """How to start and how to run one kind of agent."""

    initial_weights: Callable[[Any, Body, Task, np.random.Generator], Arrays]
    make_policy: Callable[[Any, Arrays, Body, Task], Policy]
    search_space: Callable[[Any, Arrays], SearchSpace]
    summary: str


def _ncap(config: NCAPConfig, weights: Arrays, body: Body, task: Task) -> Policy:
    noise = np.exp(weights["log_std"]) if "log_std" in weights else None
    return NCAP(config, weights, body=body, layout=task.layout(body), noise_std=noise)


AGENTS = {
    "ncap": AgentKind(
        lambda config, body, task, rng: initial_circuit(config, body, rng),
        _ncap,
        circuit_space,
        "the C. elegans swimming circuit",
    ),
    "mlp": AgentKind(
        lambda config, body, task, rng: initial_perceptron(
            config, layout=task.layout(body), joints=body.joints, rng=rng
        ),
        lambda config, weights, body, task: MLP(weights, layout=task.layout(body)),
        lambda config, weights: perceptron_space(weights),
        "a multilayer perceptron",
    ),
}


def initial_weights(config: AgentConfig, body: Body, task: Task, rng: np.random.Generator) -> Arrays:
    """Draw the weights an agent starts from on this body and task."""
    return AGENTS[config.kind].initial_weights(config, body, task, rng)


def make_policy(config: AgentConfig, weights: Arrays, body: Body, task: Task) -> Policy:
    """Build the policy of an agent for a body and task, in NumPy.

    Raises:
        BadInput: the agent does not fit the body or task.
    """
    return AGENTS[config.kind].make_policy(config, weights, body, task)


def search_space(config: AgentConfig, weights: Arrays) -> SearchSpace:
    """Return how evolution searches the weights of an agent."""
    return AGENTS[config.kind].search_space(config, weights)


class UniformPolicy:
    """Actions uniform in [-1, 1]; drawn even when asked to be deterministic, from a generator of its own."""

    def __init__(self, joints: int, rng: np.random.Generator) -> None:
        """Draw ``joints`` numbers for each environment from ``rng``."""
        self._joints, self._rng = joints, rng

    def act(self, observation: Floats, state: Arrays, rng: np.random.Generator | None) -> tuple[Floats, Arrays, Arrays]:
        """Return random actions; see ``Policy.act``."""
        return self._rng.uniform(-1.0, 1.0, size=(len(observation), self._joints)), state, {}


class ZeroPolicy:
    """No action at all."""

    def __init__(self, joints: int) -> None:
        """Act with ``joints`` zeros."""
        self._joints = joints

    def act(self, observation: Floats, state: Arrays, rng: np.random.Generator | None) -> tuple[Floats, Arrays, Arrays]:
        """Return zeros; see ``Policy.act``."""
        return np.zeros((len(observation), self._joints)), state, {}
