"""The life of a local cluster, played in a namespace by test_local_cluster.py; prints one JSON object.

python play_cluster.py FOLDER
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wormwood.launch.clusters.start_node import loopback_environment

COMMAND = [sys.executable, "-m", "wormwood.launch.command_line"]
TINY = [
    "swim-ncap-ppo",
    *("--set", "body=swimmer-4", "--set", "task_options.horizon=50"),
    *("--set", "learner.environments=8", "--set", "learner.steps=32"),
]
ITERATIONS = 300
CONNECT = """
import sys
import ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
    print("in" if ray.is_initialized() else "out")
except BaseException as error:
    print(f"refused: {error}")
"""


def run(*words: str) -> dict[str, Any]:
    done = subprocess.run([*COMMAND, *words, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refused(*words: str) -> tuple[str, float]:
    began = time.monotonic()
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr.strip(), time.monotonic() - began


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def http_status(url: str, token: str | None) -> str:
    command = ["curl", "--silent", "--output", os.devnull, "--write-out", "%{http_code}", url]
    header = [] if token is None else ["--header", f"Authorization: Bearer {token}"]
    return subprocess.run([*command, *header], capture_output=True, text=True, check=False).stdout


def listening() -> list[str]:
    """Return the addresses on which anything in this namespace listens."""
    shown = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
    return sorted({re.sub(r":\d+$", "", line.split()[3]) for line in shown.splitlines()})


def try_address(address: str, token: Path | None, folder: Path) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    own |= {"HOME": str(folder / "nobody"), **loopback_environment("127.0.0.1")}
    if token is not None:
        own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, address], env=own, capture_output=True, text=True, timeout=120, check=False
    )
    return (done.stdout.splitlines() or ["died"])[-1]


def start(file: Path, found: dict[str, Any]) -> dict[str, Any]:
    up = run("cluster", "up", str(file))
    found["nodes"] = [(node["name"], node["state"]) for node in up["nodes"]]
    found["listening"] = listening()
    token = Path(up["token"])
    found["token_mode"] = f"{token.stat().st_mode & 0o777:o}"
    arguments = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    found["token_in_arguments"] = token.read_text() in arguments
    return up


def try_doors(up: dict[str, Any], folder: Path, found: dict[str, Any]) -> None:
    """Knock at each port without a token, with a wrong one, and with the right one."""
    token, wrong = Path(up["token"]), folder / "wrong"
    wrong.write_text("0" * 64)
    jobs = f"{up['dashboard']}/api/jobs/"
    found["job_api"] = [http_status(jobs, own) for own in (None, "0" * 64, token.read_text())]
    found["gcs"] = [try_address(up["address"], own, folder) for own in (None, wrong, token)]
    found["client"] = [try_address(up["client"], own, folder) for own in (None, wrong, token)]


def send(file: Path, out: Path) -> str:
    """Send a training, wait until it is well under way, and return the job."""
    words = ["train", *TINY, "--set", f"iterations={ITERATIONS}", "--out", str(out)]
    job = run("cluster", "submit", str(file), "--detach", *words)["job"]
    wait_for(lambda: count_iterations(out) > 3)
    return str(job)


def count_iterations(out: Path) -> int:
    metrics = out / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def sha256_of(file: Path, job: str) -> str:
    return str(run("cluster", "submit", str(file), "--follow", job)["result"]["state_sha256"])


def lose_nodes(file: Path, up: dict[str, Any], folder: Path, found: dict[str, Any]) -> None:
    """Kill a node in the middle of a training, have another one come, and then lose the head."""
    job = send(file, folder / "elastic")
    os.kill(next(node["process"] for node in up["nodes"] if node["name"] == "cpu-1"), signal.SIGKILL)
    found["killed_in_the_middle"] = count_iterations(folder / "elastic") < ITERATIONS
    again = run("cluster", "up", str(file))
    found["nodes_again"] = [(node["name"], node["state"]) for node in again["nodes"]]
    found["sha256"] = sha256_of(file, job)
    job = send(file, folder / "revived")
    os.kill(again["nodes"][0]["process"], signal.SIGKILL)
    wait_for(lambda: run("cluster", "status", str(file))["state"] == "head lost")
    run("cluster", "up", str(file))
    found["sha256_after_loss_of_the_head"] = sha256_of(file, job)


def end(file: Path, found: dict[str, Any]) -> None:
    script = "import time; time.sleep(600)"
    bystander = subprocess.Popen([sys.executable, "-c", script, "raylet", "gcs_server"])
    found["down"] = run("cluster", "down", str(file))["was_running"]
    found["bystander_lives"] = bystander.poll() is None
    bystander.kill()
    bystander.wait()
    left = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout
    found["left"] = [line for line in left.splitlines() if "raylet" in line or "gcs_server" in line or "ray::" in line]
    found["down_again"] = run("cluster", "down", str(file))["was_running"]


def main(folder: Path) -> None:
    found: dict[str, Any] = {}
    file = folder / "two.yaml"
    file.write_text("{kind: local, name: two, head: {cpus: 0}, workers: {cpu: {count: 2, cpus: 1}}}\n")
    up = start(file, found)
    try_doors(up, folder, found)
    lose_nodes(file, up, folder, found)
    # A port that is taken, by a stranger's program.
    with socket.create_server(("127.0.0.1", 29_999)):
        other = folder / "other.yaml"
        other.write_text("{kind: local, name: other, ports: {gcs: 29999}}\n")
        found["busy"] = refused("cluster", "up", str(other))
    end(file, found)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
