"""What is wrong with one of several hosts is said before anything starts on any of them."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from wormwood.launch.clusters.processes import MARK

PAIR = "kind: ssh, name: pair, head: {host: 127.0.0.1}, workers: {far: {host: 127.0.0.2}}"


def _up(folder: Path, more: str = "") -> str:
    """Start two hosts by the command line, which must refuse, and return the one line that it says."""
    file = folder / "pair.yaml"
    file.write_text(f"{{{PAIR}, python: {sys.executable}{more}}}")
    command = [sys.executable, "-m", "wormwood", "cluster", "up", str(file)]
    state = folder / "state"
    variables = {**os.environ, "WORMWOOD_STATE": str(state)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(state.glob("clusters/pair"))
    assert _started_under(state) == []
    return done.stderr


def _started_under(state: Path) -> list[str]:
    """Return the processes of clusters whose folder is ``state``."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = environment.read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        if f"WORMWOOD_STATE={state}".encode() in variables and f"{MARK}=".encode() in variables:
            found.append(environment.parent.name)
    return found


def test_a_host_with_another_version_of_a_package_is_named(stand_in_hosts: Any, tmp_path: Path) -> None:
    other = tmp_path / "other" / "numpy-0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    stand_in_hosts({"127.0.0.1": {}, "127.0.0.2": {"python_path": str(other.parent)}})
    installed = metadata.version("numpy")
    assert f"version of numpy in 127.0.0.2: expected {installed}, as on the head, got '0.1'" in _up(tmp_path)


@pytest.mark.parametrize(
    ("names", "days", "said"),
    [
        (["127.0.0.1"], (-1, 30), "the address 127.0.0.2 of a node in its SAN, got '127.0.0.1'"),
        (["127.0.0.1", "127.0.0.2"], (-9, -2), "expected one that is valid on"),
    ],
)
def test_a_certificate_that_would_make_ray_hang_is_refused_by_every_host(
    names: list[str], days: tuple[int, int], said: str, stand_in_hosts: Any, make_tls: Any, tmp_path: Path
) -> None:
    stand_in_hosts({"127.0.0.1": {}, "127.0.0.2": {}})
    tls = make_tls(tmp_path, *names, days=days)
    assert said in _up(tmp_path, f", tls: {json.dumps(tls)}")
