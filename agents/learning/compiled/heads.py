"""Probabilities of actions, and their derivatives by a policy's outputs: Gaussian numbers, or choices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.learning.compiled.perceptrons import Singles
from wormwood.compilation import inlined

__all__ = ["Head", "build_head", "head_errors", "log_prob_entropy", "prepare"]

LOG_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Head(NamedTuple):
    """How a policy's outputs become actions."""

    choices: NDArray[np.int64]
    """``[K]`` alternatives of each choice, whose logits follow each other; empty where actions are Gaussian numbers."""
    numbers: int
    """J numbers; 0 where actions are choices."""
    log_std: int
    """Where in the parameters the logarithms ``[J]`` of their deviations begin."""
    learned: bool
    """Whether these are learned."""
    inverse: Singles
    """``[J]`` one by the deviations, by ``prepare``."""
    log_probs: Singles
    """``[sum(choices)]`` of all alternatives, by ``log_prob_entropy``."""


def build_head(choices: Sequence[int], numbers: int, *, log_std: int, learned: bool) -> Head:
    """Return the head of ``choices``, or else of so many ``numbers``."""
    sizes = np.array(choices, dtype=np.int64)
    room = np.zeros(max(1, int(sizes.sum())), dtype=np.float32)
    return Head(sizes, 0 if choices else numbers, log_std, learned, np.ones(max(1, numbers), dtype=np.float32), room)


@inlined
def prepare(head: Any, parameters: Any) -> None:
    """Take the deviations of a new minibatch."""
    for j in range(head.numbers):
        head.inverse[j] = math.exp(-parameters[head.log_std + j])


@inlined
def log_prob_entropy(head: Any, parameters: Any, outputs: Any, action: Any) -> tuple[float, float]:
    """Return the logarithm of the probability, or density, of one action, and the entropy of its distribution.

    Args:
        head: after ``prepare``.
        parameters: ``[P]``
        outputs: ``[O]`` means or logits, and maybe more behind.
        action: ``[J]`` numbers or ``[K]`` alternatives.
    """
    log_prob, entropy = 0.0, 0.0
    for j in range(head.numbers):
        z = (action[j] - outputs[j]) * head.inverse[j]
        log_std = parameters[head.log_std + j]
        log_prob -= 0.5 * z * z + log_std + LOG_ROOT_TWO_PI
        entropy += log_std + 0.5 + LOG_ROOT_TWO_PI
    first = 0
    for k in range(len(head.choices)):
        last = first + head.choices[k]
        largest = outputs[first]
        for j in range(first + 1, last):
            largest = max(largest, outputs[j])
        total = 0.0
        for j in range(first, last):
            total += math.exp(outputs[j] - largest)
        for j in range(first, last):
            head.log_probs[j] = outputs[j] - largest - math.log(total)
            entropy -= math.exp(head.log_probs[j]) * head.log_probs[j]
        log_prob += head.log_probs[first + int(action[k])]
        first = last
    return log_prob, entropy


@inlined
def head_errors(  # noqa: PLR0917
    head: Any, gradient: Any, outputs: Any, action: Any, errors: Any, by_log_prob: float, by_entropy: float
) -> None:
    """Fill in a loss's derivatives by one row's outputs, and add those by the deviations to the gradient.

    Args:
        head: after ``log_prob_entropy`` of this row.
        gradient: ``[P]``
        outputs: ``[O]``
        action: ``[J]`` or ``[K]``
        errors: ``[O]`` to fill.
        by_log_prob: derivative of the loss by the logarithm of the action's probability.
        by_entropy: derivative of the loss by the entropy.
    """
    for j in range(head.numbers):
        z = (action[j] - outputs[j]) * head.inverse[j]
        errors[j] = by_log_prob * z * head.inverse[j]
        if head.learned:
            gradient[head.log_std + j] += by_log_prob * (z * z - 1.0) + by_entropy
    first = 0
    for k in range(len(head.choices)):
        last = first + head.choices[k]
        entropy = 0.0
        for j in range(first, last):
            entropy -= math.exp(head.log_probs[j]) * head.log_probs[j]
        for j in range(first, last):
            log_prob = head.log_probs[j]
            probability = math.exp(log_prob)
            errors[j] = -probability * (by_log_prob + by_entropy * (log_prob + entropy))
        errors[first + int(action[k])] += by_log_prob
        first = last
