"""Training on Ray: the same bits with any number of workers, killed ones among them, and the original errors."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.launch.run.executors import InProcessExecutor, WorkerError
from wormwood.launch.run.ledger import fragment_sha256
from wormwood.launch.run.ray_service import RemoteService, service_process
from wormwood.launch.run.ray_session import ray_session
from wormwood.launch.run.ray_workers import RayExecutor
from wormwood.launch.run.rollouts import NonFiniteError
from wormwood.launch.run.run_folder import RunFolder, read_metrics
from wormwood.launch.run.service import LearnerService
from wormwood.launch.run.status import audit_run, run_status
from wormwood.launch.run.training import Watcher


@pytest.fixture(scope="module", autouse=True)
def _one_ray_for_all() -> Iterator[None]:
    with ray_session(3):
        # Workers know the classes of this file by value: they cannot import it.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield


SLOW = ("rl2", "td3", "sac", "modulated", "boosted", "kickstart", "two-memories")
SLOW_KINDS = [pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW]


@pytest.mark.parametrize("kind", ["cma-es", "ppo", "cart-pole", *SLOW_KINDS])
def test_the_final_state_does_not_depend_on_the_workers(kind, tmp_path, make_config, train_in) -> None:
    config = make_config(kind)
    summaries = [train_in(tmp_path / str(workers), config, workers=workers) for workers in (0, 1, 2, 3)]
    assert len({summary["state_sha256"] for summary in summaries}) == 1
    assert len({summary["return_mean"] for summary in summaries}) == 1
    assert [summary["workers"] for summary in summaries] == [0, 1, 2, 3]
    _check_load(run_status(RunFolder(tmp_path / "2")), summaries[2]["steps"])
    assert run_status(RunFolder(tmp_path / "0"))["learner_idle_share"] is None


def _check_load(status: dict[str, Any], steps: int) -> None:
    assert 0 < status["learner_idle_share"] < 1
    assert sum(worker["steps"] for worker in status["workers"]) == steps
    assert all(0 <= worker["idle_share"] <= 1 for worker in status["workers"])
    for worker in status["workers"]:
        assert (worker["steps_per_second"] > 0) == (worker["steps"] > 0)


@pytest.mark.parametrize(
    "kind", ["cart-pole", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("cma-es", "ppo", "boosted"))]
)
def test_workers_killed_in_the_middle_change_nothing(kind, tmp_path, make_config) -> None:
    config = make_config(kind, "iterations=6", "task_options.horizon=400" if kind == "cma-es" else "learner.steps=400")
    alone, killed = LearnerService(), LearnerService()
    for service in (alone, killed):
        service.create("run", config, tmp_path / str(id(service)))
    in_process, on_ray = InProcessExecutor(config.plan), RayExecutor(config.plan, 2)
    victims: set[int] = set()
    for _ in range(6):
        alone.receive("run", *in_process.start(alone.request("run")).result())
        alone.update("run")
        collection = on_ray.start(killed.request("run"))
        while not collection.done():
            working = {worker["process"] for worker in on_ray.status() if worker["state"] == "working"} - victims
            if working:
                victims.add(min(working))
                os.kill(min(working), signal.SIGKILL)
                break
            time.sleep(0.001)
        killed.receive("run", *ray.get(collection.result()))
        killed.update("run")
    on_ray.close()
    assert len(victims) >= 3
    assert killed.state_sha256("run") == alone.state_sha256("run")


def test_workers_keep_the_plans_of_several_runs_apart(make_config, tmp_path) -> None:
    with contextlib.ExitStack() as stack:
        for kind in ("ppo", "cart-pole"):
            config, service = make_config(kind), LearnerService()
            service.create("run", config, tmp_path / kind)
            request = service.request("run")
            on_ray = stack.enter_context(contextlib.closing(RayExecutor(config.plan, 1)))
            remote = ray.get(on_ray.start(request).result())
            alone = InProcessExecutor(config.plan).start(request).result()
            assert [fragment_sha256(f) for f, _ in remote] == [fragment_sha256(f) for f, _ in alone]


@dataclass(frozen=True)
class _Broken(Swim):
    """An environment of a user that fails."""

    def reward(self, readings, goal, action, timestep):
        raise ZeroDivisionError("the user's own mistake")


@dataclass(frozen=True)
class _Poisoned(Swim):
    def reward(self, readings, goal, action, timestep):
        return np.full(len(goal), np.nan)


def _collect_with(task, make_config, tmp_path) -> None:
    config = make_config("ppo")
    service = LearnerService()
    service.create("run", config, tmp_path)
    executor = RayExecutor(dataclasses.replace(config.plan, spec=SwimmerSpec(config.spec.body, task)), 2)
    try:
        executor.start(service.request("run")).result()
    finally:
        executor.close()


def test_an_environment_that_raises_shows_its_own_traceback_at_once(make_config, tmp_path) -> None:
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError, match="the user's own mistake") as caught:
        _collect_with(_Broken(horizon=50), make_config, tmp_path)
    assert 'raise ZeroDivisionError("the user\'s own mistake")' in "\n".join(caught.value.__notes__)
    assert time.monotonic() - began < 30


def test_a_nan_in_a_worker_names_environment_step_and_value(make_config, tmp_path) -> None:
    with pytest.raises(NonFiniteError, match=r"reward is nan in environment .* step 1 of its episode"):
        _collect_with(_Poisoned(horizon=50), make_config, tmp_path)


def test_the_service_in_an_actor_is_the_same_class_and_raises_the_same_errors(make_config, tmp_path) -> None:
    config = make_config("cma-es")
    local, remote = LearnerService(), RemoteService()
    for service, folder in ((local, "local"), (remote, "remote")):
        service.create("run", config, tmp_path / folder)
        service.receive("run", *InProcessExecutor(config.plan).start(service.request("run")).result())
        service.update("run")
        service.save("run")
    assert local.state_sha256("run") == remote.state_sha256("run")
    with pytest.raises(ValueError, match="iteration 1 has not been received"):
        remote.update("run")
    status = remote.status()["run"]
    assert (status["learner"], status["iteration"], status["iterations"]) == ("cma-es", 1, 3)
    other = make_config("cma-es", "seed=1")
    with pytest.raises(BadInput, match="checkpoint of another configuration"):
        remote.create("other", other, tmp_path / "remote")


def test_runs_side_by_side_share_workers_and_service_and_are_as_if_alone(make_config, tmp_path, train_in) -> None:
    configs = {kind: make_config(kind, "iterations=4") for kind in ("cma-es", "ppo", "mlp-ppo")}
    alone = {kind: train_in(tmp_path / "alone" / kind, config) for kind, config in configs.items()}
    failing = make_config("ppo", "seed=1")
    with ThreadPoolExecutor(4) as threads:
        runs = {
            kind: threads.submit(train_in, tmp_path / "together" / kind, config, workers=2)
            for kind, config in configs.items()
        }
        crash = threads.submit(train_in, tmp_path / "together" / "crash", failing, workers=2, watcher=_crash_at(2))
        with pytest.raises(RuntimeError, match="the fourth run fails"):
            crash.result()
        together = {kind: run.result() for kind, run in runs.items()}
    for kind, summary in alone.items():
        assert together[kind]["state_sha256"] == summary["state_sha256"]


def _crash_at(iteration: int) -> Watcher:
    def advanced(metrics) -> None:
        if metrics["iteration"] == iteration:
            raise RuntimeError("the fourth run fails")

    return Watcher(advanced=advanced)


@pytest.mark.parametrize("lag", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_service_that_is_killed_goes_on_from_its_checkpoint(lag: int, make_config, tmp_path, train_in) -> None:
    config = make_config("ppo", "iterations=6", f"learner.lag={lag}")
    alone = train_in(tmp_path / "alone", config)
    killed, begun = [], []

    def kill(metrics) -> None:
        if metrics["iteration"] in (2, 4, 6) and metrics["iteration"] not in killed:
            killed.append(metrics["iteration"])
            os.kill(service_process(), signal.SIGKILL)

    watcher = Watcher(started=lambda progress: begun.append(progress.iteration), advanced=kill)
    summary = train_in(tmp_path / "killed", config, workers=2, watcher=watcher)
    assert (killed, begun) == ([2, 4, 6], [0, 2, 4, 6])
    assert summary["state_sha256"] == alone["state_sha256"]
    assert [line["iteration"] for line in read_metrics(tmp_path / "killed/metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    audit_run(RunFolder(tmp_path / "killed"))


@dataclass(frozen=True)
class _HangsOnce(Swim):
    """An environment that hangs until its worker is ended, the first time only."""

    flag: str = ""

    def reward(self, readings, goal, action, timestep):
        try:
            os.close(os.open(self.flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return super().reward(readings, goal, action, timestep)
        time.sleep(1000)
        raise AssertionError


def test_a_worker_that_hangs_is_replaced_and_the_rollout_is_run_again(make_config, tmp_path) -> None:
    config, service = make_config("ppo"), LearnerService()
    service.create("run", config, tmp_path)
    request = service.request("run")
    plain = InProcessExecutor(config.plan).start(request).result()
    task = _HangsOnce(horizon=50, flag=str(tmp_path / "flag"))
    hanging = dataclasses.replace(config.plan, spec=SwimmerSpec(config.spec.body, task))
    executor = RayExecutor(hanging, 2, deadline=2.0)
    rollouts = ray.get(executor.start(request).result())
    assert sum(worker["restarts"] for worker in executor.status()) == 1
    executor.close()
    assert [fragment_sha256(fragment) for fragment, _ in rollouts] == [fragment_sha256(f) for f, _ in plain]


@dataclass(frozen=True)
class _Slow(Swim):
    """An environment of which each rollout takes a second, or 50 pauses."""

    pause: float = 0.02

    def reward(self, readings, goal, action, timestep):
        time.sleep(self.pause)
        return super().reward(readings, goal, action, timestep)


def test_the_deadline_counts_from_a_rollouts_own_start_and_not_from_its_place_in_the_queue(
    make_config, tmp_path
) -> None:
    config, service = make_config("ppo"), LearnerService()
    service.create("run", config, tmp_path)
    request = service.request("run")
    slow = dataclasses.replace(config.plan, spec=SwimmerSpec(config.spec.body, _Slow(horizon=50)))
    # Three runs share one worker: each rollout waits for two others.
    runs = [RayExecutor(slow, 1, deadline=3.0) for _ in range(3)]
    for rollouts in [run.start(request) for run in runs]:
        rollouts.result()
    for run in runs:
        run.close()
    assert [worker["restarts"] for run in runs for worker in run.status()] == [0, 0, 0]


def _slow_run(make_config, tmp_path) -> tuple[Any, Any, list[str]]:
    """Return a plan of rollouts that take a second each, a request, and what they give."""
    config, service = make_config("ppo"), LearnerService()
    service.create("run", config, tmp_path)
    request = service.request("run")
    plain = InProcessExecutor(config.plan).start(request).result()
    slow = dataclasses.replace(config.plan, spec=SwimmerSpec(config.spec.body, _Slow(horizon=50)))
    return slow, request, [fragment_sha256(fragment) for fragment, _ in plain]


def _status_when(executor: RayExecutor, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    until = time.monotonic() + 30
    while not (found := [worker for worker in executor.status() if ready(worker)]):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)
    return found[0]


@pytest.mark.slow
def test_a_worker_that_dies_while_a_rollout_waits_for_others_is_neither_its_hang_nor_its_death(
    make_config, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("wormwood.launch.run.ray_workers.MAX_HANGS", 1)
    slow, request, expected = _slow_run(make_config, tmp_path)
    others, ours = RayExecutor(slow, 1), RayExecutor(slow, 1, deadline=1.5)
    longest = dataclasses.replace(slow, spec=SwimmerSpec(slow.spec.body, _Slow(horizon=50, pause=0.1)))
    others._plan, others._key = ray.put(longest), "longest"
    collections = [others.start(request)]
    _status_when(others, lambda worker: worker["state"] == "working")
    collections.append(ours.start(request))
    process = _status_when(ours, lambda worker: worker["state"] == "working")["process"]
    time.sleep(2.0)  # longer than the deadline, for others play for five seconds
    monkeypatch.setattr("wormwood.launch.run.ray_workers.MAX_DEATHS", 2)
    os.kill(process, signal.SIGKILL)
    for collection in collections:
        rollouts = ray.get(collection.result())
        assert [fragment_sha256(fragment) for fragment, _ in rollouts] == expected
    assert [worker["restarts"] for run in (others, ours) for worker in run.status()] == [1, 1]
    for run in (others, ours):
        run.close()


@pytest.mark.slow
@pytest.mark.parametrize("begun", [True, False])
def test_a_worker_that_was_stopped_is_ended_and_its_rollout_run_again(begun: bool, make_config, tmp_path) -> None:
    slow, request, expected = _slow_run(make_config, tmp_path)
    executor = RayExecutor(slow, 2, deadline=2.0)
    ray.get(executor.start(request).result())
    if begun:
        collection = executor.start(request)
        process = _status_when(executor, lambda worker: worker["state"] == "working")["process"]
        time.sleep(0.5)
        os.kill(process, signal.SIGSTOP)
    else:
        process = executor.status()[0]["process"]
        os.kill(process, signal.SIGSTOP)
        collection = executor.start(request)
    rollouts = ray.get(collection.result(timeout=60))
    assert [fragment_sha256(fragment) for fragment, _ in rollouts] == expected
    assert sum(worker["restarts"] for worker in executor.status()) == 1
    executor.close()
    until = time.monotonic() + 30
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() < until, "the stopped process is still there"
        time.sleep(0.1)


@dataclass(frozen=True)
class _EndsItsWorker(Swim):
    def reward(self, readings, goal, action, timestep):
        os._exit(1)


def test_a_rollout_that_ends_every_worker_ends_the_run(make_config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("wormwood.launch.run.ray_workers.MAX_DEATHS", 3)
    with pytest.raises(WorkerError, match=r"shard \d was lost with its worker 3 times, on worker-\d the last time"):
        _collect_with(_EndsItsWorker(horizon=50), make_config, tmp_path)


@pytest.mark.slow
def test_a_service_outlives_the_run_that_started_it_and_ends_after_the_last(make_config, tmp_path) -> None:
    config = make_config("cma-es", "iterations=1000")
    address = ray.get_runtime_context().gcs_address
    script = f"""
