"""The hosts of a cluster: this machine, or one that ssh reaches."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from wormwood.errors import BadInput, bad_input
from wormwood.launch.clusters.files import LocalCluster, SshCluster
from wormwood.launch.clusters.host_agent import answer, busy_ports, free_port
from wormwood.launch.storage.json_files import parse_json

__all__ = ["Host", "LocalHost", "SshHost", "ask_all", "dashboard_url", "host_at"]

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 5
"""Within which a host has to answer ssh."""


class Host(Protocol):
    """Where nodes are started."""

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Have something done; see ``host_agent.answer``.

        Raises:
            BadInput: the host cannot be reached or cannot do it.
        """


class LocalHost:
    """This machine."""

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return _checked(answer(request), where="this machine")


class SshHost:
    """A machine that lets us in without a password."""

    def __init__(self, address: str, cluster: SshCluster) -> None:
        """Name the host; nothing is connected yet."""
        self._address, self._cluster = address, cluster

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        # ssh joins its arguments with spaces for the shell of the host.
        remote = shlex.join([self._cluster.python, "-m", "wormwood.launch.clusters.host_agent"])
        command = [*ssh_command(self._cluster), _target(self._address, self._cluster), remote]
        done = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True, check=False)
        try:
            given: dict[str, Any] = parse_json(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            got = lines[-1].strip() if lines else f"code {done.returncode}"
            expected = f"a host that ssh enters without a password, with the package in {self._cluster.python}"
            raise bad_input("host", where=self._address, expected=expected, got=got) from None
        return _checked(given, where=self._address)


def _checked(given: dict[str, Any], *, where: str) -> dict[str, Any]:
    if "error" in given:
        raise BadInput(f"{where}: {given['error']}")
    return given


def ssh_command(cluster: SshCluster) -> list[str]:
    """Return ssh with its options."""
    safe = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}", "-o", "ServerAliveInterval=15"]
    return ["ssh", *safe, *cluster.options]


def _target(address: str, cluster: SshCluster) -> str:
    return f"{cluster.user}@{address}" if cluster.user else address


def host_at(address: str, cluster: LocalCluster | SshCluster) -> Host:
    """Return the host of an address."""
    return SshHost(address, cluster) if isinstance(cluster, SshCluster) else LocalHost()


def ask_all(hosts: Mapping[str, Host], requests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Ask several hosts at once, and return what each answered.

    Raises:
        BadInput: one of them cannot do it; all others have finished by then.
    """
    if not requests:
        return {}
    with ThreadPoolExecutor(min(32, len(requests))) as threads:
        asked = {address: threads.submit(hosts[address].ask, request) for address, request in requests.items()}
    return {address: future.result() for address, future in asked.items()}


@contextlib.contextmanager
def dashboard_url(cluster: LocalCluster | SshCluster, head: str, port: int) -> Iterator[str]:
    """Give the URL of dashboard and job API, which listen on the loopback interface of the head only."""
    if not isinstance(cluster, SshCluster):
        yield f"http://{LOOPBACK}:{port}"
        return
    local_port = free_port([])
    forward = ["-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{LOOPBACK}:{local_port}:{LOOPBACK}:{port}"]
    with _running([*ssh_command(cluster), *forward, _target(head, cluster)]) as tunnel:
        deadline = time.monotonic() + CONNECT_SECONDS + 1
        while not busy_ports([local_port]):
            if tunnel.poll() is not None or time.monotonic() > deadline:
                raise bad_input("host", where=head, expected="one that forwards a port", got=f"code {tunnel.poll()}")
            time.sleep(0.05)
        yield f"http://{LOOPBACK}:{local_port}"


@contextlib.contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
