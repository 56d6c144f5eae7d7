"""How fast the peers step a swimmer, each in its own best way: gymnasium's AsyncVectorEnv and loops over dm_control.

Both start processes, so a script that calls this must guard its start with ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv

from wormwood.agents.policies.baselines import UniformPolicy
from wormwood.agents.policies.interfaces import Policy
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, swimmer
from wormwood.envs.randomness import stream
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Navigate, Task
from wormwood.launch.bench.closed_loop import SEED, ClosedLoop, circuit
from wormwood.launch.bench.rounds import Contestant, Progress, interleave, ratios

__all__ = ["bench_dm_control", "bench_gymnasium"]

SLICE = 0.03  # s, of the peers
STEPS = 4  # control steps of a slice of ours
LINKS = 6  # of dm_control's swimmer6


def bench_gymnasium(
    *,
    swimmers: int,
    threads: int,
    seconds: float,
    environments: Sequence[int] = (2, 4, 8),
    progress: Progress | None = None,
) -> dict[str, float]:
    """Compare with ``AsyncVectorEnv`` of Swimmer-v5, at the number of environments at which it is fastest.

    Both step the same body for the same task with uniform random actions, drawn within the measured time, and reset.
    Ours has ``swimmers`` swimmers on ``threads`` threads; theirs has one process for each environment, shared memory
    and no environment checker.
    """
    with ExitStack() as stack:
        peers = {f"async {count}": stack.enter_context(_async_swimmers(count)) for count in environments}
        ours = stack.enter_context(
            _swimmers(GYMNASIUM_SWIMMER, GymnasiumForward(), _random_policy, swimmers=swimmers, threads=threads)
        )
        speeds = interleave({"ours": ours, **peers}, seconds=seconds, name="gymnasium", progress=progress)
    count = max(environments, key=lambda count: float(np.median(speeds[f"async {count}"])))
    best = speeds[f"async {count}"]
    return {
        **ratios("gymnasium_ratio", speeds["ours"], best),
        "gymnasium_environments": count,
        "gymnasium_steps_per_second": float(np.median(best)),
        "gymnasium_own_steps_per_second": float(np.median(speeds["ours"])),
    }


def bench_dm_control(
    *, swimmers: int, threads: int, seconds: float, progress: Progress | None = None
) -> dict[str, float]:
    """Compare with loops over dm_control's swimmer6.

    Both step the same body for the same task (navigate) with the same circuit, ours on ``threads`` threads.
    ``dm_control_ratio`` is to one loop in one process, which is how dm_control is run and leaves the other cores idle
    (where other programs keep them busy, it loses nothing and ours does: measure this one on a quiet machine);
    ``dm_control_per_core_ratio`` is to as many processes as we have threads, all at once, at the sum of their speeds.
    """
    body, task = swimmer(LINKS), Navigate()
    with ExitStack() as stack:
        one, all_cores = stack.enter_context(_dm_control_loops(threads))
        ours = stack.enter_context(
            _swimmers(body, task, lambda index: circuit(body, task), swimmers=swimmers, threads=threads)
        )
        contestants = {"ours": ours, "one": one, "all": all_cores}
        speeds = interleave(contestants, seconds=seconds, name="dm_control", progress=progress)
    return {
        **ratios("dm_control_ratio", speeds["ours"], speeds["one"]),
        **ratios("dm_control_per_core_ratio", speeds["ours"], speeds["all"]),
        "dm_control_processes": threads,
        "dm_control_steps_per_second": float(np.median(speeds["one"])),
        "dm_control_all_cores_steps_per_second": float(np.median(speeds["all"])),
        "dm_control_own_steps_per_second": float(np.median(speeds["ours"])),
    }


def _random_policy(index: int) -> UniformPolicy:
    actions = SwimmerSpec(GYMNASIUM_SWIMMER, GymnasiumForward()).actions
    return UniformPolicy(actions, stream(SEED, "action", index))


@contextmanager
def _swimmers(
    body: Body, task: Task, policy: Callable[[int], Policy], *, swimmers: int, threads: int
) -> Iterator[Contestant]:
    loop = ClosedLoop(body, task, policy=policy, swimmers=swimmers, threads=threads)
    try:
        yield lambda: loop.play(STEPS).speed
    finally:
        loop.close()


@contextmanager
def _async_swimmers(count: int) -> Iterator[Contestant]:
    make = partial(gymnasium.make, "Swimmer-v5", disable_env_checker=True)
    environments = AsyncVectorEnv([make] * count, context="forkserver")
    rng = stream(SEED, "action", count)

    def step() -> None:
        environments.step(rng.uniform(-1.0, 1.0, (count, GYMNASIUM_SWIMMER.joints)).astype(np.float32))

    try:
        environments.reset(seed=SEED)
        yield lambda: count * _speed(step, SLICE)
    finally:
        environments.close()


@contextmanager
def _dm_control_loops(count: int) -> Iterator[tuple[Contestant, Contestant]]:
    """Start ``count`` loops; give a contestant that runs the first, and one that runs all of them."""
    context = multiprocessing.get_context("forkserver")
    loops, processes = [], []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_dm_control_loop, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            loops.append(ours)
            processes.append(process)
        for loop in loops:
            loop.recv()  # ready
        yield lambda: _play_loops(loops[:1]), lambda: _play_loops(loops)
    finally:
        for loop in loops:
            loop.close()
        for process in processes:
            process.join()


def _play_loops(loops: Sequence[Connection]) -> float:
    for loop in loops:
        loop.send(SLICE)
    # Each measures itself, so that talking to it costs it nothing.
    return sum(float(loop.recv()) for loop in loops)


def _dm_control_loop(connection: Connection) -> None:
    """Play slices of the length that comes in, and answer with their speeds, until the other end closes."""
    # Nothing is drawn here. Otherwise dm_control would look for a display, and complain where there is none.
    os.environ["MUJOCO_GL"] = "disable"
    from dm_control.suite import swimmer as suite

    environment, policy, steps = suite.swimmer6(random=SEED), circuit(swimmer(LINKS), Navigate()), 0
    latest = environment.reset()

    def step() -> None:
        nonlocal latest, steps
        observation = np.concatenate([*latest.observation.values(), [steps]])[None]
        action, _, _ = policy.act(observation, {}, None)
        # After the last step of an episode, dm_control's step resets.
        latest = environment.step(np.clip(action[0], -1.0, 1.0))
        steps = 0 if latest.first() else steps + 1

    connection.send(True)
    while True:
        try:
            seconds = connection.recv()
        except EOFError:
            return
        connection.send(_speed(step, seconds))


def _speed(step: Callable[[], None], seconds: float) -> float:
    """Return how many steps a second ``step`` makes, over at least ``seconds``."""
    began, steps, passed = time.perf_counter(), 0, 0.0
    while passed < seconds:
        step()
        steps += 1
        passed = time.perf_counter() - began
    return steps / passed
