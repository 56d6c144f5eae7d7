"""States of torch modules and optimisers as named arrays, without pickle, and where they live."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from wormwood.agents.policies.interfaces import Arrays
from wormwood.errors import bad_input

__all__ = ["checked_device", "module_arrays", "optimizer_arrays", "restore_module", "restore_optimizer"]


def checked_device(device: str) -> str:
    """Return a device of ``RunConfig.device``'s kinds that is there.

    Raises:
        BadInput: CUDA is asked for, and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise bad_input("device", where="configuration", expected="cpu or auto: there is no CUDA device", got=device)
    return device


EXTRA = "_extra_state"
"""What torch calls the state of a module that is neither parameter nor buffer; here it is named tensors."""


def module_arrays(module: nn.Module, *, prefix: str) -> Arrays:
    """Return all parameters and buffers of a module by name, and what its ``get_extra_state`` gives."""
    arrays: Arrays = {}
    for name, values in module.state_dict().items():
        named = (
            {f"{name}/{part}": tensor for part, tensor in values.items()} if name.endswith(EXTRA) else {name: values}
        )
        arrays |= {f"{prefix}{part}": tensor.cpu().numpy().copy() for part, tensor in named.items()}
    return arrays


def restore_module(module: nn.Module, state: Arrays, *, prefix: str) -> None:
    """Load the entries of ``state`` whose names begin with ``prefix`` into a module.

    Raises:
        RuntimeError: the module has other parameters and buffers than these, or others of their shapes.
    """
    state_dict: dict[str, Any] = {}
    for name in state:
        if name.startswith(prefix):
            key, _, part = name.removeprefix(prefix).partition("/")
            if part:
                state_dict.setdefault(key, {})[part] = torch.tensor(state[name])
            else:
                state_dict[key] = torch.tensor(state[name])
    module.load_state_dict(state_dict, strict=True)


def optimizer_arrays(optimizer: torch.optim.Optimizer) -> Arrays:
    """Return an optimiser's moments and counters as ``optimizer/<number of the parameter>/<name>``.

    There are none before its first step.
    """
    return {
        f"optimizer/{index}/{name}": torch.as_tensor(values).cpu().numpy().copy()
        for index, entries in optimizer.state_dict()["state"].items()
        for name, values in entries.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Arrays) -> None:
    """Go on from the entries of ``state`` that ``optimizer_arrays`` gave; hyper-parameters stay as they are."""
    entries: dict[int, dict[str, torch.Tensor]] = {}
    for name, values in state.items():
        if name.startswith("optimizer/"):
            _, index, quantity = name.split("/")
            entries.setdefault(int(index), {})[quantity] = torch.tensor(values)
    optimizer.load_state_dict({"state": entries, "param_groups": optimizer.state_dict()["param_groups"]})
