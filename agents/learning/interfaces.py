"""What rollouts and learners say to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats

__all__ = ["Episodes", "Fragment", "Learner", "Transitions"]


@dataclass(frozen=True)
class Transitions:
    """Time-major experience of N environments over T steps."""

    observation: Floats
    """``[T, N, D]`` what was acted on."""
    action: NDArray[Any]
    """``[T, N, J]`` as the policy chose it, before clipping to its bounds; integers where it is choices."""
    reward: Floats
    """``[T, N]``"""
    episode_start: NDArray[np.bool_]
    """``[T, N]`` the observation is the first of its episode."""
    terminated: NDArray[np.bool_]
    """``[T, N]`` the step ended the episode for good: in a failure, or a terminal state."""
    truncated: NDArray[np.bool_]
    """``[T, N]`` the step ended the episode at its horizon."""
    final_observation: Floats
    """``[K, D]`` the last observations of the truncated episodes, in the order of ``np.argwhere(truncated)``."""
    next_observation: Floats
    """``[N, D]`` the observation after the last step."""
    log_prob: Floats
    """``[T, N]`` logarithm of the density with which the action was drawn; 0 where it was not drawn."""
    memory: Arrays = field(default_factory=dict)
    """The policy's state before the first step, one row for each environment; empty where it began there. The ledger
    hashes this field under its name."""


@dataclass(frozen=True)
class Episodes:
    """The episodes that ended in a fragment, in the order in which they ended."""

    environment: NDArray[np.int64]
    """``[K]`` number of the environment in the run."""
    reward: Floats
    """``[K]`` return."""
    length: NDArray[np.int64]
    """``[K]`` control steps."""
    speed: Floats
    """``[K]`` mean forward speed of the head in m/s; NaN where nothing swims."""
    ended_by: NDArray[np.int8]
    """``[K]`` index into ``wormwood.envs.simulation.ENDED_BY``."""


@dataclass(frozen=True)
class Fragment:
    """What one shard's rollout gave."""

    shard: int
    iteration: int
    """Counted from 0: which update it is for."""
    steps: int
    """Environment steps taken."""
    episodes: Episodes
    transitions: Transitions | None
    """None where the learner needs only returns."""
    lost: int = 0
    """Episodes that could not be gone on with here, and were given up for new ones."""


class Learner(Protocol):
    """Owns parameters and improves them from fragments."""

    def weights(self) -> Arrays:
        """Return what rollouts of the coming iteration act with."""

    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        """Improve from one iteration's fragments, in shard order, and return metrics."""

    def policy_weights(self) -> Arrays:
        """Return the weights of the policy to evaluate and export."""

    def state(self) -> Arrays:
        """Return everything that influences future updates."""

    def restore(self, state: Arrays) -> None:
        """Go on from ``state``, bit for bit."""
