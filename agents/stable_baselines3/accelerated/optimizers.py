"""Optimisers of torch as kernels want them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from wormwood.agents.learning.compiled.descent import Descent, unbounded
from wormwood.agents.learning.compiled.networks import Networks
from wormwood.agents.learning.compiled.perceptrons import Singles
from wormwood.agents.stable_baselines3.accelerated.policies import parameter_views
from wormwood.errors import bad_input

__all__ = ["check_optimizer", "read_descent", "write_descent"]

OFF = ("weight_decay", "amsgrad", "maximize", "centered", "momentum", "decoupled_weight_decay", "differentiable")
"""Options of torch's optimisers that are not compiled."""


def check_optimizer(optimizer: Any, policy: Any, *, where: str) -> None:
    """Check that an optimiser is what ``read_descent`` can read.

    Raises:
        BadInput: it is neither Adam nor RMSprop of torch, has other options or other parameters than the policy's.
    """
    if type(optimizer) not in (torch.optim.Adam, torch.optim.RMSprop):
        got = f"{type(optimizer).__module__}.{type(optimizer).__name__}"
        raise bad_input("optimizer", where=where, expected="torch.optim.Adam or torch.optim.RMSprop", got=got)
    groups = optimizer.param_groups
    if len(groups) != 1 or set(map(id, groups[0]["params"])) != set(map(id, policy.parameters())):
        raise bad_input("optimizer", where=where, expected="one group of all the policy's parameters", got=len(groups))
    used = [name for name in OFF if groups[0].get(name)]
    if used:
        raise bad_input("optimizer", where=where, expected=f"no {used[0]}", got=groups[0][used[0]])
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        raise bad_input("optimizer", where=where, expected="no hooks", got="some")


def read_descent(policy: Any, networks: Networks) -> tuple[Descent, int]:
    """Return an optimiser's settings and memory, and how many steps it has taken.

    Raises:
        BadInput: parameters have been stepped differently often.
    """
    optimizer = policy.optimizer
    group, adam = optimizer.param_groups[0], isinstance(optimizer, torch.optim.Adam)
    mean, square = (np.zeros(networks.size, dtype=np.float32) for _ in range(2))
    steps = set()
    for name, flat in _memories(adam, mean, square):
        for parameter, view in parameter_views(policy, networks, flat):
            if parameter.requires_grad:
                memory = optimizer.state[parameter]
                steps.add(int(memory.get("step", 0)))
                if name in memory:
                    view[...] = memory[name].numpy()
    if len(steps) > 1:
        expected = "all parameters stepped equally often"
        raise bad_input("optimizer", where="accelerate", expected=expected, got=sorted(steps))
    decays = group["betas"] if adam else (0.0, group["alpha"])
    rates = np.full(networks.size, group["lr"], dtype=np.float32)
    first, second = map(float, decays)
    return Descent(adam, rates, mean, square, first, second, float(group["eps"]), unbounded(), unbounded()), steps.pop()


def write_descent(policy: Any, networks: Networks, descent: Descent, steps: int) -> None:
    """Put what an optimiser remembers back into it."""
    optimizer = policy.optimizer
    for name, flat in _memories(descent.adam, descent.mean, descent.square):
        for parameter, view in parameter_views(policy, networks, flat):
            if parameter.requires_grad:
                memory = optimizer.state[parameter]
                memory.setdefault("step", torch.tensor(0.0)).fill_(float(steps))
                memory.setdefault(name, torch.zeros_like(parameter)).copy_(torch.from_numpy(view))


def _memories(adam: bool, mean: Singles, square: Singles) -> list[tuple[str, Singles]]:
    return [("exp_avg", mean), ("exp_avg_sq", square)] if adam else [("square_avg", square)]
