"""One update of PPO or A2C, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.learning.compiled.descent import Descent
from wormwood.agents.learning.compiled.networks import Networks
from wormwood.agents.learning.compiled.perceptrons import Singles
from wormwood.agents.learning.compiled.policy_gradient import (
    APPROX_KL,
    CLIP_FRACTION,
    ENTROPY,
    LOSS,
    POLICY_LOSS,
    RECORDS,
    VALUE_LOSS,
    Experience,
    Objective,
    improve,
)
from wormwood.compilation import announced

__all__ = ["Outcome", "Progress", "update"]


@dataclass
class Progress:
    """What an update changes: parameters, and the optimiser with what it remembers."""

    parameters: Singles
    """``[P]``"""
    descent: Descent
    steps: int
    """Of the optimiser so far."""


@dataclass(frozen=True)
class Outcome:
    """What came of an update."""

    records: NDArray[np.float64]
    """``[M, 6]`` ``RECORDS`` of each minibatch that was looked at."""
    passes: int
    """Passes over the data that were begun."""
    stopped: bool
    """Whether the policy had moved too far in the last of them."""
    kl: NDArray[np.float64]
    """How far it had moved in each minibatch of the last pass."""

    def metrics(self) -> dict[str, float]:
        """Return means over minibatches by SB3's names: of the last pass for ``approx_kl``, and the last ``loss``."""
        means = self.records.mean(axis=0)
        return {
            "entropy_loss": -float(means[ENTROPY]),
            "policy_gradient_loss": float(means[POLICY_LOSS]),
            "value_loss": float(means[VALUE_LOSS]),
            "approx_kl": float(self.kl.mean()),
            "clip_fraction": float(means[CLIP_FRACTION]),
            "loss": float(self.records[-1, LOSS]),
        }


def update(
    networks: Networks,
    progress: Progress,
    objective: Objective,
    data: Experience,
    orders: NDArray[np.int64],
    *,
    batch_size: int,
) -> Outcome:
    """Improve parameters by passes over N transitions, in the order of ``orders [E, N]``.

    The last minibatch of a pass takes what is left. ``progress`` is changed in place.
    """
    passes, rows = orders.shape
    minibatches = -(-rows // batch_size)
    records = np.zeros((passes * minibatches, len(RECORDS)))
    before = progress.steps
    with announced(improve, "the update"):
        looked_at, progress.steps = improve(
            networks.actor, networks.critic, networks.head, objective, progress.descent, progress.parameters, data,
            orders, batch_size, before, records,
        )  # fmt: skip
    begun = -(-looked_at // minibatches)
    last = records[(begun - 1) * minibatches : looked_at, APPROX_KL]
    return Outcome(records[:looked_at], begun, stopped=progress.steps - before < looked_at, kl=last)
