"""Fragments made from returns, in place of rollouts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from wormwood.agents.learning.interfaces import Episodes, Fragment


def _fragment(environment: Sequence[int], reward: Sequence[float], shard: int = 0) -> Fragment:
    count = len(environment)
    episodes = Episodes(
        environment=np.array(environment, dtype=np.int64),
        reward=np.array(reward, dtype=np.float64),
        length=np.full(count, 1000),
        speed=np.zeros(count),
        ended_by=np.ones(count, dtype=np.int8),
    )
    return Fragment(shard, 0, 1000 * count, episodes, None)


def _evolve(learner: Any, score: Callable[[np.ndarray], np.ndarray], iterations: range) -> list[float]:
    """Let a learner of one weight ``x`` climb ``score [M]`` of ``x [M, ..]``; return the mean of each generation."""
    means = []
    for iteration in iterations:
        returns = score(learner.weights()["x"])
        half = len(returns) // 2
        fragments = [
            _fragment(range(half), returns[:half], shard=0),
            _fragment(range(half, len(returns)), returns[half:], shard=1),
        ]
        means.append(learner.update(fragments, iteration)["return_mean"])
    return means


@pytest.fixture
def make_fragment() -> Callable[..., Fragment]:
    return _fragment


@pytest.fixture
def evolve() -> Callable[..., list[float]]:
    return _evolve
