"""Slopes of the losses, by hand and against torch."""

import numpy as np
import pytest
import torch

from wormwood.agents.learning.boosted.losses import a2c_gradient, awr_gradient, clip_rows, ppo_gradient


def test_ppo_stops_where_its_ratio_has_gone_far_enough() -> None:
    log_ratio = np.log([1.0, 1.3, 1.3, 0.7, 0.7])
    advantage = np.array([2.0, 2.0, -2.0, 2.0, -2.0])
    np.testing.assert_allclose(ppo_gradient(log_ratio, np.zeros(5), advantage, 0.2), [-2.0, 0.0, 2.6, -1.4, 0.0])


def test_ppo_is_what_torch_derives() -> None:
    rng = np.random.default_rng(0)
    old, advantage = rng.standard_normal(200), rng.standard_normal(200)
    new = old + 0.3 * rng.standard_normal(200)
    leaf = torch.tensor(new, requires_grad=True)
    ratio = torch.exp(leaf - torch.tensor(old))
    gain = torch.tensor(advantage)
    loss = -torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain).sum()
    (gradient,) = torch.autograd.grad(loss, leaf)
    np.testing.assert_allclose(ppo_gradient(new, old, advantage, 0.2), gradient, rtol=1e-12)


def test_the_other_losses_by_hand() -> None:
    advantage = np.array([-1.0, 0.0, 2.0, 100.0])
    assert a2c_gradient(advantage).tolist() == [1.0, 0.0, -2.0, -100.0]
    np.testing.assert_allclose(awr_gradient(advantage, 2.0), [-np.exp(-0.5), -1.0, -np.e, -20.0])


def test_long_rows_are_scaled_and_short_ones_left() -> None:
    rows = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0], [-30.0, 40.0]])
    assert clip_rows(rows, 5.0)[:3].tolist() == rows[:3].tolist()
    np.testing.assert_allclose(clip_rows(rows, 5.0)[3], [-3.0, 4.0])
    assert clip_rows(rows, 1.0)[0] == pytest.approx([0.6, 0.8])
