"""What kernels ask of an actor, whatever it is: chosen by its type when they are compiled."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload

from wormwood.agents.learning.compiled.circuits import Circuit, circuit_backward, circuit_forward
from wormwood.agents.learning.compiled.perceptrons import backward, forward

__all__ = ["actor_backward", "actor_forward", "load_rows"]


def load_rows(actor: Any, inputs: Any, rows: Any) -> None:
    """Take some rows of inputs ``[N, D]``."""


def actor_forward(actor: Any, parameters: Any, rows: int) -> None:
    """Compute the outputs of the first ``rows`` inputs."""


def actor_backward(actor: Any, parameters: Any, gradient: Any, rows: int) -> None:
    """Fill in this actor's part of the gradient from the errors of its outputs."""


def _is_circuit(actor: Any) -> bool:
    return isinstance(actor, types.NamedTuple) and actor.instance_class is Circuit


def _load_circuit(actor: Any, inputs: Any, rows: Any) -> None:
    for place, row in enumerate(rows):
        for j in range(inputs.shape[1]):
            actor.inputs[place, j] = inputs[row, j]


def _load_perceptron(actor: Any, inputs: Any, rows: Any) -> None:
    size = inputs.shape[1]
    for place, row in enumerate(rows):
        for j in range(size):
            actor.values[place * size + j] = inputs[row, j]


def _forward_circuit(actor: Any, parameters: Any, rows: Any) -> None:
    circuit_forward(actor, parameters, rows)


def _forward_perceptron(actor: Any, parameters: Any, rows: Any) -> None:
    forward(actor, parameters, rows)


def _backward_circuit(actor: Any, parameters: Any, gradient: Any, rows: Any) -> None:
    circuit_backward(actor, parameters, gradient, rows)


def _backward_perceptron(actor: Any, parameters: Any, gradient: Any, rows: Any) -> None:
    backward(actor, parameters, gradient, rows)


@overload(load_rows, inline="always")
def _load(actor: Any, inputs: Any, rows: Any) -> Any:
    return _load_circuit if _is_circuit(actor) else _load_perceptron


@overload(actor_forward)
def _forward(actor: Any, parameters: Any, rows: Any) -> Any:
    return _forward_circuit if _is_circuit(actor) else _forward_perceptron


@overload(actor_backward)
def _backward(actor: Any, parameters: Any, gradient: Any, rows: Any) -> Any:
    return _backward_circuit if _is_circuit(actor) else _backward_perceptron
