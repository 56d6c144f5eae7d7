"""The cluster file: what a cluster is made of, checked before anything starts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from wormwood.configs.checked import key_problem
from wormwood.configs.yaml_files import parse_mapping, read_preset_or_file
from wormwood.errors import BadInput, bad_input
from wormwood.launch.run.settings import settings_in

__all__ = [
    "Cluster",
    "Group",
    "KuberayCluster",
    "LocalCluster",
    "Node",
    "Pods",
    "Ports",
    "RayUpCluster",
    "SlurmCluster",
    "SshCluster",
    "SshNode",
    "Tls",
    "load_cluster",
    "parse_cluster",
]

NAME = r"^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$"
ARGUMENT = r"^[^-\s\x00-\x1f'\"][^\s\x00-\x1f'\"]*$"
ROOT = r"^/[^\s\x00-\x1f'\"]+$"
TIME = r"^(\d+-)?\d+(:\d\d){0,2}$"

Name = Annotated[str, StringConstraints(pattern=NAME)]
"""Of clusters and groups: also a valid name in Kubernetes, and a short folder."""
Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00-\x1f]+$")]
"""One line that is not empty."""
Count = Annotated[int, Field(ge=0, le=10_000)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Argument = Annotated[str, StringConstraints(pattern=ARGUMENT)]
"""One word that no program takes for an option: it becomes part of a command."""

Root = Annotated[str, StringConstraints(pattern=ROOT)]
"""A path from the root."""

STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Node:
    """What one node offers to Ray."""

    __pydantic_config__ = STRICT

    cpus: Count = 1
    """Rollout workers that the node runs at once; 0 keeps them away."""
    gpus: Count = 0
    """GPUs. The learner service takes one wherever the cluster has any."""
    memory_gib: Annotated[int, Field(ge=1, le=100_000)] = 4
    """Memory that is asked of Kubernetes or Slurm; a local or ssh node takes what it needs."""


@dataclass(frozen=True)
class Group(Node):
    """Several nodes of one kind."""

    count: Count = 1
    """Nodes at the start."""
    most: Count | None = None
    """Nodes up to which Ray's autoscaler may add some; default: ``count``."""

    def __post_init__(self) -> None:
        """Check what single values do not say."""
        if self.most is not None and self.most < self.count:
            expected = f"at least count, which is {self.count}"
            raise bad_input("most", where="cluster file, workers", expected=expected, got=self.most)

    @property
    def limit(self) -> int:
        """The most nodes that there may be."""
        return self.count if self.most is None else self.most


@dataclass(frozen=True)
class SshNode(Node):
    """One host that is reached by ssh."""

    host: Argument = ""
    """Its address, by which the other hosts reach it, too."""

    def __post_init__(self) -> None:
        """Check what single values do not say."""
        if not self.host:
            raise bad_input("host", where="cluster file", expected="the address of a host", got=self.host)


@dataclass(frozen=True)
class CloudGroup(Group):
    """Several machines of a cloud provider."""

    node_config: dict[str, Any] = field(default_factory=dict)
    """What the provider is asked for, such as ``InstanceType``, in the provider's own words."""


@dataclass(frozen=True)
class Ports:
    """Ports of the head; 0 takes a free one."""

    __pydantic_config__ = STRICT

    gcs: Port = 0
    """Where nodes and drivers connect."""
    dashboard: Port = 0
    """Dashboard and job API; on the loopback interface of the head only."""
    client: Port = 0
    """Ray's client protocol."""

    def __post_init__(self) -> None:
        """Check what single values do not say."""
        fixed = [port for port in (self.gcs, self.dashboard, self.client) if port]
        if len(set(fixed)) < len(fixed):
            raise bad_input("ports", where="cluster file", expected="three different ones", got=fixed)


@dataclass(frozen=True)
class Tls:
    """Files that encrypt what nodes say to each other; the same paths on every node."""

    __pydantic_config__ = STRICT

    certificate: Text
    """PEM; its SAN must name the address of every node."""
    key: Text
    """PEM, readable by its owner only."""
    authority: Text
    """PEM: who signed the certificate."""


