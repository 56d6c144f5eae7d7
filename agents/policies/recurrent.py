"""Recurrent policies in NumPy: a core that remembers, and a head that reads actions off its features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies import gru
from wormwood.agents.policies import memory as memory_numpy
from wormwood.agents.policies import transformer as linear_transformer
from wormwood.agents.policies.action_head import choose_action
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.agents.policies.recurrent_settings import GRUConfig, LinearTransformerConfig
from wormwood.agents.policies.weights import check_arrays
from wormwood.envs.specs import ActionSpace, EnvironmentSpec
from wormwood.errors import bad_input

__all__ = [
    "CORES",
    "STARTED",
    "Core",
    "CoreKind",
    "RecurrentConfig",
    "RecurrentPolicy",
    "initial_weights",
    "make_recurrent_policy",
]

RecurrentConfig = GRUConfig | MemoryConfig | LinearTransformerConfig

STARTED = "started"
"""Part of the state: 1 where a trial goes on. Rollouts put zeros in place of the whole state where a new one begins."""


class Core(Protocol):
    """What remembers, in NumPy."""

    features: int
    """Numbers that the head reads."""

    def initial_state(self, count: int) -> Arrays:
        """Return what ``count`` trials begin with, one row for each."""

    def step(self, x: Floats, state: Arrays) -> tuple[Floats, Arrays]:
        """Take one step with inputs ``[N, D]``, and return the features ``[N, F]`` and the next state."""


@dataclass(frozen=True)
class CoreKind:
    """How to start and run one kind of core."""

    initial_weights: Callable[[Any, int, np.random.Generator], Arrays]
    """(config, inputs, rng) -> the core's weights."""
    make: Callable[[Any, Arrays, int], Core]
    """(config, weights, inputs) -> the core; bad input where the weights do not fit."""


def _make_gru(config: GRUConfig, weights: Arrays, inputs: int) -> gru.GRU:
    gru.check_weights(weights, units=config.units, inputs=inputs)
    return gru.GRU(weights)


def _make_linear_transformer(config: LinearTransformerConfig, weights: Arrays, inputs: int) -> Core:
    linear_transformer.check_weights(weights, config, inputs)
    return linear_transformer.LinearTransformer(config, weights)


class _MemoryCore:
    """The memory network of ``memory_numpy``."""

    def __init__(self, config: MemoryConfig, weights: Arrays, inputs: int) -> None:
        memory_numpy.check_weights(weights, config, inputs)
        self._weights, self.features = weights, config.hidden

    def initial_state(self, count: int) -> Arrays:
        return memory_numpy.initial_state(self._weights, count)

    def step(self, x: Floats, state: Arrays) -> tuple[Floats, Arrays]:
        return memory_numpy.step(self._weights, x, state)


CORES: dict[str, CoreKind] = {
    "gru": CoreKind(
        lambda config, inputs, rng: gru.initial_weights(config.units, inputs=inputs, rng=rng),
        _make_gru,
    ),
    "memory": CoreKind(
        lambda config, inputs, rng: memory_numpy.initial_weights(config, inputs=inputs, rng=rng),
        _MemoryCore,
    ),
    "linear-transformer": CoreKind(
        lambda config, inputs, rng: linear_transformer.initial_weights(config, inputs=inputs, rng=rng),
        _make_linear_transformer,
    ),
}


def initial_weights(config: RecurrentConfig, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    """Draw the weights of a core, and of its head: ``policy_weight [F, O]``, small, and ``policy_bias [O]``, zeros."""
    kind, inputs = CORES[config.kind], spec.layout.size
    weights = kind.initial_weights(config, inputs, rng)
    features = kind.make(config, weights, inputs).features
    head = rng.standard_normal((features, spec.actions.outputs)) * 0.01 / np.sqrt(features)
    return {**weights, "policy_weight": head, "policy_bias": np.zeros(spec.actions.outputs)}


def make_recurrent_policy(config: RecurrentConfig, weights: Arrays, spec: EnvironmentSpec) -> RecurrentPolicy:
    """Build the policy of a recurrent agent for an environment.

    Raises:
        BadInput: the weights are those of another observation, other actions or another core.
    """
    core = CORES[config.kind].make(config, weights, spec.layout.size)
    return RecurrentPolicy(core, weights, actions=spec.actions, where=f"agent {config.kind}")


class RecurrentPolicy:
    """Acts on what its core makes of all observations of the trial so far."""

    def __init__(self, core: Core, weights: Arrays, *, actions: ActionSpace, where: str) -> None:
        """Take ``policy_weight [F, O]`` and ``policy_bias [O]``, and ``log_std [J]`` for noise where there is any.

        Raises:
            BadInput: they do not fit the core or the actions; ``where`` says whose they are.
        """
        shapes: dict[str, tuple[int, ...]] = {
            "policy_weight": (core.features, actions.outputs),
            "policy_bias": (actions.outputs,),
        }
        if "log_std" in weights:
            shapes["log_std"] = (actions.outputs,)
        check_arrays(weights, shapes, where=where)
        self._core, self._choices, self._where = core, actions.choices, where
        self._weight, self._bias = weights["policy_weight"], weights["policy_bias"]
        self._noise = np.exp(weights["log_std"]) if "log_std" in weights else None

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        """Return actions for observations ``[N, D]``, and the state to act on next; see ``Policy.act``."""
        features, state = self._core.step(observation, self._begun(state, len(observation)))
        state = {**state, STARTED: np.ones(len(observation))}
        outputs = features @ self._weight + self._bias
        action, extras = choose_action(outputs, choices=self._choices, std=self._noise, rng=rng)
        return action, state, extras

    def _begun(self, state: Arrays, count: int) -> Arrays:
        """Return the state with what a trial begins with where one does."""
        fresh = self._core.initial_state(count)
        if not state:
            return fresh
        if {name: values.shape for name, values in state.items() if name != STARTED} != {
            name: values.shape for name, values in fresh.items()
        }:
            expected = f"a row for each of {count} observations"
            raise bad_input("state", where=self._where, expected=expected, got=len(state[STARTED]))
        started = state[STARTED] > 0
        if started.all():
            return {name: state[name] for name in fresh}
        return {
            name: np.where(started.reshape(-1, *[1] * (values.ndim - 1)), state[name], values)
            for name, values in fresh.items()
        }
