"""``ray start`` that stays on the loopback interface where it is told an address of it.

    python -m wormwood.launch.clusters.start_node --head --node-ip-address=127.0.0.1 ...

Ray takes 127.0.0.1 for "whatever address this machine has", and then listens on every interface.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Sequence

__all__ = ["is_loopback", "loopback_environment", "main", "stay_on_loopback"]

SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""With 0, Ray's processes take 127.0.0.1 as their own address, as they do on macOS for the firewall's sake."""
ADDRESS = "--node-ip-address="


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
    """Keep this process and what it starts on the loopback interface."""
    from ray._private import ray_constants

    os.environ[SWITCH] = "0"
    # Read when Ray was imported, which may have been before.
    ray_constants.ENABLE_RAY_CLUSTER = False


def main(arguments: Sequence[str]) -> None:
    """Run ``ray start`` in the foreground."""
    from ray._private import ray_constants, services
    from ray.scripts.scripts import main as ray_command

    host = next((text.removeprefix(ADDRESS) for text in arguments if text.startswith(ADDRESS)), "")
    if is_loopback(host):
        # `ray start` itself refuses to join under the switch; only what it starts needs it.
        ray_constants.ENABLE_RAY_CLUSTER = True
        services.resolve_ip_for_localhost = lambda host: host
    sys.argv = ["ray", "start", "--block", "--log-style=record", *arguments]
    ray_command()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(sys.argv[1:])