@dataclass(frozen=True, kw_only=True)
class _Cluster:
    """What clusters of all kinds have."""

    __pydantic_config__ = STRICT

    name: Name


@dataclass(frozen=True, kw_only=True)
class _StartedCluster(_Cluster):
    """A cluster whose nodes `wormwood cluster up` starts."""

    ports: Ports = field(default_factory=Ports)
    object_store_mib: Annotated[int, Field(ge=80)] = 200
    """Shared memory of each node."""
    tls: Tls | None = None


@dataclass(frozen=True, kw_only=True)
class LocalCluster(_StartedCluster):
    """Several nodes as processes of this machine."""

    kind: Literal["local"]
    head: Node = field(default_factory=lambda: Node(cpus=0))
    workers: dict[Name, Group] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SshCluster(_StartedCluster):
    """Hosts that are reached by ssh, each with the package installed."""

    kind: Literal["ssh"]
    head: SshNode
    workers: dict[Name, SshNode] = field(default_factory=dict)
    user: Argument | None = None
    """On the hosts; default: what ssh takes."""
    python: Argument = "python"
    """The interpreter on the hosts that has the package."""
    options: tuple[Text, ...] = ()
    """More options of ssh, such as ``-p2222``."""
    ports: Ports = field(default_factory=lambda: Ports(gcs=6379, dashboard=8265, client=10_001))
    object_store_mib: Annotated[int, Field(ge=80)] = 1000


@dataclass(frozen=True, kw_only=True)
class SlurmCluster(_Cluster):
    """A job of Slurm in which Ray runs for as long as one training."""

    kind: Literal["slurm"]
    folder: Root
    """Shared by all nodes: the token and runs are kept there."""
    head: Node = field(default_factory=lambda: Node(cpus=0))
    workers: Group = field(default_factory=Group)
    """All on one partition, as the nodes of a Slurm job are."""
    time: Annotated[str, StringConstraints(pattern=TIME)] = "24:00:00"
    partition: Argument | None = None
    account: Argument | None = None
    python: Argument = "python"
    setup: tuple[Text, ...] = ()
    """Commands of the shell before Ray starts, such as ``module load python``."""


@dataclass(frozen=True)
class Pods:
    """How pods run, in the words of Kubernetes."""

    __pydantic_config__ = STRICT

    user: Annotated[int, Field(ge=1, lt=2**31)] = 1000
    """Number of the user that the image runs as; never root."""
    group: Annotated[int, Field(ge=1, lt=2**31)] = 1000
    """Number of the group that may write to the claim."""
    node_selector: dict[Text, Text] = field(default_factory=dict)
    """Labels of the machines that pods may run on."""
    tolerations: tuple[dict[str, Any], ...] = ()
    """Taints of machines that pods tolerate, such as ``{key: nvidia.com/gpu, operator: Exists}``."""
    service_account: Name | None = None
    pull_secrets: tuple[Name, ...] = ()
    """Secrets with which the image is pulled."""
    priority_class: Name | None = None


@dataclass(frozen=True, kw_only=True)
class KuberayCluster(_Cluster):
    """Manifests for the KubeRay operator."""

    kind: Literal["kuberay"]
    image: Argument
    """A container image with the package installed."""
    head: Node = field(default_factory=lambda: Node(cpus=0))
    workers: dict[Name, Group] = field(default_factory=dict)
    namespace: Name = "default"
    claim: Name | None = None
    """A PersistentVolumeClaim that all nodes can write, for the runs; they are lost with the pods without one."""
    folder: Root = "/runs"
    """Where the claim is mounted."""
    labels: dict[Text, Text] = field(default_factory=dict)
    """Of what is created, such as ``kueue.x-k8s.io/queue-name: research``, by which Kueue admits it."""
    pods: Pods = field(default_factory=Pods)
    ttl_seconds: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """For which the pods of a job that has ended stay, with their logs."""


