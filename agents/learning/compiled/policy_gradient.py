"""PPO and A2C of two perceptrons: one whole update as one compiled call, which allocates nothing in its loop."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from wormwood.agents.learning.compiled.actors import actor_backward, actor_forward, load_rows
from wormwood.agents.learning.compiled.descent import descend, length
from wormwood.agents.learning.compiled.heads import head_errors, log_prob_entropy, prepare
from wormwood.agents.learning.compiled.perceptrons import Singles, backward, forward
from wormwood.compilation import inlined, kernel

__all__ = ["RECORDS", "Experience", "Objective", "improve"]

RECORDS = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "loss")
"""What is recorded of each minibatch."""
POLICY_LOSS, VALUE_LOSS, ENTROPY, APPROX_KL, CLIP_FRACTION, LOSS = range(6)


class Experience(NamedTuple):
    """N transitions to learn from, in float32."""

    seen: Singles
    """``[N, D]`` inputs of the actor."""
    judged: Singles
    """``[N, C]`` inputs of the critic; the same array, where they are the same."""
    actions: Singles
    """``[N, J]`` numbers, or the numbers of alternatives."""
    log_probs: Singles
    """``[N]`` of the policy that acted."""
    values: Singles
    """``[N]`` by the critic before the update."""
    advantages: Singles
    """``[N]``"""
    returns: Singles
    """``[N]`` targets of the critic."""


class Objective(NamedTuple):
    """What is minimised: the mean of ``-min(ρ A, clip(ρ, 1 - c, 1 + c) A) + c_v (v - R)² - c_e H``."""

    surrogate: bool
    """Whether it is that, PPO's (Schulman et al. 2017, equation 9), or else A2C's, with ``-A log π`` in front."""
    clip_range: float
    value_clip: float
    """How far a value may move from that before the update; infinity lets it."""
    value_coefficient: float
    entropy_coefficient: float
    max_grad_norm: float
    target_kl: float
    """An update ends before a minibatch that moved the policy by more than 1.5 times this; infinity never does."""
    normalize: bool
    """Standardise the advantages of each minibatch."""


@inlined
def _moments(advantages: Any, rows: Any, normalize: bool) -> tuple[float, float]:
    """Return by what the advantages of some rows are shifted and divided."""
    count = len(rows)
    if not normalize or count < 2:
        return 0.0, 1.0
    mean, squares = 0.0, 0.0
    for row in rows:
        mean += advantages[row]
    mean /= count
    for row in rows:
        squares += (advantages[row] - mean) ** 2
    return mean, math.sqrt(squares / (count - 1)) + 1e-8


@inlined
def _policy_errors(  # noqa: PLR0917
    actor: Any, head: Any, objective: Any, parameters: Any, gradient: Any, data: Any, rows: Any, record: Any
) -> None:
    """Fill in the errors of the actor's outputs, and record the policy's part of the loss."""
    count, width, start = len(rows), actor.widths[-1], actor.starts[-1]
    mean, deviation = _moments(data.advantages, rows, objective.normalize)
    prepare(head, parameters)
    for j in range(head.numbers):
        gradient[head.log_std + j] = 0.0
    low, high = 1.0 - objective.clip_range, 1.0 + objective.clip_range
    for place, row in enumerate(rows):
        outputs = actor.values[start + place * width : start + (place + 1) * width]
        errors = actor.errors[start + place * width : start + (place + 1) * width]
        log_prob, entropy = log_prob_entropy(head, parameters, outputs, data.actions[row])
        advantage, log_ratio = (data.advantages[row] - mean) / deviation, log_prob - data.log_probs[row]
        ratio = math.exp(log_ratio)
        if objective.surrogate:
            free, clipped = ratio * advantage, min(max(ratio, low), high) * advantage
            loss, by_log_prob = -min(free, clipped), -free if free <= clipped else 0.0
        else:
            loss, by_log_prob = -advantage * log_prob, -advantage
        by_entropy = -objective.entropy_coefficient / count
        head_errors(head, gradient, outputs, data.actions[row], errors, by_log_prob / count, by_entropy)
        record[POLICY_LOSS] += loss / count
        record[ENTROPY] += entropy / count
        record[APPROX_KL] += (ratio - 1.0 - log_ratio) / count
        record[CLIP_FRACTION] += (abs(ratio - 1.0) > objective.clip_range) / count


@inlined
def _value_errors(critic: Any, objective: Any, data: Any, rows: Any, record: Any) -> None:
    """Fill in the errors of the critic's outputs, and record its part of the loss."""
    count, width, start = len(rows), critic.widths[-1], critic.starts[-1]
    for place, row in enumerate(rows):
        moved = critic.values[start + place * width] - data.values[row]
        limited = min(max(moved, -objective.value_clip), objective.value_clip)
        difference = data.values[row] + limited - data.returns[row]
        if math.isinf(objective.value_clip):  # without a detour that rounds
            difference = critic.values[start + place * width] - data.returns[row]
        weight = 2.0 * objective.value_coefficient / count
        critic.errors[start + place * width] = weight * difference if limited == moved else 0.0
        record[VALUE_LOSS] += difference * difference / count


@kernel
def improve(  # noqa: PLR0913, PLR0917
    actor: Any,
    critic: Any,
    head: Any,
    objective: Any,
    descent: Any,
    parameters: Any,
    data: Any,
    orders: Any,
    batch_size: int,
    steps: int,
    records: Any,
) -> tuple[int, int]:
    """Improve the parameters by some passes over the data.

    Args:
        actor: a ``Perceptron`` or a ``Circuit``.
        critic: a ``Perceptron``.
        head: a ``Head``.
        objective: an ``Objective``.
        descent: a ``Descent``.
        parameters: ``[P]``, changed in place.
        data: an ``Experience``.
        orders: ``[E, N]`` the rows of each pass in their order.
        batch_size: rows of a minibatch; the last one of a pass takes what is left.
        steps: of the optimiser so far.
        records: ``[E * minibatches, 6]`` zeros, which are filled with ``RECORDS``.

    Returns:
        How many minibatches were looked at, and how many steps the optimiser has taken in the end.
    """
    gradient = np.zeros_like(parameters)
    looked_at, size = 0, orders.shape[1]
    for order in orders:
        for first in range(0, size, batch_size):
            rows = order[first : min(first + batch_size, size)]
            record = records[looked_at]
            looked_at += 1
            load_rows(actor, data.seen, rows)
            load_rows(critic, data.judged, rows)
            actor_forward(actor, parameters, len(rows))
            forward(critic, parameters, len(rows))
            _policy_errors(actor, head, objective, parameters, gradient, data, rows, record)
            _value_errors(critic, objective, data, rows, record)
            record[LOSS] = (
                record[POLICY_LOSS]
                + objective.value_coefficient * record[VALUE_LOSS]
                - objective.entropy_coefficient * record[ENTROPY]
            )
            if record[APPROX_KL] > 1.5 * objective.target_kl:
                return looked_at, steps
            actor_backward(actor, parameters, gradient, len(rows))
            backward(critic, parameters, gradient, len(rows))
            steps += 1
            scale = min(1.0, objective.max_grad_norm / (length(gradient) + 1e-6))
            descend(descent, parameters, gradient, steps, scale)
    return looked_at, steps
