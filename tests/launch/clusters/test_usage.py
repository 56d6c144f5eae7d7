"""What the nodes of a cluster do."""

import json
from pathlib import Path

from wormwood.launch.clusters.api import LEARNER, RayActor
from wormwood.launch.clusters.usage import RunSpeed, node_usage, read_run_speed
from wormwood.launch.run import ray_service

ACTORS = [
    RayActor("wormwood-worker-0", "cpu-0", 10, restarts=1),
    RayActor("wormwood-worker-1", "cpu-0", 11, restarts=2),
    RayActor("wormwood-worker-2", "cpu-1", 12, restarts=0),
    RayActor(LEARNER, "cpu-0", 13, restarts=5),
]


def test_the_speed_of_each_run_is_shared_out_by_the_steps_of_its_workers() -> None:
    steps = {"wormwood-worker-0": 100, "wormwood-worker-1": 200, "wormwood-worker-2": 100}
    one = RunSpeed(100.0, steps, {"wormwood-worker-0": 0.25, "wormwood-worker-1": 0.5}, 0.3)
    other = RunSpeed(50.0, {"wormwood-worker-2": 10}, {"wormwood-worker-0": 0.25, "wormwood-worker-2": 1.0}, 0.2)
    idle = RunSpeed(7.0, {"wormwood-worker-0": 0}, {}, 0.0)
    # cpu-0: 100 × (100 + 200) / 400, and workers that idle for 1 - 0.25 - 0.25 and 1 - 0.5 of the time.
    assert node_usage("cpu-0", ACTORS, [one, other, idle]) == {
        "workers": 2,
        "restarts": 3,
        "idle_share": 0.5,
        "steps_per_second": 75.0,
    }
    # cpu-1: 100 × 100 / 400 + 50.
    assert node_usage("cpu-1", ACTORS, [one, other, idle])["steps_per_second"] == 75.0
    assert node_usage("cpu-1", ACTORS, [one, other])["idle_share"] == 0.0
    assert node_usage("cpu-1", ACTORS, [])["steps_per_second"] is None
    assert node_usage("cpu-1", ACTORS, [])["idle_share"] == 1.0
    assert node_usage("cpu-1", ACTORS, [one], unknown=True)["idle_share"] is None
    assert node_usage("head", ACTORS, [one])["workers"] == 0


def test_the_speed_of_a_run_is_that_of_its_last_iterations(tmp_path: Path) -> None:
    assert read_run_speed(tmp_path / "none") is None
    # 30 iterations of 8 steps: the first ten take 5 s each, the others 0.5 s. Over the last 20: 160 steps in 10 s.
    seconds = [5.0 * k if k <= 10 else 50.0 + 0.5 * (k - 10) for k in range(1, 31)]
    lines = [{"iteration": k, "steps": 8 * k, "seconds": at} for k, at in enumerate(seconds, start=1)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_run_speed(tmp_path) is None
    worker = {"name": "worker-12", "steps": 240, "idle_share": 0.25}
    (tmp_path / "workers.json").write_text(json.dumps({"workers": [worker], "learner": {"idle_share": 0.5}}))
    assert read_run_speed(tmp_path) == RunSpeed(16.0, {"wormwood-worker-12": 240}, {"wormwood-worker-12": 0.75}, 0.5)


def test_actors_are_called_as_those_who_start_them_do() -> None:
    assert ray_service.NAME == LEARNER