@dataclass(frozen=True, kw_only=True)
class RayUpCluster(_Cluster):
    """A file for ``ray up``, which starts machines of a cloud provider."""

    kind: Literal["ray-up"]
    provider: dict[str, Any]
    """What Ray's autoscaler needs to know: ``type``, ``region`` and more."""
    head: CloudGroup = field(default_factory=lambda: CloudGroup(cpus=0))
    workers: dict[Name, CloudGroup] = field(default_factory=dict)
    user: Argument = "ubuntu"
    """By which ssh enters the machines."""
    python: Argument = "python"
    setup: tuple[Text, ...] = ()
    """Commands of the shell that install the package."""
    idle_minutes: Annotated[int, Field(ge=1)] = 10
    """After which the autoscaler gives a machine back."""


Cluster = LocalCluster | SshCluster | SlurmCluster | KuberayCluster | RayUpCluster
_KINDS: Mapping[str, type] = {get_args(get_type_hints(kind)["kind"])[0]: kind for kind in get_args(Cluster)}
_NAME_RULE = "a name of at most 32 small letters, digits and hyphens that begins with a letter"
_RULES = {
    NAME: _NAME_RULE,
    ARGUMENT: "one word without quotes that does not begin with a hyphen",
    ROOT: "a path from the root, without spaces and quotes",
    TIME: "a time such as 30, 12:00:00 or 2-00:00:00",
}
_ADAPTER: TypeAdapter[Cluster] = TypeAdapter(Annotated[Cluster, Field(discriminator="kind")])


def load_cluster(preset_or_file: str) -> Cluster:
    """Read a cluster file.

    Args:
        preset_or_file: a name of ``configs/cluster``, or a YAML file.

    Raises:
        BadInput: there is no such file, or anything in it is wrong.
    """
    text, where = read_preset_or_file("cluster", preset_or_file, what="cluster", where="cluster")
    return parse_cluster(text, where=where)


def parse_cluster(text: str, *, where: str) -> Cluster:
    """Read a cluster from YAML; see ``load_cluster``."""
    mapping = parse_mapping(text, where=where)
    try:
        # As JSON: strict validation takes mappings for dataclasses, and lists for tuples, only there.
        return _ADAPTER.validate_json(json.dumps(mapping, allow_nan=False))
    except ValidationError as error:
        raise _problem_of_cluster(error, where) from None
    except (ValueError, TypeError, RecursionError) as error:
        expected = "a mapping of finite values, of few levels"
        raise bad_input("YAML", where=where, expected=expected, got=" ".join(str(error).split())) from None


def _problem_of_cluster(error: ValidationError, where: str) -> BadInput:
    """Turn pydantic's first finding into one line."""
    problem = error.errors(include_url=False)[0]
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, BadInput):
        return BadInput(str(cause).replace("in cluster file", f"in {where}", 1))
    if problem["type"].startswith("union_tag"):
        given = problem["input"].get("kind") if isinstance(problem["input"], dict) else problem["input"]
        return bad_input("kind", where=where, expected=f"one of {', '.join(_KINDS)}", got=given, nearest_to=_KINDS)
    kind, *path = [str(part) for part in problem["loc"]]
    if path and path[-1] == "[key]":
        return bad_input(".".join(path[:-2]), where=where, expected=_NAME_RULE, got=problem["input"])
    key = ".".join(path)
    found = key_problem(problem, key, where=where, settings=settings_in(_KINDS[kind], path[:-1]))
    return found or bad_input(key, where=where, expected=_expected(problem), got=problem["input"])


def _expected(problem: Mapping[str, Any]) -> str:
    """Return in our words what a value should have been."""
    if problem["type"] == "string_pattern_mismatch":
        return _RULES.get(problem["ctx"]["pattern"], "one line of text")
    return re.sub(r"^(Input|String|Value) should ", "", problem["msg"]).removeprefix("be ")
