"""The table of actors: each kind of agent as a torch module, for learners that follow gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from wormwood.agents.learning.actors.circuit import NCAPActor
from wormwood.agents.learning.actors.perceptron import MLPActor
from wormwood.agents.policies.custom import policy_class
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig
from wormwood.configs.custom import is_custom
from wormwood.envs.specs import EnvironmentSpec, require_swimmer
from wormwood.errors import bad_input

__all__ = ["ACTORS", "Actor", "ActorKind", "actor_kind", "make_actor"]


class Actor(Protocol):
    """A module whose parameters are an agent's weights."""

    def __call__(self, observation: Tensor) -> Tensor:
        """Return the mean actions ``[N, J]``, or the logits of discrete ones, at observations ``[N, D]``."""

    def weights(self) -> Arrays:
        """Return the weights for the policy in NumPy."""

    def project(self) -> None:
        """Put the parameters back within their bounds."""


@dataclass(frozen=True)
class ActorKind:
    """How to build one kind of actor, and what it looks at."""

    make: Callable[[Any, Arrays, EnvironmentSpec], Any]
    """(config, weights, spec) -> the actor, which is a torch module."""
    standardized: Callable[[Any], bool]
    """config -> whether its observations are standardised by ``RunningNormalizer``."""


def _ncap(config: Any, weights: Arrays, spec: EnvironmentSpec) -> NCAPActor:
    body = require_swimmer(spec, where="agent ncap").body
    return NCAPActor(config, weights, body=body, layout=spec.layout)


ACTORS = {
    "ncap": ActorKind(_ncap, standardized=lambda config: False),
    "mlp": ActorKind(
        lambda config, weights, spec: MLPActor(weights, layout=spec.layout, outputs=spec.actions.outputs),
        standardized=lambda config: bool(config.normalize),
    ),
}


def make_actor(config: AgentConfig, weights: Arrays, spec: EnvironmentSpec) -> Any:
    """Build an actor, which is a torch module, with these weights.

    Raises:
        BadInput: the agent does not fit the environment, or cannot learn from gradients as it is configured.
    """
    return actor_kind(config.kind).make(config, weights, spec)


def actor_kind(kind: str) -> ActorKind:
    """Return how to build the actor of a kind of agent; a class of the user's builds its own.

    Raises:
        BadInput: it has none, and so cannot learn from gradients.
    """
    if kind in ACTORS:
        return ACTORS[kind]
    make = getattr(policy_class(kind), "make_actor", None) if is_custom(kind) else None
    if make is None:
        expected = f"one of {', '.join(ACTORS)}, or a class with make_actor(settings, weights, spec)"
        raise bad_input("agent", where="a learner that follows gradients", expected=expected, got=kind)
    return ActorKind(make, standardized=lambda config: False)
