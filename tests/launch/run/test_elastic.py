"""Nodes that come and go in the middle of a run, and folders that take no more writing."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from wormwood.launch.run.ray_session import NAMESPACE
from wormwood.launch.run.run_folder import RunFolder, read_metrics
from wormwood.launch.run.status import audit_run
from wormwood.launch.storage.checkpoints import list_checkpoints, load_checkpoint

HEALTH_CHECKS = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 3,
}
COMMAND = [sys.executable, "-m", "wormwood"]


def _wait_for(condition: Callable[[], bool], *, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def _cluster() -> Iterator[Cluster]:
    """A head that only keeps order, and no workers' node yet."""
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "_system_config": HEALTH_CHECKS})
    try:
        ray.init(address=nodes.address, namespace=NAMESPACE, log_to_driver=False, logging_level="ERROR")
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


def _rollouts(folder: RunFolder) -> dict[str, int]:
    """Return how many rollouts each process of a worker has made, as the run tells."""
    with contextlib.suppress(FileNotFoundError):
        workers = json.loads(folder.workers.read_text())["workers"]
        return {str(worker.get("process")): worker["rollouts"] for worker in workers if worker.get("process")}
    return {}


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_run_goes_on_while_a_node_comes_and_the_first_one_goes(tmp_path: Path, make_config, train_in) -> None:
    config = make_config("ppo", "iterations=400", "checkpoint_every=50")
    alone = train_in(tmp_path / "alone", config)
    folder = RunFolder(tmp_path / "elastic")

    def done() -> int:
        return len(read_metrics(folder.metrics))

    with _cluster() as nodes, ThreadPoolExecutor(1) as thread:
        first = nodes.add_node(num_cpus=1)
        training = thread.submit(train_in, folder.path, config, workers=2)
        _wait_for(lambda: done() >= 2 or training.done())
        assert len(_rollouts(folder)) == 1, "one processor, one worker"
        nodes.add_node(num_cpus=1)
        _wait_for(lambda: len(_rollouts(folder)) == 2 or training.done())
        assert not training.done(), "the second node came in the middle of the run"
        nodes.remove_node(first, allow_graceful=False)
        lost_at = done()
        _wait_for(lambda: done() > lost_at + 2 or training.done())
        assert not training.done(), "the first node went in the middle of the run"
        summary = training.result()
    assert summary["state_sha256"] == alone["state_sha256"]
    assert [line["iteration"] for line in read_metrics(folder.metrics)] == list(range(1, 401))
    assert audit_run(folder).iterations == 400


def _train(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [*COMMAND, "train", *more, "--out", str(folder), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_second_writer_is_refused_in_one_line_and_the_first_goes_on(tmp_path: Path, make_config, train_in) -> None:
    config, run = make_config("cma-es", "iterations=20"), tmp_path / "run"
    (tmp_path / "small.yaml").write_text(config.to_yaml())
    alone = train_in(tmp_path / "alone", config)
    first = _train(run, str(tmp_path / "small.yaml"))
    _wait_for(lambda: (run / "metrics.jsonl").exists())
    first.send_signal(signal.SIGSTOP)  # so that it cannot be done before the second comes
    try:
        second = _train(run, "--resume")
        _, said = second.communicate(timeout=60)
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGCONT)
    assert second.returncode == 2
    assert f"the run {run} is being written by process {first.pid} on " in said
    assert len(said.splitlines()) == 1
    _, said = first.communicate(timeout=100)
    assert first.returncode == 0, said
    summary = RunFolder(run).read_summary()
    assert summary is not None and summary["state_sha256"] == alone["state_sha256"]
    assert audit_run(RunFolder(run)).iterations == 20


def _in_a_namespace(script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script where what it mounts is seen by nobody else."""
    if os.geteuid() != 0:
        pytest.skip("mounting takes root")
    probe = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    if probe.returncode:
        pytest.skip("this machine does not let root mount in a namespace of its own")
    command = ["unshare", "--mount", "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_run_on_a_read_only_file_system_is_refused_in_one_line_and_stays_as_it_was(
    tmp_path: Path, make_config, train_in
) -> None:
    run, config = tmp_path / "run", make_config("cma-es")
    summary = train_in(run, config)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    read_only = f"mount --bind {run} {run} && mount -o remount,ro,bind {run} && "
    done = _in_a_namespace(f"{read_only} {' '.join(COMMAND)} train --out {run} --resume --set iterations=5 --json")
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"cannot write to the output folder {run}: Read-only file system" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not done.stdout
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    newest = load_checkpoint(list_checkpoints(run / "checkpoints")[-1])
    assert newest.state_sha256 == summary["state_sha256"]


SAVE_SEGMENTS = """
import sys
from pathlib import Path
import numpy as np
from wormwood.launch.storage.checkpoints import CheckpointError, load_newest, save_checkpoint
def state(step):
    return {f"replay/segments/{k}/rewards": np.full(50_000, k, np.float32) for k in range(step)}
directory = Path(sys.argv[1])
save_checkpoint(directory, 2, state(2), {}, keep=1)
before = sorted(path.name for path in (directory / "segments").iterdir())
try:
    save_checkpoint(directory, 9, state(9), {}, keep=1)
except CheckpointError as error:
    print(error)
found = load_newest(directory, on_skip=print)
print(found.step, len(found.state), set(before) <= {path.name for path in (directory / "segments").iterdir()})
print(any(path.name.startswith(".") for path in directory.rglob("*")))
save_checkpoint(directory, 3, state(3), {}, keep=1)
print(load_newest(directory, on_skip=print).step, len(list((directory / "segments").iterdir())))
"""


def test_a_disk_that_fills_up_among_the_segments_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "save.py").write_text(SAVE_SEGMENTS)
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path}/disk && "
    done = _in_a_namespace(f"{mount} {sys.executable} {tmp_path}/save.py {tmp_path}/disk/checkpoints")
    assert done.stdout.splitlines() == [
        f"cannot write checkpoint {tmp_path}/disk/checkpoints/step-9: No space left on device",
        "2 2 True",
        "False",
        "3 3",
    ], done.stdout + done.stderr


@pytest.mark.slow
def test_somebody_elses_cluster_in_the_environment_is_left_alone(tmp_path: Path) -> None:
    small = ["swim-ncap-es", "--set", "iterations=2", "--set", "task_options.horizon=20", "--json"]
    hashes = set()
    for workers, more in (("0", {}), ("1", {"RAY_ADDRESS": "127.0.0.1:1", "RAY_NAMESPACE": "theirs"})):
        done = subprocess.run(
            [*COMMAND, "train", *small, "--workers", workers, "--out", str(tmp_path / workers)],
            env={**os.environ, **more}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        hashes.add(json.loads(done.stdout)["state_sha256"])
    assert len(hashes) == 1


@pytest.mark.slow
def test_events_after_a_kill_have_each_step_once(tmp_path: Path) -> None:
    run = tmp_path / "run"
    many = ["--set", "iterations=40", "--set", "checkpoint_every=5", "--set", "task_options.horizon=200"]
    killed = _train(run, "swim-ncap-es", *many, "--tensorboard")
    _wait_for(lambda: len(read_metrics(run / "metrics.jsonl")) >= 7)
    killed.kill()
    killed.communicate()
    subprocess.run([*COMMAND, "train", "--out", str(run), "--resume", "--tensorboard"], check=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("iteration")] == [*range(1, 41)]
