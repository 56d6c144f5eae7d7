"""``ray start`` that stays on the loopback interface where it is told an address of it.

    python -m wormwood.launch.clusters.start_node --head --node-ip-address=127.0.0.1 ...

Ray takes 127.0.0.1 for "whatever address this machine has", and then listens on every interface.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from wormwood.launch.run.loopback import is_loopback

__all__ = ["main"]

ADDRESS = "--node-ip-address="


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
