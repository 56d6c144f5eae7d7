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
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from wormwood.errors import BadInput
from wormwood.launch.run.loopback import loopback_environment
from wormwood.launch.storage.mirrors import local_copy

COMMAND = [sys.executable, "-m", "wormwood"]
TINY = [
    "swim-ncap-ppo",
    *("--set", "body=swimmer-4", "--set", "task_options.horizon=50"),
    *("--set", "learner.environments=8", "--set", "learner.steps=32"),
]
ITERATIONS = 300
JOBS = {
    "boosted": [
        *("train", "swim-boosted-ppo", "--set", "iterations=2", "--set", "learner.batch_size=64"),
        *TINY[1:],
    ],
    "memory": [
        *("train", "bandit-5-10-fastslow", "--set", "iterations=2"),
        *("--set", "learner.environments=16", "--set", "evaluation_episodes=20"),
    ],
    "own": [
        *("train", str(Path(__file__).parents[3] / "examples" / "own_agent.yaml"), "--set", "iterations=2"),
        *("--set", "task_options.horizon=50"),
    ],
    "transfer": ["transfer", "ncap", "random", "--suite", "small.yaml", "--seeds", "2"],
}
SUITE = """
task_options: {horizon: 50}
axes: {links: 6}
bodies: [{label: home, body: swimmer-6}, {label: extrapolation, axis: links, value: 4, body: swimmer-4}]
"""
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
    variables = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    variables |= {"HOME": str(folder / "nobody"), **loopback_environment("127.0.0.1")}
    if token is not None:
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, address],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = [line for line in done.stdout.splitlines() if line.strip()]
    return " | ".join(said[-8:]) if said else f"died: {done.stderr[-500:]}"


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
    found["job_api"] = [http_status(jobs, secret) for secret in (None, "0" * 64, token.read_text())]
    found["gcs"] = [try_address(up["address"], secret, folder) for secret in (None, wrong, token)]
    found["client"] = [try_address(up["client"], secret, folder) for secret in (None, wrong, token)]


