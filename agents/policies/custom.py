"""Policies of the user's own: one class in one file, trained, saved and evaluated like ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats, Policy
from wormwood.agents.policies.search_space import Parameter, SearchSpace
from wormwood.configs.custom import load_class
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import BadInput, bad_input

__all__ = ["initial_weights", "make_policy", "make_population", "policy_class", "search_space"]

NEEDS = {
    "__init__": "(settings, weights, spec)",
    "act": "(observation, state, rng)",
    "initial_weights": "(settings, spec, rng)",
}
"""Methods of such a class; ``initial_weights`` is static.

It may also have a frozen dataclass ``Settings``, and the static methods ``search_space(settings, weights)``, for
evolution, and ``make_actor(settings, weights, spec)``, for gradients: a torch module with the methods of
``wormwood.agents.learning.actors.table.Actor``."""


def policy_class(kind: str) -> Any:
    """Return the class ``module:Class``.

    Raises:
        BadInput: there is none, or it lacks a method.
    """
    return load_class(kind, what="agent", needs=NEEDS)


def initial_weights(config: Any, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    """Draw the weights to start from, as the class says.

    Raises:
        BadInput: they are no arrays of finite numbers by name.
    """
    weights = policy_class(config.kind).initial_weights(config, spec, rng)
    if not isinstance(weights, dict) or not weights:
        expected = "initial_weights to return at least one array by its name"
        raise bad_input("weights", where=f"agent {config.kind}", expected=expected, got=weights)
    arrays = {str(name): np.asarray(values) for name, values in weights.items()}
    for name, values in arrays.items():
        if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
            raise bad_input(f"weight {name}", where=f"agent {config.kind}", expected="finite numbers", got=values.dtype)
    return arrays


def search_space(config: Any, weights: Arrays) -> SearchSpace:
    """Return how evolution searches the weights: as the class says, or all numbers, without bounds."""
    cls = policy_class(config.kind)
    if hasattr(cls, "search_space"):
        space: SearchSpace = cls.search_space(config, weights)
        return space
    return SearchSpace(tuple(Parameter(name, np.shape(values)) for name, values in weights.items()))


def make_policy(config: Any, weights: Arrays, spec: EnvironmentSpec) -> Policy:
    """Build the policy, and try it on one observation of zeros.

    Raises:
        BadInput: it cannot be built for this environment, fails at the observation, or acts in another shape.
    """
    where, shape = f"agent {config.kind} on {spec.label}", (1, spec.actions.size)
    try:
        policy: Policy = policy_class(config.kind)(config, weights, spec)
        action, _, _ = policy.act(np.zeros((1, spec.layout.size)), {}, None)
    except BadInput:
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {' '.join(str(error).split())}"
        expected = f"it to act on {spec.layout.size} numbers"
        raise bad_input("class of your own", where=where, expected=expected, got=got) from error
    if np.shape(action) != shape:
        raise bad_input("actions", where=where, expected=f"an array of shape {shape}", got=np.shape(action))
    return policy


def make_population(config: Any, weights: Arrays, spec: EnvironmentSpec) -> Policy:
    """Build the policies of M candidates, whose weights ``[M, ...]`` are stacked, as one policy."""
    count = len(next(iter(weights.values())))
    return _Population(
        [make_policy(config, {name: stacked[m] for name, stacked in weights.items()}, spec) for m in range(count)]
    )


class _Population:
    """Candidates side by side: each acts on its share of the rows."""

    def __init__(self, policies: list[Policy]) -> None:
        self._policies = policies

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        """Return actions ``[M K, J]`` for observations ``[M K, D]``, those of the first candidate first."""
        rows = np.split(np.arange(len(observation)), len(self._policies))
        acted = [
            policy.act(observation[policy_rows], {name: values[policy_rows] for name, values in state.items()}, rng)
            for policy, policy_rows in zip(self._policies, rows, strict=True)
        ]
        actions, states, extras = zip(*acted, strict=True)
        return np.concatenate(actions), _stacked(states), _stacked(extras)


def _stacked(parts: tuple[Arrays, ...]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
