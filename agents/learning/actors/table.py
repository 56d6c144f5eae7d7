"""The table of actors: each kind of agent as a torch module, for learners that follow gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from wormwood.agents.learning.actors.circuit import NCAPActor
from wormwood.agents.learning.actors.perceptron import MLPActor
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig
from wormwood.envs.specs import EnvironmentSpec, require_swimmer
from wormwood.errors import bad_input

__all__ = ["ACTORS", "Actor", "ActorKind", "make_actor"]


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
    if config.kind not in ACTORS:
        expected = f"one of {', '.join(ACTORS)}"
        raise bad_input("agent", where="a learner that follows gradients", expected=expected, got=config.kind)
    return ACTORS[config.kind].make(config, weights, spec)
