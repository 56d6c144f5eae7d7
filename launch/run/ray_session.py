"""A connection to Ray, and how errors of remote code come back."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError

from wormwood.errors import bad_input
from wormwood.launch.run.loopback import is_loopback, loopback_environment, stay_on_loopback
from wormwood.launch.run.threads import ONE_THREAD, environment, usable_processors
from wormwood.launch.storage.files import write_private
from wormwood.launch.storage.versions import require_ray

__all__ = ["NAMESPACE", "connect", "get_result", "ray_session"]

NAMESPACE = "wormwood"
"""Of the named actors: runs of one cluster find each other's in it."""


@contextlib.contextmanager
def ray_session(workers: int, *, address: str = "local") -> Iterator[None]:
    """Connect to Ray as ``connect`` does, for the length of the block.

    A process that is connected already stays connected, and its cluster is used.
    """
    ours = not ray.is_initialized()
    connect(workers, address=address)
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


def connect(workers: int, *, address: str = "local") -> None:
    """Connect to Ray for as long as the process lasts, unless it is connected already.

    Args:
        workers: how many rollout workers there will be, for which a local cluster is given processors.
        address: of a running cluster; ``"local"`` starts one of our own on this machine, and ends it. It listens on
            the loopback interface only, and wants the token that Ray keeps in the home directory.

    Raises:
        BadInput: Ray is too old to keep strangers out, or the address is ``"auto"``, which may be anybody's cluster.
    """
    if ray.is_initialized():
        return
    require_ray(ray.__version__, where="this environment")
    if address == "auto":
        expected = "local, or HOST:PORT as `wormwood cluster status` shows it"
        raise bad_input("address", where="--address", expected=expected, got=address)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": NAMESPACE}
    if address == "local":
        options |= {"num_cpus": max(workers, usable_processors()), "include_dashboard": False}
        _require_short_folder()
        _close_token()
    host = "localhost" if address == "local" else address.rpartition(":")[0]
    if is_loopback(host):
        stay_on_loopback()
    # Workers compute on one thread. Ray's advice about accelerators and its usage report are not for our users.
    quiet = {
        name: os.environ.get(name, "0") for name in ("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "RAY_USAGE_STATS_ENABLED")
    }
    with _signals_kept(), environment(**ONE_THREAD, **loopback_environment(host), **quiet):
        ray.init(address=address, **options)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep what SIGTERM does: Ray would have it end the process at once, without a checkpoint."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


def _require_short_folder() -> None:
    """Check that the names of Ray's sockets, which lie in its folder, are not too long for the operating system.

    Raises:
        BadInput: they would be.
    """
    folder = os.environ.get("RAY_TMPDIR", "")
    longest = 107 - len(f"/ray/session_2000-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store")
    if len(os.fsencode(folder)) > longest:
        expected = f"a folder whose path has at most {longest} bytes, as Ray's sockets are in it"
        raise bad_input("RAY_TMPDIR", where="environment", expected=expected, got=folder)


def _close_token() -> None:
    """See that Ray finds a token that only its owner can read: the one it makes itself is open to all."""
    if any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        return
    path = Path.home() / ".ray" / "auth_token"
    with contextlib.suppress(OSError):  # a home that cannot be written, as in some containers
        if path.exists():
            path.chmod(0o600)
        else:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            write_private(path, secrets.token_hex(32))
    if not path.exists():
        expected = "one that can be written, or RAY_AUTH_TOKEN_PATH with a token: Ray keeps its token there"
        raise bad_input("home folder", where="environment", expected=expected, got=str(Path.home()))


def get_result(reference: Any) -> Any:
    """Wait for a result, and raise what the remote code raised, with its own traceback, in place of Ray's wrapper."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if not isinstance(error.cause, Exception):
            raise
        error.cause.add_note(f"In a Ray worker:\n{error}")
        raise error.cause from None
