"""From episodes to the mean return of each candidate."""

from collections.abc import Callable

import numpy as np
import pytest

from wormwood.agents.learning.evolution.fitness import candidate_returns, return_metrics
from wormwood.agents.learning.interfaces import Fragment

MakeFragment = Callable[..., Fragment]


def test_environments_of_one_candidate_stand_together(make_fragment: MakeFragment) -> None:
    fragments = [make_fragment([0, 1, 2, 3], [1.0, 2.0, 10.0, 20.0]), make_fragment([4, 5], [100.0, 200.0], shard=1)]
    assert candidate_returns(fragments, population=3).tolist() == [1.5, 15.0, 150.0]
    assert candidate_returns(fragments, population=2).tolist() == [13 / 3, 320 / 3]


def test_neither_the_order_of_shards_nor_that_of_endings_matters(make_fragment: MakeFragment) -> None:
    fragments = [make_fragment([5, 4], [200.0, 100.0]), make_fragment([3, 0, 2, 1], [20.0, 1.0, 10.0, 2.0])]
    assert candidate_returns(fragments, population=3).tolist() == [1.5, 15.0, 150.0]


@pytest.mark.parametrize("environments", [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 4], [0, 1, 2, 3, 3], []])
def test_a_missing_or_a_second_episode_is_refused(make_fragment: MakeFragment, environments: list[int]) -> None:
    with pytest.raises(ValueError, match=r"one episode of each of [24] environments"):
        candidate_returns([make_fragment(environments, [1.0] * len(environments))], population=2)


def test_metrics_are_those_of_the_candidates() -> None:
    expected = {"return_mean": 2.0, "return_best": 5.0, "return_worst": -1.0}
    assert return_metrics(np.array([5.0, -1.0, 2.0])) == expected
