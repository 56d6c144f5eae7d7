"""Actor and critic as two perceptrons whose parameters stand in one flat array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from wormwood.agents.learning.compiled.circuits import Circuit
from wormwood.agents.learning.compiled.heads import Head, build_head
from wormwood.agents.learning.compiled.matrices import padded
from wormwood.agents.learning.compiled.perceptrons import Perceptron, build

__all__ = ["Networks", "build_networks"]


class Networks(NamedTuple):
    """What acts, what judges, and how the outputs of the former become actions."""

    actor: Perceptron | Circuit
    critic: Perceptron
    head: Head
    size: int
    """P numbers of the flat array, with padding."""


def build_networks(
    actor: Sequence[int],
    critic: Sequence[int],
    *,
    activation: str,
    choices: Sequence[int] = (),
    learn_noise: bool = False,
    rows: int,
) -> Networks:
    """Describe networks for up to ``rows`` observations at once.

    Args:
        actor: inputs, units of each layer, outputs.
        critic: inputs, units of each layer, 1.
        activation: one of ``ACTIVATIONS``.
        choices: alternatives of each choice; empty where actions are Gaussian numbers.
        learn_noise: of numbers, learn their deviations.
        rows: B.
    """
    first, end = build(actor[0], actor[1:], activation=activation, first=0, rows=rows)
    second, end = build(critic[0], critic[1:], activation=activation, first=end, rows=rows)
    head = build_head(choices, actor[-1], log_std=end, learned=learn_noise and not choices)
    return Networks(first, second, head, end + padded(actor[-1]))
