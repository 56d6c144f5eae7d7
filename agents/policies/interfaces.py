"""What agents, rollouts and learners say to each other."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "Floats", "Policy"]

Floats = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
"""Named arrays: weights, or a whole state."""


class Policy(Protocol):
    """Chooses actions for a batch of environments, in NumPy."""

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        """Choose one action for each environment.

        Args:
            observation: ``[N, D]``.
            state: what the policy remembers, one row for each environment; empty for memoryless policies.
            rng: source of exploration noise; None acts deterministically.

        Returns:
            The actions ``[N, J]``, or ``[N, K]`` integers where they are choices, the next state, and extras to record.
        """