import sys, yaml
from pathlib import Path
from wormwood.launch.run import ray_service
from wormwood.launch.run.ray_session import connect
from wormwood.launch.run.settings import load_config
ray_service.LEASE, ray_service.GRACE = 2.0, 1.0
connect(1, address={address!r})
ray_service.RemoteService("-short").create("theirs", load_config(yaml.safe_load(sys.stdin)), Path({str(tmp_path)!r}))
"""
    subprocess.run([sys.executable, "-c", script], input=config.to_yaml(), text=True, check=True)
    service = RemoteService("-short")
    process = ray.get(service._actor.process.remote())
    assert [*service.status()] == ["theirs"]
    service.create("ours", config, tmp_path / "ours")
    service._leases.clear()
    deadline = time.monotonic() + 30
    while "theirs" in service.status():  # its driver is dead
        service._actor.renew.remote("ours")
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert ray.get(service._actor.process.remote()) == process
    assert service.request("ours").iteration == 0
    service.remove("ours")
    while _alive(process):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    service.create("again", config, tmp_path / "again")
    assert [*service.status()] == ["again"] and ray.get(service._actor.process.remote()) != process
    service.remove("again")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


TWO_CONNECTIONS = """
from wormwood.launch.run.ray_service import RemoteService, service_process
from wormwood.launch.run.ray_session import ray_session
for _ in range(2):
    with ray_session(1):
        RemoteService().remove("nothing")
        print(service_process())
"""


@pytest.mark.slow
def test_each_connection_of_a_process_has_a_service_of_its_own() -> None:
    shown = subprocess.run([sys.executable, "-c", TWO_CONNECTIONS], capture_output=True, text=True, check=True).stdout
    assert len(set(shown.split())) == 2
