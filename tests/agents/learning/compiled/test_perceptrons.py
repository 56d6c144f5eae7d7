import numpy as np
import pytest
import torch
from torch import nn

from wormwood.agents.learning.compiled.activations import ACTIVATIONS
from wormwood.agents.learning.compiled.perceptrons import backward, build, forward, layers, load

MODULES = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("units", [[3], [5, 2], [64, 64, 1], [7, 130, 9, 4]])
def test_outputs_and_gradients_are_those_of_autograd(activation, units):
    torch.manual_seed(len(units))
    inputs, rows = 5, 21
    modules: list[nn.Module] = []
    for before, after in zip([inputs, *units], units, strict=False):
        modules += [nn.Linear(before, after), MODULES[activation]()]
    net = nn.Sequential(*modules[:-1]).double()
    network, end = build(inputs, units, activation=activation, first=3, rows=rows + 4)
    parameters, gradient = np.zeros(end, dtype="f4"), np.full(end, np.nan, dtype="f4")
    linears = [each for each in net if isinstance(each, nn.Linear)]
    for linear, (weight, bias) in zip(linears, layers(network, parameters), strict=True):
        weight[:], bias[:] = linear.weight.detach().numpy().T, linear.bias.detach().numpy()

    x, errors = torch.randn(rows, inputs), torch.randn(rows, units[-1])
    load(network, x.numpy())
    forward(network, parameters, rows)
    outputs = net(x.double())
    width, start = network.widths[-1], network.starts[-1]
    own = network.values[start : start + rows * width].reshape(rows, width)
    np.testing.assert_allclose(own[:, : units[-1]], outputs.detach().numpy(), atol=2e-6)
    assert not own[:, units[-1] :].any()

    network.errors[start : start + rows * width].reshape(rows, width)[:, : units[-1]] = errors.numpy()
    backward(network, parameters, gradient, rows)
    outputs.backward(errors.double())
    for linear, (weight, bias) in zip(linears, layers(network, gradient), strict=True):
        scale = max(1.0, float(linear.weight.grad.abs().max()))
        np.testing.assert_allclose(weight, linear.weight.grad.numpy().T, atol=5e-6 * scale)
        np.testing.assert_allclose(bias, linear.bias.grad.numpy(), atol=5e-6 * scale)
    assert np.isnan(gradient[:3]).all() and np.isfinite(gradient[3:]).all()
