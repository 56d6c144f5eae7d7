"""Keeping Ray on the loopback interface where it is told an address of it."""

from __future__ import annotations

import ipaddress

__all__ = ["SWITCH", "is_loopback", "loopback_environment", "stay_on_loopback"]

SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""With 0, Ray's processes take 127.0.0.1 as their own address, as they do on macOS for the firewall's sake."""


def is_loopback(host: str) -> bool:
    """Return True for an address that only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def loopback_environment(host: str) -> dict[str, str]:
    """Return the variables that keep what a node starts on the loopback interface, if ``host`` is on it."""
    return {SWITCH: "0"} if is_loopback(host) else {}


def stay_on_loopback() -> None:
    """Keep this process on the loopback interface, as ``loopback_environment`` does what it starts."""
    from ray._private import ray_constants

    # Read from the environment when Ray was imported.
    ray_constants.ENABLE_RAY_CLUSTER = False
