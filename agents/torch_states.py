"""States of torch modules and optimisers as named arrays, without pickle, and where they live."""

from __future__ import annotations

import torch
from torch import nn

from wormwood.agents.interfaces import Arrays
from wormwood.errors import bad_input

__all__ = ["checked_device", "optimizer_arrays", "restore_module", "restore_optimizer"]


def checked_device(device: str) -> str:
    """Return a device of ``RunConfig.device``'s kinds that is there.

    Raises:
        BadInput: CUDA is asked for, and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise bad_input("device", where="configuration", expected="cpu or auto: there is no CUDA device", got=device)
    return device


def restore_module(module: nn.Module, state: Arrays, *, prefix: str) -> None:
    """Load the entries of ``state`` whose names begin with ``prefix`` into a module.

    Raises:
        RuntimeError: the module has other parameters and buffers than these, or others of their shapes.
    """
    own = {name.removeprefix(prefix): torch.tensor(state[name]) for name in state if name.startswith(prefix)}
    module.load_state_dict(own, strict=True)


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
