"""How fast whole PPO trainings are beside Stable-Baselines3's own on gymnasium's Swimmer-v5, and beside their bound.

Everything learns with SB3's unchanged ``PPO.train``; only who steps the swimmers differs. A slice is one iteration:
a rollout, and the update. The bound is the update alone, as if experience cost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from wormwood.envs.bodies import GYMNASIUM_SWIMMER
from wormwood.envs.stable_baselines3 import make_swimmers
from wormwood.errors import bad_input
from wormwood.launch.benchmarks.rounds import Contestant, Progress, interleave, median_interval, ratios
from wormwood.launch.distribution import distribute
from wormwood.launch.distribution.collecting import Collector

__all__ = ["bench_training"]

STEPS = 128  # of each environment in a rollout
LARGE, SMALL = 512, 64
"""Batch sizes: with the large one collecting decides, with the small one the update does."""


def bench_training(
    *, seconds: float = 60.0, environments: int = 16, threads: int = 2, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure PPO's environment steps per second, with a 64×64 MLP, 10 epochs and SB3's other defaults.

    All have the same number of environments and steps, and torch learns on one thread. SB3's own is in its faster
    vector, ``DummyVecEnv`` or ``SubprocVecEnv``, whichever it is in this run. Ours are ``make_swimmers``
    (``vec_env``, with MuJoCo on ``threads`` threads), and that distributed on as many workers, without lag
    (``distribute``) and with (``lag``).

    Args:
        seconds: how long to measure, besides some seconds to start processes.
        environments: of each training.
        threads: threads, or workers, on which ours are stepped.
        progress: is called with what runs and the share done, before each round.

    Returns:
        For each batch size and way ``{way}_{size}_ratio_median``, ``_low`` and ``_high`` to SB3's own and
        ``{way}_{size}_bound_share`` of the bound, and the speeds. ``ratio_median`` is the best of ours at batch size
        512, ``bound_share`` the best at 64; ``ratio_median_way`` and ``bound_share_way`` say which these are.

    Raises:
        BadInput: there is no thread, or not an environment for each.
    """
    if threads < 1 or environments < threads:
        expected = "at least 1 thread, and an environment for each"
        raise bad_input("threads", where="bench train", expected=expected, got=threads)
    result: dict[str, Any] = {"environments": environments, "steps": STEPS, "threads": threads}
    for size in (LARGE, SMALL):
        result |= _at_batch_size(size, seconds / 2, environments, threads, progress)
    for key, figure in (("ratio_median", f"{LARGE}_ratio_median"), ("bound_share", f"{SMALL}_bound_share")):
        shares = {way: float(result[f"{way}_{figure}"]) for way in _OURS}
        result[f"{key}_way"] = max(shares, key=lambda way: shares[way])
        result[key] = max(shares.values())
    return result


_OURS = ("vec_env", "distribute", "lag")


def _at_batch_size(
    size: int, seconds: float, environments: int, threads: int, progress: Progress | None
) -> dict[str, Any]:
    with ExitStack() as stack, _one_torch_thread():
        model = partial(_model, size=size)
        swimmers = partial(make_swimmers, GYMNASIUM_SWIMMER, environments, task="gymnasium-forward", threads=threads)
        theirs = {
            "sb3_dummy": model(DummyVecEnv([_swimmer] * environments)),
            "sb3_subproc": model(SubprocVecEnv([_swimmer] * environments, start_method="forkserver")),
        }
        spread = partial(distribute, workers=threads, shards=threads)
        ours = {
            "vec_env": model(swimmers()),
            "distribute": spread(model(swimmers())),
            "lag": spread(model(swimmers()), lag=1),
        }
        for each in (*theirs.values(), *ours.values()):
            stack.callback(each.env.close)  # type: ignore[union-attr]
            each.learn(environments * STEPS)  # starts processes, and fills the buffer
        contestants: dict[str, Contestant] = {name: _iteration(each) for name, each in (theirs | ours).items()}
        contestants["bound"] = _update(ours["vec_env"])
        speeds = interleave(contestants, seconds=seconds, name=f"batches of {size}", progress=progress)
    best = max(theirs, key=lambda name: float(np.median(speeds[name])))
    result: dict[str, Any] = {f"sb3_{size}_best": best, f"rounds_{size}": len(speeds["bound"])}
    for name in _OURS:
        result |= ratios(f"{name}_{size}_ratio", speeds[name], speeds[best])
        shares = [own / bound for own, bound in zip(speeds[name], speeds["bound"], strict=True)]
        result[f"{name}_{size}_bound_share"] = median_interval(shares)[0]
    bound = [limit / own for limit, own in zip(speeds["bound"], speeds[best], strict=True)]
    result[f"bound_{size}_ratio_median"] = median_interval(bound)[0]
    return result | {f"{name}_{size}_steps_per_second": float(np.median(own)) for name, own in speeds.items()}


def _swimmer() -> gymnasium.Env[Any, Any]:
    return Monitor(gymnasium.make("Swimmer-v5", disable_env_checker=True))


def _model(env: VecEnv, *, size: int) -> PPO:
    return PPO("MlpPolicy", env, n_steps=STEPS, batch_size=size, seed=0, device="cpu")


def _iteration(model: PPO) -> Contestant:
    steps = STEPS * model.n_envs
    # A training without end, so that the next rollout always begins ahead where there is a lag.
    _, callback = model._setup_learn(10**12, reset_num_timesteps=False)

    def play() -> None:
        assert model.env is not None
        model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=STEPS)
        model.train()
        if isinstance(collector := getattr(model, "_collector", None), Collector):
            collector.wait()  # what has begun ahead is part of this slice, not of the next contestant's

    return lambda: steps / _seconds(play)


def _update(model: PPO) -> Contestant:
    steps = STEPS * model.n_envs
    return lambda: steps / _seconds(model.train)


def _seconds(play: Callable[[], None]) -> float:
    began = time.perf_counter()
    play()
    return time.perf_counter() - began


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
