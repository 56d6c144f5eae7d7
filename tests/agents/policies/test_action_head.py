"""Exploration noise against SciPy's normal distribution."""

import numpy as np
import pytest
from scipy.stats import norm

from wormwood.agents.policies.action_head import gaussian_action


@pytest.mark.parametrize("std", [0.3, np.array([0.1, 0.5, 2.0])])
def test_actions_are_normal_around_the_mean_and_know_their_density(std) -> None:
    mean = np.tile([0.2, -1.0, 3.0], (20_000, 1))
    action, extras = gaussian_action(mean, std, np.random.default_rng(0))
    np.testing.assert_allclose(extras["log_prob"], norm.logpdf(action, mean, std).sum(axis=1), rtol=1e-10, atol=1e-12)
    # Five standard errors of the mean, and 3 % of the deviation.
    assert (np.abs(action.mean(axis=0) - mean[0]) < 5 * std / np.sqrt(len(mean))).all()
    np.testing.assert_allclose(action.std(axis=0), np.broadcast_to(std, 3), rtol=0.03)
