import numpy as np
import pytest
import torch
from torch import nn

from wormwood.agents.learning.compiled.activations import ACTIVATIONS, activate

MODULES = {"tanh": nn.Tanh(), "relu": nn.ReLU(), "elu": nn.ELU(), "gelu": nn.GELU()}
POINTS = np.concatenate([np.linspace(-20, 20, 40_001), np.geomspace(1e-30, 1e3, 200), -np.geomspace(1e-30, 1e3, 200)])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_and_slopes_are_torchs_to_rounding(name):
    x = torch.tensor(POINTS, dtype=torch.float32, requires_grad=True)
    exact_x = x.detach().double().requires_grad_()
    exact = MODULES[name](exact_x)
    (exact_slopes,) = torch.autograd.grad(exact.sum(), exact_x)
    values, slopes = x.detach().numpy().copy(), np.empty(len(POINTS), dtype="f4")
    activate(ACTIVATIONS.index(name), values, slopes)
    # 8 units in the last place; of 1 and of x where a sum near 1 cancels, as in torch's own.
    least = {"elu": np.ones(len(POINTS)), "gelu": np.maximum(np.abs(POINTS), 1.0)}.get(
        name, np.full(len(POINTS), 1e-30)
    )
    size = np.maximum(np.abs(exact.detach().numpy()), least)
    assert (np.abs(values - exact.detach().numpy()) <= 8 * 2.0**-24 * size).all()
    assert np.abs(slopes - exact_slopes.numpy()).max() <= 2e-6


def test_ends_are_reached():
    for name, ends in {"tanh": (-1, 1), "relu": (0, 1e30), "elu": (-1, 1e30), "gelu": (0, 1e30)}.items():
        values, slopes = np.array([-1e30, 1e30], dtype="f4"), np.empty(2, dtype="f4")
        activate(ACTIVATIONS.index(name), values, slopes)
        np.testing.assert_allclose(values, ends, rtol=1e-6, err_msg=name)
        assert np.isfinite(slopes).all()
