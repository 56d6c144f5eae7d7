"""What is done on one host of a cluster: look, start nodes, end them.

    python -m wormwood.launch.clusters.host_agent < request.json > answer.json

Through ssh, requests come on the standard input: a token in the arguments could be read by every user of the host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wormwood.errors import BadInput
from wormwood.launch.clusters.processes import (
    MARK,
    Process,
    arguments_of,
    end_processes,
    identify,
    is_alive,
    marked_processes,
)
from wormwood.launch.clusters.tls import check_tls
from wormwood.launch.run.threads import ONE_THREAD
from wormwood.launch.storage.files import write_private
from wormwood.launch.storage.versions import installed_versions

__all__ = ["TEMP_PATTERN", "answer", "busy_ports", "cluster_folder", "cluster_mark", "free_port", "logs_folder"]

STARTED = "Ray runtime started"
"""What ``ray start`` prints once a node has joined."""
TEMP_PATTERN = r"/tmp/wormwood-[A-Za-z0-9_]+"
"""Of the folders that are made for Ray: no other is ever removed."""
KEPT_LOGS = 5
"""Times of a cluster whose logs are kept."""
OWN_PORTS = range(20_000, 30_000)
"""Below those that the system hands out, so that they are still free when a head comes back."""


def cluster_folder(name: str) -> Path:
    """Return where a host keeps token and logs of a cluster: in ``$WORMWOOD_STATE``, or ``~/.wormwood``."""
    return Path(os.environ.get("WORMWOOD_STATE") or Path.home() / ".wormwood") / "clusters" / name


def logs_folder(name: str) -> Path:
    """Return where a host keeps the logs of a cluster that has ended: one folder for each time, the newest few."""
    return cluster_folder(name).parent.parent / "logs" / name


def cluster_mark(name: str) -> str:
    """Return what the processes of a cluster carry that is started from here: found again without its folder, too."""
    place = f"{socket.gethostname()}:{os.getuid()}:{cluster_folder(name).resolve()}"
    return f"{name}.{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Do what a request asks for; wrong input comes back as ``error``."""
    try:
        return _TASKS[request["do"]](request)
    except BadInput as error:
        return {"error": str(error)}


def _inspect(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return versions and busy ports, after a check of the certificate."""
    if request["tls"]:
        check_tls(request["tls"], request["addresses"])
    return {"versions": installed_versions(), "busy": busy_ports(request["ports"]), "python": sys.executable}


def _start(request: Mapping[str, Any]) -> dict[str, Any]:
    """Start nodes, and return the process of each once all have joined; on failure end them, and say why."""
    folder = cluster_folder(request["name"])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    token = folder / "token"
    write_private(token, request["token"])
    environment = _environment(token, request["environment"])
    started: dict[str, Process] = {}
    # One after the other: nodes of one host that start at once take each other's names of sockets.
    for node in request["nodes"]:
        name = node["name"]
        log, mark = folder / f"{name}.log", f"{request['mark']}/{name}"
        process = _launch(node, log, environment | {MARK: mark})
        problem = _await(process, log, seconds=request["seconds"])
        found = identify(process.pid)
        if problem or found is None:
            for other in (*started, name):
                end_processes(f"{request['mark']}/{other}")
            return {"error": f"node {name} {problem or 'ended at once'}"}
        started[name] = found
    return {"processes": {name: dataclasses.asdict(process) for name, process in started.items()}}


def _launch(node: Mapping[str, Any], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    arguments: Sequence[str] = node["arguments"]
    command = [sys.executable, "-m", "wormwood.launch.clusters.start_node", *arguments]
    with log.open("wb") as output:
        # A session of its own: the end of the terminal does not end the node.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )


def _environment(token: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return what nodes are started with: ours, without what belongs to another Ray."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") and name != MARK}
    return {
        **variables,
        **ONE_THREAD,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token.resolve()),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_JOB_STOP_WAIT_TIME_S": "60",  # for the checkpoint of a run that is stopped
        **more,
    }


def _await(process: subprocess.Popen[bytes], log: Path, *, seconds: float) -> str:
    """Wait until a node has joined, and return what went wrong, or nothing."""
    deadline = time.monotonic() + seconds
    while True:
        text = log.read_text(encoding="utf-8", errors="replace")
        if STARTED in text:
            return ""
        if process.poll() is not None:
            return f"ended with code {process.returncode}: {_last_words(text)}"
        if time.monotonic() > deadline:
            return f"has not joined within {seconds:.0f} s: {_last_words(text)}"
        time.sleep(0.1)


def _last_words(text: str) -> str:
    """Return the last line of a log that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line or "ERR" in line]
    return (errors or lines or ["it said nothing"])[-1][:300]


