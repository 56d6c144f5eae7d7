"""Actions and values of two perceptrons for many observations, as one compiled call."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wormwood.agents.learning.compiled.heads import log_prob_entropy, prepare
from wormwood.agents.learning.compiled.perceptrons import forward, load
from wormwood.compilation import inlined, kernel

__all__ = ["act", "evaluate"]


@inlined
def _choose(head: Any, noise: Any, action: Any) -> None:
    """Take of each choice the alternative with the largest probability over noise."""
    first = 0
    for k in range(len(head.choices)):
        last = first + head.choices[k]
        best = -np.inf
        for j in range(first, last):
            rating = math.exp(head.log_probs[j]) / noise[j]
            if rating > best:
                best, action[k] = rating, j - first
        first = last


@kernel
def act(  # noqa: PLR0913, PLR0917
    actor: Any,
    critic: Any,
    head: Any,
    parameters: Any,
    features: Any,
    noise: Any,
    actions: Any,
    values: Any,
    log_probs: Any,
) -> None:
    """Draw actions, and fill in their log-probabilities and the values.

    Args:
        actor: a ``Perceptron``, with room for N rows.
        critic: another.
        head: a ``Head``.
        parameters: ``[P]``
        features: ``[N, D]``
        noise: ``[N, O]`` standard normal numbers, or for each alternative one of the exponential distribution: the
            smallest of ``noise / p`` falls on an alternative with its probability p.
        actions: ``[N, J]`` to fill, numbers or the numbers of alternatives.
        values: ``[N]`` to fill.
        log_probs: ``[N]`` to fill.
    """
    rows = len(features)
    load(actor, features)
    load(critic, features)
    forward(actor, parameters, rows)
    forward(critic, parameters, rows)
    prepare(head, parameters)
    for row in range(rows):
        values[row] = critic.values[critic.starts[-1] + row * critic.widths[-1]]
        first = actor.starts[-1] + row * actor.widths[-1]
        outputs, action = actor.values[first : first + actor.widths[-1]], actions[row]
        for j in range(head.numbers):
            action[j] = outputs[j] + noise[row, j] * np.float32(math.exp(parameters[head.log_std + j]))
        if len(head.choices):
            log_prob_entropy(head, parameters, outputs, action)
            _choose(head, noise[row], action)
        log_probs[row] = log_prob_entropy(head, parameters, outputs, action)[0]


@kernel
def evaluate(network: Any, parameters: Any, inputs: Any, outputs: Any) -> None:
    """Fill in the first output ``[N]`` of a perceptron for inputs ``[N, D]``, as many at once as it has room for."""
    room = (network.starts[1] - network.starts[0]) // max(1, network.widths[0])
    for first in range(0, len(inputs), room):
        last = min(first + room, len(inputs))
        load(network, inputs[first:last])
        forward(network, parameters, last - first)
        for row in range(last - first):
            outputs[first + row] = network.values[network.starts[-1] + row * network.widths[-1]]
