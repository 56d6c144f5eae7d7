"""Start a cluster, look at it, and end exactly what was started."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from wormwood.errors import bad_input
from wormwood.launch.clusters.api import ClusterError, Head
from wormwood.launch.clusters.files import Cluster, LocalCluster, SshCluster
from wormwood.launch.clusters.host_agent import cluster_folder, cluster_mark, free_port
from wormwood.launch.clusters.hosts import LOOPBACK, Host, ask_all, dashboard_url, host_at
from wormwood.launch.clusters.jobs import list_jobs, send_again
from wormwood.launch.clusters.state import ClusterState, NodeState, locked, read_state, require_state
from wormwood.launch.clusters.tls import tls_environment
from wormwood.launch.clusters.usage import cluster_usage
from wormwood.launch.run.loopback import loopback_environment
from wormwood.launch.storage.versions import check_versions, require_ray

__all__ = [
    "cluster_down",
    "cluster_status",
    "cluster_up",
    "open_head",
    "plan_nodes",
    "require_startable",
    "start_arguments",
]

START_SECONDS = 90.0
"""Within which a node has to join."""

Note = Callable[[str], None]


def require_startable(cluster: Cluster) -> LocalCluster | SshCluster:
    """Return a cluster that ``up`` starts itself.

    Raises:
        BadInput: it is of a kind that something else starts.
    """
    if isinstance(cluster, LocalCluster | SshCluster):
        return cluster
    expected = f"local or ssh; for {cluster.kind}, `wormwood cluster manifest` writes what starts it"
    raise bad_input("kind", where="cluster", expected=expected, got=cluster.kind)


def plan_nodes(cluster: LocalCluster | SshCluster) -> dict[str, NodeState]:
    """Return the nodes that a cluster file asks for, by name; the head first."""
    if isinstance(cluster, SshCluster):
        hosts = {"head": cluster.head, **cluster.workers}
        if "head" in cluster.workers or len({node.host for node in hosts.values()}) < len(hosts):
            got = {name: node.host for name, node in hosts.items()}
            raise bad_input("workers", where="cluster file", expected="none named head, each on its own host", got=got)
        return {name: NodeState(name, node.host, node.cpus, node.gpus) for name, node in hosts.items()}
    planned = {"head": NodeState("head", LOOPBACK, cluster.head.cpus, cluster.head.gpus)}
    for name, group in cluster.workers.items():
        for number in range(group.count):
            planned[f"{name}-{number}"] = NodeState(name, LOOPBACK, group.cpus, group.gpus)
    return planned


def start_arguments(name: str, node: NodeState, state: ClusterState, *, store_mib: int) -> list[str]:
    """Return the arguments of ``ray start`` for one node. There is no secret in them."""
    arguments = [f"--node-ip-address={node.host}", f"--node-name={name}", "--disable-usage-stats"]
    arguments += [f"--num-cpus={node.cpus}", f"--num-gpus={node.gpus}", f"--object-store-memory={store_mib * 2**20}"]
    if name != "head":
        return [f"--address={state.address}", *arguments]
    ports = state.ports
    arguments += [f"--port={ports['gcs']}", f"--ray-client-server-port={ports['client']}"]
    arguments += [
        f"--dashboard-host={LOOPBACK}",
        f"--dashboard-port={ports['dashboard']}",
        f"--temp-dir={state.temp}/ray",
    ]
    return ["--head", *arguments]


def cluster_up(cluster: Cluster, *, note: Note = lambda text: None) -> ClusterState:
    """Start what is not there yet, and return the state.

    A cluster that runs is brought to what the file asks for: nodes that died or are new are started, others ended.
    Where the head is lost, everything is started again with the same token and ports.

    Raises:
        BadInput: a port is busy, a host cannot be reached, versions differ, a certificate is wrong, or a node does not
            start. Nothing of this call is left running then.
    """
    startable = require_startable(cluster)
    planned = plan_nodes(startable)
    with locked(cluster.name):
        state = read_state(cluster.name)
        if state is not None:
            _require_same(state, startable)
            alive = _alive(state)
            if "head" in alive:
                return _adjust(state, startable, planned, alive, note)
            note("the head is lost: starting again")
            _end(state)
        else:
            _require_none(startable, planned)
        return _start(startable, planned, state, note)


def _require_none(cluster: LocalCluster | SshCluster, planned: Mapping[str, NodeState]) -> None:
    """Refuse to start a second cluster beside one whose state was deleted."""
    hosts = {node.host: host_at(node.host, cluster) for node in planned.values()}
    request = {"do": "find", "mark": cluster_mark(cluster.name)}
    for host, found in ask_all(hosts, dict.fromkeys(hosts, request)).items():
        if found["processes"]:
            expected = (
                f"no process of it while there is no {cluster_folder(cluster.name)}; `wormwood cluster down` first"
            )
            raise bad_input(f"cluster {cluster.name}", where=host, expected=expected, got=found["processes"])


def _start(
    cluster: LocalCluster | SshCluster, planned: dict[str, NodeState], old: ClusterState | None, note: Note
) -> ClusterState:
    """Start all nodes, with the token and ports of a head that was lost."""
    ports = old.ports if old else _ports(cluster)
    mapping = json.loads(json.dumps(dataclasses.asdict(cluster)))
    state = ClusterState(cluster.name, cluster_mark(cluster.name), mapping, ports, nodes=planned)
    hosts = _hosts(state, cluster)
    try:
        _check(state, cluster, hosts)
        state.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state.temp = hosts[state.head.host].ask({"do": "temp"})["path"]
        state.write()  # so that `down` finds it, whatever happens now
        note(f"starting the head at {state.address}")
        _launch(state, cluster, hosts, ["head"])
        workers = [name for name in planned if name != "head"]
        note(f"starting {len(workers)} more nodes")
        _launch(state, cluster, hosts, workers)
        state.write()
        _await_nodes(state)
        if old:
            with open_head(state) as head:
                for name in send_again(head, state):
                    note(f"sent {name} again")
    except BaseException:
        _end(state)
        if old is None:
            shutil.rmtree(state.folder, ignore_errors=True)
        raise
    return state


def _adjust(
    state: ClusterState,
    cluster: LocalCluster | SshCluster,
    planned: dict[str, NodeState],
    alive: set[str],
    note: Note,
) -> ClusterState:
    """Bring the nodes of a cluster that runs to those that are planned."""
    kept = {name for name in alive if name in planned and _same_node(planned[name], state.nodes[name])}
    for name in sorted(set(state.nodes) - kept):
        # Also the remains of one that died: workers that have not noticed yet.
        request = {"do": "stop", "marks": [f"{state.mark}/{name}"], "remove": []}
        host_at(state.nodes[name].host, cluster).ask(request)
        note(f"ended node {name}" if name in alive else f"node {name} had died")
        del state.nodes[name]
    new = [name for name in planned if name not in kept]
    state.cluster = json.loads(json.dumps(dataclasses.asdict(cluster)))
    state.nodes |= {name: planned[name] for name in new}
    state.nodes = {name: state.nodes[name] for name in planned}
    hosts = _hosts(state, cluster)
    try:
        if new:
            note(f"starting {', '.join(new)}")
            _check(state, cluster, {host: hosts[host] for host in {state.nodes[name].host for name in ("head", *new)}})
            _launch(state, cluster, hosts, new)
    except BaseException:
        for name in new:
            state.nodes.pop(name)
        state.write()
        raise
    state.write()
    _await_nodes(state)
    return state


def _same_node(one: NodeState, other: NodeState) -> bool:
    return (one.host, one.cpus, one.gpus) == (other.host, other.cpus, other.gpus)


def _ports(cluster: LocalCluster | SshCluster) -> dict[str, int]:
    """Return the ports of the head, free ones where the file leaves that open."""
    ports = dataclasses.asdict(cluster.ports)
    for name, port in ports.items():
        ports[name] = port or free_port(list(ports.values()))
    return ports


def _require_same(state: ClusterState, cluster: LocalCluster | SshCluster) -> None:
    """Refuse to change what a running cluster cannot change."""
    given = json.loads(json.dumps(dataclasses.asdict(cluster)))
    for key in ("kind", "head", "ports", "tls", "object_store_mib"):
        if state.cluster.get(key) != given.get(key):
            expected = f"{state.cluster.get(key)!r} while the cluster runs; `wormwood cluster down` first"
            raise bad_input(key, where=f"cluster {cluster.name}", expected=expected, got=given.get(key))


def _hosts(state: ClusterState, cluster: LocalCluster | SshCluster) -> dict[str, Host]:
    return {node.host: host_at(node.host, cluster) for node in state.nodes.values()}


def _check(state: ClusterState, cluster: LocalCluster | SshCluster, hosts: Mapping[str, Host]) -> None:
    """Look for what would keep nodes from joining, on all hosts at once."""
    tls = state.cluster["tls"]
    fresh = state.head.pid == 0
    common = {"do": "inspect", "tls": tls, "addresses": sorted({node.host for node in state.nodes.values()})}
    requests = {
        host: {**common, "ports": list(state.ports.values()) if fresh and host == state.head.host else []}
        for host in hosts
    }
    answers = ask_all(hosts, requests)
    head = answers[state.head.host]
    require_ray(head["versions"]["ray"], where=state.head.host)
    for port in head["busy"]:
        name = next(name for name, used in state.ports.items() if used == port)
        expected = "a port on which nothing listens yet; 0 takes a free one"
        raise bad_input(
            f"ports.{name}", where=f"cluster {cluster.name} on {state.head.host}", expected=expected, got=port
        )
    for host, found in answers.items():
        check_versions(head["versions"], found["versions"], where=host)


def _launch(
    state: ClusterState, cluster: LocalCluster | SshCluster, hosts: Mapping[str, Host], names: Sequence[str]
) -> None:
    """Start nodes, and note their processes."""
    common = {"do": "start", "name": state.name, "mark": state.mark, "token": state.token(), "seconds": START_SECONDS}
    common["environment"] = tls_environment(state.cluster["tls"]) | loopback_environment(state.head.host)
    requests: dict[str, dict[str, Any]] = {}
    for name in names:
        node = state.nodes[name]
        arguments = start_arguments(name, node, state, store_mib=cluster.object_store_mib)
        request = requests.setdefault(node.host, {**common, "nodes": []})
        request["nodes"].append({"name": name, "arguments": arguments})
    for given in ask_all(hosts, requests).values():
        for name, process in given["processes"].items():
            state.nodes[name].pid, state.nodes[name].started = process["pid"], process["started"]


def _await_nodes(state: ClusterState) -> None:
    """Wait until the head knows all nodes and answers."""
    deadline = time.monotonic() + START_SECONDS
    with open_head(state) as head:
        while True:
            try:
                missing = set(state.nodes) - set(head.nodes())
                if not missing:
                    return
                problem = f"without {', '.join(sorted(missing))}"
            except ClusterError as error:
                problem = str(error)
            if time.monotonic() > deadline:
                raise ClusterError(f"cluster {state.name} is not complete after {START_SECONDS:.0f} s: {problem}")
            time.sleep(0.3)


@contextlib.contextmanager
def open_head(state: ClusterState) -> Iterator[Head]:
    """Give dashboard and job API of a cluster."""
    with dashboard_url(state.parsed(), state.head.host, state.ports["dashboard"]) as url:
        yield Head(url, state.token())


def _alive(state: ClusterState) -> set[str]:
    """Return the names of the nodes whose processes run."""
    cluster = state.parsed()
    requests: dict[str, dict[str, Any]] = {}
    for name, node in state.nodes.items():
        request = requests.setdefault(node.host, {"do": "alive", "mark": state.mark, "nodes": {}})
        request["nodes"][name] = node.process
    answers = ask_all(_hosts(state, cluster), requests)
    return {name for given in answers.values() for name in given["alive"]}


def _end(state: ClusterState) -> dict[str, Any]:
    """End every process of the cluster on every host, and return how many there were, and where their logs are."""
    return _stop(state.name, _hosts(state, state.parsed()), mark=state.mark, temp=state.temp)


def _stop(name: str, hosts: Mapping[str, Host], *, mark: str = "", temp: str = "") -> dict[str, Any]:
    """End the processes that carry the name of a cluster, or the mark that its state has."""
    marks = sorted({cluster_mark(name), *([mark] if mark else [])})
    request = {"do": "stop", "marks": marks, "remove": [temp] if temp else [], "name": name}
    answers = ask_all(hosts, dict.fromkeys(hosts, request))
    logs = {host: given["logs"] for host, given in answers.items() if given["logs"]}
    return {"processes_ended": sum(given["ended"] for given in answers.values()), "logs": logs}


def cluster_down(cluster: Cluster) -> dict[str, Any]:
    """End what ``up`` started, and forget it; nothing else is touched. A cluster that does not run is no error.

    Where its state was deleted, its processes are found by the name that they carry. Logs of its nodes and jobs are
    kept on each host: ``logs`` says where.

    Raises:
        BadInput: it is of a kind that something else ends, its state is damaged, or a host cannot be reached.
    """
    startable = require_startable(cluster)
    with locked(cluster.name):
        state = read_state(cluster.name)
        if state is None:
            hosts = {node.host: host_at(node.host, startable) for node in plan_nodes(startable).values()}
            ended = _stop(cluster.name, hosts)
        else:
            ended = _end(state)
        shutil.rmtree(cluster_folder(cluster.name), ignore_errors=True)
    was_running = state is not None or ended["processes_ended"] > 0
    return {"cluster": cluster.name, "was_running": was_running, **ended}


def cluster_status(cluster: Cluster) -> dict[str, Any]:
    """Return how a cluster is: its nodes with what they offer and do, its jobs, and where it answers.

    Raises:
        BadInput: it has not been started.
    """
    state = require_state(cluster)
    alive = _alive(state)
    known: dict[str, dict[str, Any]] = {}
    jobs: list[dict[str, Any]] = []
    usage: dict[str, Any] = {"nodes": {}, "learner": None}
    if "head" in alive:
        with contextlib.suppress(ClusterError), open_head(state) as head:
            known = head.nodes()
            jobs = list_jobs(head, state)
            usage = cluster_usage(head, state, jobs)
    nodes = [
        {
            "name": name,
            "group": node.group,
            "host": node.host,
            "state": "alive" if name in alive and name in known else "starting" if name in alive else "dead",
            "process": node.pid,
            "cpus": node.cpus,
            "gpus": node.gpus,
            "object_store_used": known.get(name, {}).get("object_store_used"),
            **usage["nodes"].get(name, {}),
        }
        for name, node in state.nodes.items()
    ]
    return {
        "cluster": state.name,
        "kind": state.cluster["kind"],
        "state": "head lost" if "head" not in alive else "running" if set(alive) == set(state.nodes) else "degraded",
        "address": state.address,
        "dashboard": f"http://{LOOPBACK}:{state.ports['dashboard']}",
        "client": f"ray://{state.head.host}:{state.ports['client']}",
        "token": str(state.token_path),
        "nodes": nodes,
        "learner": usage["learner"],
        "jobs": jobs,
    }
