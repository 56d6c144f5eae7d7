"""A connection to Ray, and how errors of remote code come back."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import ray
from ray.exceptions import RayTaskError

__all__ = ["NAMESPACE", "get_result", "ray_session"]

NAMESPACE = "wormwood"
"""Of the named actors: runs of one cluster find each other's in it."""


@contextlib.contextmanager
def ray_session(workers: int, *, address: str = "local") -> Iterator[None]:
    """Connect to Ray for the length of the block.

    Args:
        workers: how many rollout workers there will be, for which a local cluster is given processors.
        address: of a running cluster; ``"local"`` starts one of our own on this machine, and ends it.

    A process that is connected already stays connected, and its cluster is used.
    """
    if ray.is_initialized():
        yield
        return
    # Ray's advice about accelerators and its usage report are not for our users.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": NAMESPACE}
    if address == "local":
        options |= {"num_cpus": max(workers, os.cpu_count() or 1), "include_dashboard": False}
    ray.init(address=address, **options)
    try:
        yield
    finally:
        ray.shutdown()


def get_result(reference: Any) -> Any:
    """Wait for a result, and raise what the remote code raised, with its own traceback, in place of Ray's wrapper."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if not isinstance(error.cause, Exception):
            raise
        error.cause.add_note(f"In a Ray worker:\n{error}")
        raise error.cause from None
