"""Noise against SciPy's normal distribution, and choices against their probabilities."""

import numpy as np
import pytest
from scipy.stats import norm

from wormwood.agents.policies.action_head import choose_action, gaussian_action


@pytest.mark.parametrize("std", [0.3, np.array([0.1, 0.5, 2.0])])
def test_actions_are_normal_around_the_mean_and_know_their_density(std) -> None:
    mean = np.tile([0.2, -1.0, 3.0], (20_000, 1))
    action, extras = gaussian_action(mean, std, np.random.default_rng(0))
    np.testing.assert_allclose(extras["log_prob"], norm.logpdf(action, mean, std).sum(axis=1), rtol=1e-10, atol=1e-12)
    # Five standard errors of the mean, and 3 % of the deviation.
    assert (np.abs(action.mean(axis=0) - mean[0]) < 5 * std / np.sqrt(len(mean))).all()
    np.testing.assert_allclose(action.std(axis=0), np.broadcast_to(std, 3), rtol=0.03)


def test_choices_are_the_largest_logits_or_drawn_with_their_softmax() -> None:
    logits = np.tile(np.log([0.7, 0.3, 0.2, 0.2, 0.6]), (20_000, 1))
    likeliest, extras = choose_action(logits, choices=(2, 3), rng=None)
    assert likeliest.dtype == np.int64
    assert likeliest[0].tolist() == [0, 2]
    assert extras == {}
    drawn, extras = choose_action(logits, choices=(2, 3), rng=np.random.default_rng(0))
    shares = [np.bincount(column) / len(drawn) for column in drawn.T]
    np.testing.assert_allclose(np.concatenate(shares), np.exp(logits[0]), atol=0.015)
    expected = logits[0][drawn[:, 0]] + logits[0][2 + drawn[:, 1]]
    np.testing.assert_allclose(extras["log_prob"], expected, rtol=1e-12)


def test_numbers_are_the_means_where_nothing_is_drawn() -> None:
    mean, rng = np.array([[0.2, -1.0]]), np.random.default_rng(0)
    for std, source in ((None, rng), (0.5, None), (None, None)):
        action, extras = choose_action(mean, std=std, rng=source)
        assert action is mean
        assert extras == {}
    action, extras = choose_action(mean, std=0.5, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(action, mean + 0.5 * np.random.default_rng(1).standard_normal((1, 2)))
    assert extras["log_prob"].shape == (1,)
