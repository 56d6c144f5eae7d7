"""torch's states as arrays and back."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from wormwood.agents.learning.torch_states import optimizer_arrays, restore_module, restore_optimizer


def _module(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def _arrays(module: nn.Module, prefix: str = "policy/") -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": values.numpy().copy() for name, values in module.state_dict().items()}


def _step(module: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    torch.manual_seed(seed)
    optimizer.zero_grad()
    module(torch.randn(8, 3)).square().sum().backward()
    optimizer.step()


def test_a_module_takes_the_entries_of_its_prefix() -> None:
    one, two = _module(1), _module(2)
    state = _arrays(one) | {"other/0.weight": np.zeros((2, 3)), "updates": np.array(3)}
    restore_module(two, state, prefix="policy/")
    for name, values in one.state_dict().items():
        assert torch.equal(two.state_dict()[name], values)
        assert two.state_dict()[name].dtype == values.dtype
    with torch.no_grad():
        next(two.parameters()).fill_(9.0)
    assert not (state["policy/0.weight"] == 9.0).any(), "the module's numbers are a copy"


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("policy/0.bias"),
        lambda state: state.update({"policy/extra": np.zeros(1)}),
        lambda state: state.update({"policy/0.bias": np.zeros(3)}),
    ],
)
def test_a_module_refuses_too_few_too_many_and_misshapen(change: Callable[[dict[str, np.ndarray]], object]) -> None:
    state = _arrays(_module(1))
    change(state)
    with pytest.raises(RuntimeError):
        restore_module(_module(2), state, prefix="policy/")


def test_read_only_arrays_restore_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    state = _arrays(_module(1))
    for values in state.values():
        values.setflags(write=False)
    restore_module(_module(2), state, prefix="policy/")
    assert len(recwarn) == 0


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.RMSprop])
def test_an_optimizer_goes_on_bit_for_bit(kind: type[torch.optim.Optimizer]) -> None:
    module, copy = _module(1), _module(1)
    optimizer = kind(module.parameters(), lr=0.1)  # type: ignore[call-arg]
    for seed in range(3):
        _step(module, optimizer, seed)
    file = io.BytesIO()
    np.savez(file, **_arrays(module), **optimizer_arrays(optimizer))
    file.seek(0)
    state = dict(np.load(file, allow_pickle=False))
    other = kind(copy.parameters(), lr=0.1)  # type: ignore[call-arg]
    _step(copy, other, 9)
    restore_module(copy, state, prefix="policy/")
    restore_optimizer(other, state)
    for seed in range(3, 6):
        _step(module, optimizer, seed)
        _step(copy, other, seed)
    for name, values in module.state_dict().items():
        assert torch.equal(copy.state_dict()[name], values), name


def test_an_optimizer_before_its_first_step_has_nothing_and_takes_nothing() -> None:
    module, copy = _module(1), _module(1)
    optimizer, other = torch.optim.Adam(module.parameters()), torch.optim.Adam(copy.parameters(), lr=0.5)
    assert optimizer_arrays(optimizer) == {}
    _step(copy, other, 1)
    restore_optimizer(other, {})
    assert optimizer_arrays(other) == {}
    assert other.param_groups[0]["lr"] == 0.5, "hyper-parameters are its own"


def test_an_optimizers_arrays_are_named_copies() -> None:
    module = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.Adam(module.parameters())
    module.weight.grad = torch.full((1, 1), 2.0)
    optimizer.step()
    arrays = optimizer_arrays(optimizer)
    optimizer.step()
    # m = 0.1 g and v = 0.001 g^2 after the first step.
    assert sorted(arrays) == ["optimizer/0/exp_avg", "optimizer/0/exp_avg_sq", "optimizer/0/step"]
    np.testing.assert_allclose(arrays["optimizer/0/exp_avg"], [[0.2]], rtol=1e-6)
    np.testing.assert_allclose(arrays["optimizer/0/exp_avg_sq"], [[0.004]], rtol=1e-6)
    assert arrays["optimizer/0/step"] == 1
