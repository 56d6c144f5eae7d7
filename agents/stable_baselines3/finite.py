"""Numbers of environments that are none, named by environment, key and step."""

from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from wormwood.errors import bad_input

__all__ = ["require_finite"]


def require_finite(model: BaseAlgorithm, what: str, values: Any) -> None:
    """Check what environments gave at a model's present step.

    Args:
        model: whose environments they are.
        what: such as ``"observation"``.
        values: ``[N, ...]`` of N environments, or a dictionary of such arrays.

    Raises:
        BadInput: a number is NaN or infinite.
    """
    for key, array in values.items() if isinstance(values, dict) else [("", values)]:
        numbers = np.asarray(array)
        if numbers.dtype.kind != "f" or np.isfinite(numbers).all():
            continue
        environment, *place = (int(index) for index in np.argwhere(~np.isfinite(numbers))[0])
        inside = [f"key {key!r}"] * bool(key) + [f"number {', '.join(map(str, place))}"] * bool(place)
        where = ", ".join([f"environment {environment}", *inside, f"step {model.num_timesteps // model.n_envs}"])
        got = float(numbers[environment, *place])
        raise bad_input(what, where=where, expected="a finite number", got=got)
