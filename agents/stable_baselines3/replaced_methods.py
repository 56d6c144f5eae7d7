"""Methods of one model that take the place of those of its class, and are not saved with it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

__all__ = ["replace_method"]


def replace_method(model: BaseAlgorithm, name: str, method: Callable[..., Any], **attributes: Any) -> None:
    """Let ``model.name`` be ``method`` from now on, and keep it and some attributes out of ``model.save``."""
    changed: Any = model
    # SB3 calls methods by name, and finds those of the object before those of its class.
    for key, value in {name: method, **attributes}.items():
        setattr(changed, key, value)
    added = getattr(changed, "_replaced", ())
    changed._replaced = tuple(dict.fromkeys([*added, name, *attributes, "_replaced", "_excluded_save_params"]))
    changed._excluded_save_params = functools.partial(_excluded_save_params, model)


def _excluded_save_params(model: Any) -> list[str]:
    """Return what is not saved: what was replaced, and what the class says."""
    return [*type(model)._excluded_save_params(model), *model._replaced]
