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
from typing import Annotated, Any

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from wormwood.errors import BadInput, bad_input
from wormwood.launch.clusters.files import (
    STRICT,
    Argument,
    Cluster,
    Count,
    LocalCluster,
    Name,
    SshCluster,
    parse_cluster,
)
from wormwood.launch.clusters.host_agent import TEMP_PATTERN, cluster_folder
from wormwood.launch.clusters.processes import MARK_PATTERN
from wormwood.launch.storage.files import write_private
from wormwood.launch.storage.json_files import read_json_object

__all__ = ["ClusterState", "NodeState", "locked", "read_state", "require_state"]


NodeName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,40}$")]
Whole = Annotated[int, Field(ge=0, lt=2**63)]
PORTS = ("gcs", "dashboard", "client")


@dataclass
class NodeState:
    """One node that was started."""

    __pydantic_config__ = STRICT

    group: Name
    host: Argument
    cpus: Count
    gpus: Count
    pid: Whole = 0
    started: Whole = 0
    """Start time of the process, by which it is told from a later one of that number."""

    @property
    def process(self) -> dict[str, int]:
        """Number and start time, as the host agent takes them."""
        return {"pid": self.pid, "started": self.started}


@dataclass
class ClusterState:
    """One cluster, as ``up`` left it. The file has no token in it, only ``token`` beside it does."""

    __pydantic_config__ = STRICT

    name: Name
    mark: Annotated[str, StringConstraints(pattern=f"^{MARK_PATTERN}$")]
    """Carried by every process; see ``host_agent.cluster_mark``."""
    cluster: dict[str, Any]
    """The cluster file in full."""
    ports: dict[str, Annotated[int, Field(ge=1, le=65_535)]]
    temp: Annotated[str, StringConstraints(pattern=f"^({TEMP_PATTERN})?$")] = ""
    """Of Ray's sockets and logs, on every host."""
    nodes: dict[NodeName, NodeState] = field(default_factory=dict)

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
        where = str(self.folder / "state.json")
        cluster = parse_cluster(json.dumps(self.cluster), where=where)
        if not isinstance(cluster, LocalCluster | SshCluster):
            raise bad_input("kind", where=where, expected="local or ssh", got=cluster.kind)
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
        fields = read_json_object(path, what="cluster state")
        state = _ADAPTER.validate_json(json.dumps(fields))
        _check_whole(state, name)
        return state
    except FileNotFoundError:
        return None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part)[:60] for part in problem["loc"])
        raise _damaged(path, f"{key}: {problem['msg']}") from None
    except BadInput as error:
        raise _damaged(path, str(error)) from None


_ADAPTER = TypeAdapter(ClusterState)


def _check_whole(state: ClusterState, name: str) -> None:
    """Check what single values do not say.

    Raises:
        BadInput: the state is of another cluster, or lacks something.
    """
    where = "state.json"
    cluster = state.parsed()
    if {state.name, cluster.name, state.mark.rpartition(".")[0]} != {name}:
        got = [state.name, cluster.name, state.mark]
        raise bad_input("name", where=where, expected=f"{name}, also in cluster and mark", got=got)
    if "head" not in state.nodes:
        raise bad_input("nodes", where=where, expected="a head among them", got=list(state.nodes))
    if set(state.ports) != set(PORTS):
        raise bad_input("ports", where=where, expected=", ".join(PORTS), got=", ".join(state.ports))


def _damaged(path: Path, problem: str) -> BadInput:
    """Return what to do about it: processes are found by name as well."""
    advice = f"move {path} away, then `wormwood cluster down` ends its processes by their name"
    return BadInput(f"damaged cluster state in {path}: {' '.join(problem.split())[:300]}; {advice}")


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