def _alive(request: Mapping[str, Any]) -> dict[str, Any]:
    """Tell which nodes run, each given as process number and start time, and with the right mark."""
    marked = set(marked_processes(request["mark"]))
    nodes = {name: Process(**process) for name, process in request["nodes"].items()}
    return {"alive": [name for name, process in nodes.items() if process in marked and is_alive(process)]}


def _stop(request: Mapping[str, Any]) -> dict[str, Any]:
    """End the processes of some marks, and remove what they kept on the disk, but for the logs of a cluster."""
    found = {path for mark in request["marks"] for path in _temp_folders(mark)}
    ended = sum(map(end_processes, request["marks"]))
    folders = [Path(path) for path in sorted({*request["remove"], *found}) if re.fullmatch(TEMP_PATTERN, path)]
    logs = _keep_logs(request["name"], folders) if request.get("name") else None
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    return {"ended": ended, "logs": None if logs is None else str(logs)}


def _keep_logs(name: str, folders: Sequence[Path]) -> Path | None:
    """Move the logs of a cluster's nodes and of its sessions of Ray, jobs' among them, and return where to."""
    sessions = [
        path for folder in folders for path in folder.glob("ray/session_*/logs") if not path.parent.is_symlink()
    ]
    nodes = [*cluster_folder(name).glob("*.log")]
    if not sessions and not nodes:
        return None
    kept = logs_folder(name)
    target = kept / time.strftime("%Y%m%d-%H%M%S")
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(OSError):  # a full disk keeps no cluster alive
        for path in nodes:
            shutil.move(path, target / path.name)
        for path in sessions:
            shutil.move(path, target / path.parent.name)
    for old in sorted(path for path in kept.iterdir() if path.is_dir())[:-KEPT_LOGS]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _find(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many processes carry a mark."""
    return {"processes": len(marked_processes(request["mark"]))}


def _temp_folders(mark: str) -> set[str]:
    """Return the folders of Ray's sockets and logs that the processes of a mark were told of."""
    arguments = b"\0".join(map(arguments_of, marked_processes(mark)))
    return set(re.findall(rf"--temp-dir=({TEMP_PATTERN})/ray", os.fsdecode(arguments)))


def _make_temp(request: Mapping[str, Any]) -> dict[str, Any]:
    """Make a folder, closed to others, for the one of Ray's sockets and logs, which Ray opens to all.

    It is short, since paths of sockets are limited.
    """
    return {"path": tempfile.mkdtemp(prefix="wormwood-", dir="/tmp")}


_TASKS = {
    "inspect": _inspect,
    "start": _start,
    "alive": _alive,
    "find": _find,
    "stop": _stop,
    "temp": _make_temp,
}


def busy_ports(ports: Sequence[int]) -> list[int]:
    """Return those of the ports on which something listens already."""
    return [port for port in ports if port and not _is_free(port)]


def free_port(taken: Sequence[int]) -> int:
    """Return a port that is free now, and none of ``taken``."""
    while True:
        port = secrets.choice(OWN_PORTS)
        if port not in taken and _is_free(port):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


if __name__ == "__main__":
    print(json.dumps(answer(json.load(sys.stdin))))