def serve_s3() -> str:
    """Start a server that speaks S3, tell this process and its children of it, and return the URL of a bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "worm", "AWS_SECRET_ACCESS_KEY": "wood", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(keys, AWS_ENDPOINT_URL=f"http://{host}:{port}")
    boto3.client("s3").create_bucket(Bucket="runs")
    return "s3://runs"


def send(file: Path, out: str) -> str:
    """Send a training, wait until it is well under way, and return the job."""
    words = ["train", *TINY, "--set", f"iterations={ITERATIONS}", "--out", out]
    job = run("cluster", "submit", str(file), "--detach", *words)["job"]
    wait_for(lambda: count_iterations(out) > 3)
    return str(job)


def count_iterations(out: str) -> int:
    try:
        with local_copy(out, leave_out="checkpoints") as folder:
            metrics = folder / "metrics.jsonl"
            return len(metrics.read_text().splitlines()) if metrics.exists() else 0
    except BadInput as error:  # the job has not begun to write
        assert "there is nothing at" in str(error), error
        return 0


def sha256_of(file: Path, job: str) -> str:
    return str(run("cluster", "submit", str(file), "--follow", job)["result"]["state_sha256"])


def do_every_kind(file: Path, folder: Path, found: dict[str, Any]) -> None:
    """Have the cluster do a job of each kind, all at once, and do the same without it."""
    (folder / "small.yaml").write_text(SUITE)
    jobs = {kind: run("cluster", "submit", str(file), "--detach", *words) for kind, words in JOBS.items()}
    for kind, job in jobs.items():
        ended = run("cluster", "submit", str(file), "--follow", job["job"])["result"]
        alone = run(*JOBS[kind], "--out", str(folder / f"{kind}-alone"))
        key = "rows" if kind == "transfer" else "state_sha256"
        found[kind] = [ended[key], alone[key]]
        found["shown"] = [*found.get("shown", []), (folder / "runs" / Path(job["run"]).name).is_dir()]


def lose_nodes(file: Path, up: dict[str, Any], folder: Path, bucket: str, found: dict[str, Any]) -> None:
    """Kill a node in the middle of a training, have another one come, and then lose the head in the middle of two."""
    job = send(file, f"{folder}/elastic")
    status = run("cluster", "status", str(file))
    found["usage"] = {"learner": status["learner"], **{node["name"]: node for node in status["nodes"]}}
    os.kill(next(node["process"] for node in up["nodes"] if node["name"] == "cpu-1"), signal.SIGKILL)
    found["killed_in_the_middle"] = count_iterations(f"{folder}/elastic") < ITERATIONS
    again = run("cluster", "up", str(file))
    found["nodes_again"] = [(node["name"], node["state"]) for node in again["nodes"]]
    found["sha256"] = sha256_of(file, job)
    jobs = [send(file, out) for out in (f"{folder}/revived", f"{bucket}/revived")]
    os.kill(again["nodes"][0]["process"], signal.SIGKILL)
    wait_for(lambda: run("cluster", "status", str(file))["state"] == "head lost")
    run("cluster", "up", str(file))
    found["sha256_after_loss_of_the_head"] = [sha256_of(file, job) for job in jobs]
    lines = Path(folder, "revived", "ledger.jsonl").read_text(encoding="utf-8").splitlines()
    found["ledger_lines_twice"] = len(lines) - len(set(lines))
    statuses = {job["job"]: job["status"] for job in run("cluster", "status", str(file))["jobs"]}
    found["ended_before_the_loss"] = statuses[job["job"]]


FOREIGN_PORT = 6390
ASK_FOREIGN = f"""
import ray
ray.init(address="10.9.0.1:{FOREIGN_PORT}", log_to_driver=False, logging_level="ERROR")
print(ray.get(ray.remote(lambda: 6 * 7).remote()))
"""


def start_foreign(folder: Path) -> subprocess.Popen[bytes]:
    """Start a Ray that is not ours, as its own documentation says."""
    words = ["start", "--head", "--block", f"--port={FOREIGN_PORT}", "--num-cpus=1", "--include-dashboard=false"]
    temp = tempfile.mkdtemp(prefix="foreign-", dir="/tmp")
    command = [sys.executable, "-m", "ray.scripts.scripts", *words, "--object-store-memory=80000000"]
    with (folder / "foreign.log").open("wb") as log:
        return subprocess.Popen([*command, f"--temp-dir={temp}"], env=foreign_environment(), stdout=log, stderr=log)


def foreign_environment() -> dict[str, str]:
    return {**os.environ, "RAY_AUTH_MODE": "disabled"}


def ask_foreign() -> str:
    command = [sys.executable, "-c", ASK_FOREIGN]
    done = subprocess.run(command, env=foreign_environment(), capture_output=True, text=True, timeout=300, check=False)
    return done.stdout.strip() or done.stderr[-500:]


def live_side_by_side(file: Path, folder: Path, found: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start another cluster and a foreign Ray, end the other cluster, and see that the rest lives."""
    foreign = start_foreign(folder)
    other = folder / "beside.yaml"
    other.write_text("{kind: local, name: beside, head: {cpus: 1}}\n")
    found["beside"] = run("cluster", "up", str(other))["state"]
    found["down_beside"] = run("cluster", "down", str(other))["processes_ended"]
    status = run("cluster", "status", str(file))
    found["nodes_beside"] = [(node["name"], node["state"]) for node in status["nodes"]]
    wait_for(lambda: "Ray runtime started" in (folder / "foreign.log").read_text())
    return foreign


def end(file: Path, foreign: subprocess.Popen[bytes], found: dict[str, Any]) -> None:
    script = "import time; time.sleep(600)"
    bystander = subprocess.Popen([sys.executable, "-c", script, "raylet", "gcs_server"])
    found["down"] = run("cluster", "down", str(file))["was_running"]
    found["bystander_lives"] = bystander.poll() is None
    found["foreign_answers"] = ask_foreign()
    for process in (bystander, foreign):
        process.terminate()
        process.wait()
    left = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=True).stdout
    found["left"] = [line for line in left.splitlines() if "raylet" in line or "gcs_server" in line or "ray::" in line]
    found["down_again"] = run("cluster", "down", str(file))["was_running"]


def main(folder: Path) -> None:
    found: dict[str, Any] = {}
    file = folder / "two.yaml"
    file.write_text("{kind: local, name: two, head: {cpus: 0}, workers: {cpu: {count: 2, cpus: 1}}}\n")
    bucket = serve_s3()
    up = start(file, found)
    try_doors(up, folder, found)
    do_every_kind(file, folder, found)
    lose_nodes(file, up, folder, bucket, found)
    # A port that is taken, by a stranger's program.
    with socket.create_server(("127.0.0.1", 29_999)):
        other = folder / "other.yaml"
        other.write_text("{kind: local, name: other, ports: {gcs: 29999}}\n")
        found["busy"] = refused("cluster", "up", str(other))
    end(file, live_side_by_side(file, folder, found), found)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
