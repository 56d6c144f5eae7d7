"""Kill workers, the learner service, the driver and nodes in the middle of trainings, and compare the final states.

    python benchmarks/chaos.py workers service driver nodes [--preset swim-ncap-ppo] [--kills 10] [--iterations 120]

Each kind of death is one run, beside an undisturbed run in one process. A row says how often it struck, how long the
run took to recover, and whether final state and ledger are those of the undisturbed run; the exit code is 1 where
one is not. Only processes that these runs started are killed.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from wormwood.launch.cli.console import note, print_table
from wormwood.launch.run.ray_service import service_process
from wormwood.launch.run.ray_session import NAMESPACE, ray_session
from wormwood.launch.run.run_folder import Run, RunFolder, read_metrics
from wormwood.launch.run.settings import RunConfig, load_config
from wormwood.launch.run.status import run_status
from wormwood.launch.run.training import train

WORKERS = 3
PATIENCE = 120.0  # s to wait for anything
HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 3,
}


def strike_at_random(folder: RunFolder, strike: Callable[[], Callable[[], bool]], kills: int) -> list[float]:
    """Strike while a run goes on, and return the seconds that each recovery took.

    ``strike`` kills something and returns what tells whether the run has recovered from it.
    """
    chance, recoveries = random.Random(0), []
    wait_for(lambda: len(read_metrics(folder.metrics)) >= 2)
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, 0.5))
        recovered, struck = strike(), time.monotonic()
        wait_for(recovered)
        recoveries.append(time.monotonic() - struck)
    return recoveries


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the run has not recovered")
        time.sleep(0.01)


def workers_of(folder: RunFolder) -> list[dict[str, Any]]:
    return [worker for worker in run_status(folder)["workers"] if worker.get("process")]


def grown(folder: RunFolder) -> Callable[[], bool]:
    """Tell whether the run has made an update since now."""
    last = read_metrics(folder.metrics)[-1]
    return lambda: read_metrics(folder.metrics)[-1] != last and len(read_metrics(folder.metrics)) >= last["iteration"]


def kill_worker(folder: RunFolder) -> Callable[[], bool]:
    """Kill one worker; recovered is when it, or another in its place, has worked."""
    victim = random.choice(workers_of(folder))
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim["process"], signal.SIGKILL)
    return lambda: any(w["name"] == victim["name"] and w["process"] != victim["process"] for w in workers_of(folder))


def kill_service(folder: RunFolder) -> Callable[[], bool]:
    """Kill the learner service; recovered is when an update has been made."""
    recovered = grown(folder)
    os.kill(service_process(), signal.SIGKILL)
    return recovered


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A head that only keeps order, and two nodes with workers."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": HEALTH_CHECKS})
    for _ in range(2):
        nodes.add_node(num_cpus=2)
    ray.init(address=nodes.address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
    try:
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def kill_node(nodes: Cluster, folder: RunFolder) -> Callable[[], bool]:
    """Let a node die and another one come; recovered is when an update has been made."""
    recovered = grown(folder)
    nodes.remove_node(random.choice(list(nodes.worker_nodes)), allow_graceful=False)
    nodes.add_node(num_cpus=2)
    return recovered


def train_under(
    strike: Callable[[RunFolder], Callable[[], bool]], out: Path, config: RunConfig, kills: int
) -> list[float]:
    """Train in a thread, and strike from the main one, where Ray starts nodes."""
    with Run.create(out, config.to_yaml()) as run, ThreadPoolExecutor(1) as thread:
        training = thread.submit(train, run, config, workers=WORKERS)
        recoveries = strike_at_random(run, lambda: strike(run), kills)
        if training.done():
            raise RuntimeError("the run ended before the last kill: take more --iterations")
        training.result()
    return recoveries


def train_with_driver_killed(out: Path, config: RunConfig, kills: int) -> list[float]:
    """Kill the driver, and go on with --resume; recovered is when an update has been made."""
    (out.parent / "driver.yaml").write_text(config.to_yaml())
    recoveries, chance = [], random.Random(0)
    for attempt in range(kills + 1):
        start = ["--resume"] if attempt else [str(out.parent / "driver.yaml")]
        command = [sys.executable, "-m", "wormwood", "train", *start, "--out", str(out)]
        before, began = len(read_metrics(out / "metrics.jsonl")), time.monotonic()
        process = subprocess.Popen([*command, "--workers", "2", "--json"], stdout=subprocess.DEVNULL)
        if attempt < kills:
            wait_for(lambda before=before: len(read_metrics(out / "metrics.jsonl")) > before)
            recoveries += [time.monotonic() - began] if attempt else []
            time.sleep(chance.uniform(0.05, 1.0))
            process.kill()
        process.wait()
    return recoveries


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deaths", nargs="+", choices=("workers", "service", "driver", "nodes"))
    parser.add_argument("--preset", default="swim-ncap-ppo")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=120)
    options = parser.parse_args()
    config = load_config(options.preset, overrides=[*options.overrides, f"iterations={options.iterations}"])
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        with Run.create(out / "alone", config.to_yaml()) as run:
            expected = train(run, config)["state_sha256"]
        rows = []
        for death in options.deaths:
            note(f"killing {death}")
            recoveries = run_one(death, out / death, config, options.kills)
            status, summary = run_status(RunFolder(out / death)), RunFolder(out / death).read_summary()
            same = summary is not None and summary["state_sha256"] == expected
            complete = status["ledger"].startswith("complete")
            slowest, middle = max(recoveries), sorted(recoveries)[len(recoveries) // 2]
            rows.append((death, options.kills, f"{middle:.1f}", f"{slowest:.1f}", same, complete))
    columns = ["killed", "times", "recovery, median (s)", "slowest (s)", "same state", "ledger complete"]
    print_table(f"{options.preset}, {options.iterations} iterations, state {expected[:12]}", columns, rows)
    return 0 if all(same and complete for *_, same, complete in rows) else 1


def run_one(death: str, out: Path, config: RunConfig, kills: int) -> list[float]:
    if death == "driver":
        return train_with_driver_killed(out, config, kills)
    if death == "nodes":
        with cluster() as nodes:
            return train_under(lambda run: kill_node(nodes, run), out, config, kills)
    with ray_session(WORKERS):
        return train_under(kill_worker if death == "workers" else kill_service, out, config, kills)


if __name__ == "__main__":
    sys.exit(main())
