"""The statistics, on numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wormwood.launch.transfer.statistics import (
    Interval,
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    iqm_interval,
    optimality_gap,
    performance_profile,
    profile_band,
)


def _array(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    # Of 8 sorted scores the middle four are left: (2 + 3 + 4 + 5) / 4.
    assert interquartile_mean([100, 5, 3, -50, 4, 2, 1, 90]) == (2 + 3 + 4 + 5) / 4
    # Of 10, two and a half at each end are cut down to two: 3, 4, 5, 6, 7, 8 are left.
    assert interquartile_mean(range(1, 11)) == 5.5
    assert interquartile_mean([1, 2, 6]) == 3  # nothing can be cut off three
    assert interquartile_mean([7]) == 7
    np.testing.assert_array_equal(interquartile_mean([[0, 1, 3, 100], [4, 4, 4, 4]], axis=1), [2, 4])


def test_the_optimality_gap_does_not_reward_what_lies_above_the_target() -> None:
    # Short by 0.5, 0 and 0: a mean of 1/6.
    assert optimality_gap([0.5, 1.0, 3.0]) == pytest.approx(0.5 / 3)
    assert optimality_gap([0.5, 1.0, 3.0], target=2) == pytest.approx((1.5 + 1 + 0) / 3)


def test_a_performance_profile_is_the_share_above_each_threshold() -> None:
    strata = [_array(0.1, 0.5), _array(0.5, 0.7, 0.9, 1.0)]
    # Above 0: all. Above 0.5: none of two, three of four. Above 0.9: 0 and 1/4. Above 1: none.
    np.testing.assert_allclose(performance_profile(strata, [0, 0.5, 0.9, 1]), [1, 0.375, 0.125, 0])


def test_the_probability_of_improvement_counts_pairs_and_half_of_ties() -> None:
    # (3, 1) against (2, 1): 3 beats both, 1 loses to 2 and ties with 1: (2 + 0 + 0.5) / 4.
    assert improvement_interval([_array(3, 1)], [_array(2, 1)]).estimate == 2.5 / 4
    # A second stratum without a single win: the mean of both.
    assert improvement_interval([_array(3, 1), _array(0)], [_array(2, 1), _array(5, 6, 7)]).estimate == 2.5 / 8
    both = [_array(1, 2, 3)]
    assert improvement_interval(both, both).estimate == 0.5


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_the_probability_of_improvement_is_that_of_mann_and_whitney(xs: list[int], ys: list[int]) -> None:
    x, y = _array(*xs), _array(*ys)
    counted = sum((a > b) + 0.5 * (a == b) for a in xs for b in ys) / (len(xs) * len(ys))
    assert improvement_interval([x], [y]).estimate == pytest.approx(counted)
    assert stats.mannwhitneyu(x, y).statistic / (len(xs) * len(ys)) == pytest.approx(counted)


def test_the_bootstrap_of_two_scores_has_an_interval_known_by_hand() -> None:
    # Resamples of (0, 1) have the means 0, 1/2 and 1 with chances of 1/4, 1/2 and 1/4: 95 % reach from 0 to 1.
    assert bootstrap_interval(lambda x: x.mean(axis=-1), [_array(0, 1)]) == Interval(0.5, 0.0, 1.0)


def test_strata_are_resampled_apart() -> None:
    # However the scores within a stratum are drawn, its mean stays: 1 and 101, and so does the mean of both.
    strata = [_array(1, 1, 1), _array(101, 101, 101, 101)]
    assert bootstrap_interval(lambda x, y: (x.mean(axis=-1) + y.mean(axis=-1)) / 2, strata) == Interval(51, 51, 51)
    # With one that varies, only its own resamples matter: means 0, 1/2, 1, plus the 10 of the other.
    mixed = [_array(10), _array(0, 1)]
    assert bootstrap_interval(lambda x, y: x.mean(axis=-1) + y.mean(axis=-1), mixed) == Interval(10.5, 10, 11)


def test_the_only_score_of_a_stratum_weighs_as_much_in_resamples_as_in_the_estimate() -> None:
    # The mean of all three scores: (5 + 0 + 1) / 3, and with resamples of the second stratum (5 + 0 + 0) / 3 to 7 / 3.
    pooled = bootstrap_interval(lambda *x: np.concatenate(x, axis=-1).mean(axis=-1), [_array(5), _array(0, 1)])
    assert (pooled.estimate, pooled.low, pooled.high) == pytest.approx((2, 5 / 3, 7 / 3))


def test_intervals_are_the_same_for_the_same_seed_and_hold_the_estimate() -> None:
    scores = np.random.default_rng(3).normal(size=40)
    interval = iqm_interval([scores])
    assert interval == iqm_interval([scores]) != iqm_interval([scores], seed=1)
    assert interval.estimate == interquartile_mean(scores)
    assert interval.low < interval.estimate < interval.high
    # The interval of a mean of 40 standard normals is about ± 0.31 wide, and that of the middle half not much wider.
    assert 0.4 < interval.high - interval.low < 1.0
    single = iqm_interval([_array(5)])
    assert single == Interval(5, 5, 5)


def test_the_interval_of_improvement_resamples_both_sides() -> None:
    interval = improvement_interval([_array(3, 4)], [_array(1, 2)])
    assert interval == Interval(1, 1, 1), "every resample wins, too"
    # (0, 2) against 1: resamples win in none, half or all pairs.
    assert improvement_interval([_array(0, 2)], [_array(1)]) == Interval(0.5, 0, 1)


def test_the_band_of_a_profile_is_that_of_its_shares() -> None:
    # Above 0.5 lies one of two scores: resamples have shares of 0, 1/2 and 1, of which 95 % reach from 0 to 1.
    low, high = profile_band([_array(0, 1)], [-1, 0.5, 1])
    np.testing.assert_array_equal(low, [1, 0, 0])
    np.testing.assert_array_equal(high, [1, 1, 0])
    with pytest.raises(ValueError, match="needs scores"):
        profile_band([], [0])
