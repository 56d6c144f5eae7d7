"""Training on Ray: the same bits with any number of workers, killed ones among them, and the original errors."""

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import ray

from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.launch.executors import InProcessExecutor
from wormwood.launch.ray_service import remote_service
from wormwood.launch.ray_session import ray_session
from wormwood.launch.ray_workers import RayExecutor
from wormwood.launch.rollouts import NonFiniteError
from wormwood.launch.service import LearnerService


@pytest.fixture(scope="module", autouse=True)
def _one_ray_for_all() -> Iterator[None]:
    with ray_session(3):
        # Workers know the classes of this file by value: they cannot import it.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield


@pytest.mark.parametrize("kind", ["cma-es", "ppo"])
def test_the_final_state_does_not_depend_on_the_workers(kind, tmp_path, make_config, train_in) -> None:
    config = make_config(kind)
    summaries = [train_in(tmp_path / str(workers), config, workers=workers) for workers in (0, 1, 2, 3)]
    assert len({summary["state_sha256"] for summary in summaries}) == 1
    assert len({summary["return_mean"] for summary in summaries}) == 1
    assert [summary["workers"] for summary in summaries] == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["cma-es", "ppo"])
def test_workers_killed_in_the_middle_change_nothing(kind, tmp_path, make_config) -> None:
    config = make_config(kind, "iterations=4", "task_options.horizon=400" if kind == "cma-es" else "learner.steps=400")
    alone, killed = LearnerService(), LearnerService()
    for service in (alone, killed):
        service.create("run", config, tmp_path / str(id(service)))
    in_process, on_ray = InProcessExecutor(config.plan), RayExecutor(config.plan, 2)
    pids: set[int] = set()
    for _ in range(4):
        alone.receive("run", *in_process.start(alone.job("run")).result())
        alone.update("run")
        collection = on_ray.start(killed.job("run"))
        while not (working := [worker for worker in on_ray.status() if worker["state"] == "working"]):
            time.sleep(0.001)
        pids.add(working[0]["process"])
        os.kill(working[0]["process"], signal.SIGKILL)
        killed.receive("run", *ray.get(collection.result()))
        killed.update("run")
    on_ray.close()
    assert len(pids) == 4, "each time another process was killed"
    assert killed.state_sha256("run") == alone.state_sha256("run")


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
    executor = RayExecutor(dataclasses.replace(config.plan, task=task), 2, key=type(task).__name__)
    try:
        executor.start(service.job("run")).result()
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
    local, remote = LearnerService(), remote_service()
    for service, folder in ((local, "local"), (remote, "remote")):
        service.create("run", config, tmp_path / folder)
        service.receive("run", *InProcessExecutor(config.plan).start(service.job("run")).result())
        service.update("run")
        service.save("run")
    assert local.state_sha256("run") == remote.state_sha256("run")
    with pytest.raises(ValueError, match="iteration 1 has not been received"):
        remote.update("run")
    other = make_config("cma-es", "seed=1")
    with pytest.raises(BadInput, match="checkpoint of another configuration"):
        remote.create("other", other, tmp_path / "remote")
