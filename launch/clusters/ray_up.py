"""A file for ``ray up``, Ray's own launcher and autoscaler for cloud providers."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from wormwood.launch.clusters.files import CloudGroup, RayUpCluster
from wormwood.launch.run.threads import ONE_THREAD
from wormwood.launch.storage.versions import format_versions

__all__ = ["TOKEN", "ray_up_config"]

TOKEN = "token"
"""File beside the one for ``ray up``; it is copied to every machine."""
_REMOTE_TOKEN = "~/.wormwood/token"
_PORT = 6379


def ray_up_config(cluster: RayUpCluster, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return the cluster file of Ray's autoscaler.

    Args:
        cluster: our cluster file.
        versions: which every machine must have once it is set up; it does not join otherwise.
    """
    check = f"{shlex.quote(cluster.python)} -m wormwood.launch.storage.versions --expect"
    threads = " ".join("=".join(variable) for variable in ONE_THREAD.items())
    secure = f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.wormwood/token RAY_USAGE_STATS_ENABLED=0 {threads}"
    head = f"--head --port={_PORT} --dashboard-host=127.0.0.1 --autoscaling-config=~/ray_bootstrap_config.yaml"
    start = f"ulimit -n 65536; {secure} ray start --disable-usage-stats"
    return {
        "cluster_name": cluster.name,
        "max_workers": sum(group.limit for group in cluster.workers.values()),
        "idle_timeout_minutes": cluster.idle_minutes,
        "provider": cluster.provider,
        "auth": {"ssh_user": cluster.user},
        "head_node_type": "head",
        "available_node_types": {
            "head": {**_node_type(cluster.head), "min_workers": 0, "max_workers": 0},
            **{
                name: {**_node_type(group), "min_workers": group.count, "max_workers": group.limit}
                for name, group in cluster.workers.items()
            },
        },
        "file_mounts": {_REMOTE_TOKEN: f"./{TOKEN}"},
        "initialization_commands": ["mkdir -p -m 700 ~/.wormwood"],
        "setup_commands": [
            *cluster.setup,
            f"chmod 600 {_REMOTE_TOKEN}",
            f"{check} {shlex.quote(format_versions(versions))}",
        ],
        # These machines are the cluster's own, so that nobody else's Ray is stopped.
        "head_start_ray_commands": ["ray stop", f"{start} {head}"],
        "worker_start_ray_commands": ["ray stop", f"{start} --address=$RAY_HEAD_IP:{_PORT}"],
    }


def _node_type(group: CloudGroup) -> dict[str, Any]:
    """Return what one machine is; the resources are what it offers, whatever it has."""
    return {"resources": {"CPU": group.cpus, "GPU": group.gpus}, "node_config": group.node_config}
