"""What is known of a cluster that runs: a folder of its own, closed to others."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wormwood.errors import BadInput, bad_input
from wormwood.launch.clusters.files import Cluster, LocalCluster, SshCluster, parse_cluster
from wormwood.launch.clusters.host_agent import cluster_folder
from wormwood.launch.storage.files import write_private

__all__ = ["ClusterState", "NodeState", "locked", "read_state", "require_state"]


@dataclass
class NodeState:
    """One node that was started."""

    group: str
    host: str
    cpus: int
    gpus: int
    pid: int = 0
    started: int = 0
    """Start time of the process, by which it is told from a later one of that number."""

    @property
    def process(self) -> dict[str, int]:
        """Number and start time, as the host agent takes them."""
        return {"pid": self.pid, "started": self.started}


@dataclass
class ClusterState:
    """One cluster, as ``up`` left it. The file has no token in it, only ``token`` beside it does."""

    name: str
    mark: str
    """Carried by every process; new at every start of the head."""
    cluster: dict[str, Any]
    """The cluster file in full."""
    ports: dict[str, int]
    temp: str = ""
    """Of Ray's sockets and logs, on every host."""
    nodes: dict[str, NodeState] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where this is kept."""
        return cluster_folder(self.name)

    @property
    def head(self) -> NodeState:
        """The node that keeps order."""
        return self.nodes["head"]

    @property
    def address(self) -> str:
        """Where drivers connect."""
        return f"{self.head.host}:{self.ports['gcs']}"

    @property
    def token_path(self) -> Path:
        """The file that holds the token; mode 0600."""
        return self.folder / "token"

    def token(self) -> str:
        """Return what opens the cluster; made where there is none yet.

        Raises:
            BadInput: others can read the file.
        """
        if not self.token_path.exists():
            write_private(self.token_path, secrets.token_hex(32))
        mode = self.token_path.stat().st_mode & 0o777
        if mode & 0o077:
            expected = f"a file that only its owner can read (chmod 600 {self.token_path})"
            raise bad_input("token", where=str(self.token_path), expected=expected, got=f"mode {mode:03o}")
        return self.token_path.read_text(encoding="utf-8").strip()

    def parsed(self) -> LocalCluster | SshCluster:
        """Return the cluster file."""
        cluster = parse_cluster(json.dumps(self.cluster), where=str(self.folder / "state.json"))
        assert isinstance(cluster, LocalCluster | SshCluster)
        return cluster

    def write(self) -> None:
        """Keep it."""
        write_private(self.folder / "state.json", json.dumps(dataclasses.asdict(self), indent=2))


def read_state(name: str) -> ClusterState | None:
    """Return what is known of a cluster, or None where it does not run.

    Raises:
        BadInput: the file is damaged.
    """
    path = cluster_folder(name) / "state.json"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        fields["nodes"] = {node: NodeState(**state) for node, state in fields["nodes"].items()}
        return ClusterState(**fields)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadInput(f"cannot read the state of cluster {name} in {path}: {error}") from None


def require_state(cluster: Cluster) -> ClusterState:
    """Return what is known of a cluster that runs.

    Raises:
        BadInput: it does not.
    """
    state = read_state(cluster.name)
    if state is None or not state.nodes:
        folders = sorted(path.parent.name for path in cluster_folder("x").parent.glob("*/state.json"))
        expected = f"one that `wormwood cluster up` has started: {', '.join(folders) or 'there is none'}"
        raise bad_input("cluster", where="cluster", expected=expected, got=cluster.name, nearest_to=folders)
    return state


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Keep others from starting or ending the same cluster for the length of the block.

    Raises:
        BadInput: somebody else does so right now.
    """
    parent = cluster_folder(name).parent
    try:
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.fdopen(os.open(parent / f".{name}.lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")
    except OSError as error:
        raise BadInput(f"cannot write to the folder of clusters {parent}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"cluster {name} is being started or ended by another process") from None
        yield
