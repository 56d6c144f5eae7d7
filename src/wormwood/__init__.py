"""Wormwood: reinforcement learning with structure built into the policy."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {"distribute": "wormwood.launch.distribute"}
"""What users find here, and where it is: only who uses it pays for torch."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'wormwood' has no attribute {name!r}")
