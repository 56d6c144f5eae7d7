"""A cluster of two hosts whose network breaks, played in a namespace by test_partition.py; prints one JSON object.

python play_partition.py FOLDER TLS

The hosts are two network namespaces joined by a cable. TLS: the files, as JSON.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COMMAND = [sys.executable, "-m", "wormwood"]
HEAD, FAR = "10.8.0.1", "10.8.0.2"
NOBODY = "02:00:00:00:00:99"
"""Address of no network card: what is sent to it is lost without a word."""
SECONDS = 10.0
TRAINING = [
    *("train", "swim-ncap-ppo", "--set", "iterations=100"),
    *("--set", "body=swimmer-4", "--set", "task_options.horizon=50"),
    *("--set", "learner.environments=8", "--set", "learner.steps=32"),
]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def lay_cable() -> None:
    for name in ("head", "far"):
        ip("netns", "add", name)
    ip("link", "add", "head0", "netns", "head", "type", "veth", "peer", "name", "far0", "netns", "far")
    for name, address in (("head", HEAD), ("far", FAR)):
        ip("-n", name, "addr", "add", f"{address}/24", "dev", f"{name}0")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "link", "set", f"{name}0", "up")


def break_network() -> None:
    ip("-n", "head", "neigh", "replace", FAR, "lladdr", NOBODY, "dev", "head0", "nud", "permanent")
    ip("-n", "far", "neigh", "replace", HEAD, "lladdr", NOBODY, "dev", "far0", "nud", "permanent")


def mend_network() -> None:
    ip("-n", "head", "neigh", "del", FAR, "dev", "head0")
    ip("-n", "far", "neigh", "del", HEAD, "dev", "far0")


def run(*words: str) -> dict[str, Any]:
    done = subprocess.run([*COMMAND, *words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def count_iterations(out: Path) -> int:
    metrics = out / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def main(folder: Path, tls: dict[str, str]) -> None:
    found: dict[str, Any] = {}
    lay_cable()
    file, out = folder / "pair.yaml", folder / "run"
    hosts = f"head: {{host: {HEAD}, cpus: 0}}, workers: {{far: {{host: {FAR}, cpus: 1}}}}, python: {sys.executable}"
    file.write_text(f"{{kind: ssh, name: pair, {hosts}, object_store_mib: 100, tls: {json.dumps(tls)}}}\n")
    up = run("cluster", "up", str(file))
    found["nodes"] = [(node["name"], node["host"], node["state"]) for node in up["nodes"]]
    job = run("cluster", "submit", str(file), "--detach", *TRAINING, "--out", str(out))["job"]
    wait_for(lambda: count_iterations(out) > 3)
    break_network()
    before = count_iterations(out)
    time.sleep(SECONDS)
    found["done_while_broken"] = count_iterations(out) - before
    mend_network()
    found["sha256"] = run("cluster", "submit", str(file), "--follow", job)["result"]["state_sha256"]
    found["down"] = run("cluster", "down", str(file))["was_running"]
    shown = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout
    # Those that only wait to be buried have ended.
    lines = [line for line in shown.splitlines() if "<defunct>" not in line]
    found["left"] = [line for line in lines if "raylet" in line or "gcs_server" in line or "ray::" in line]
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
