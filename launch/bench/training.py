"""How fast whole PPO trainings are beside Stable-Baselines3's own on gymnasium's Swimmer-v5, and beside their bound.

Some learn with SB3's unchanged ``PPO.train``, so that only who steps the swimmers differs; the others with the compiled
update. A slice is one iteration: a rollout, and the update. The bound is SB3's update alone, as if experience cost
nothing. The ceiling is that update and MuJoCo's own steps, one after the other: what nobody can pass who learns by it
and does not collect meanwhile.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import ray
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from wormwood.agents.learning.determinism import one_torch_thread
from wormwood.agents.stable_baselines3.accelerated.models import accelerate
from wormwood.envs.bodies import GYMNASIUM_SWIMMER
from wormwood.envs.faces.stable_baselines3 import make_swimmers
from wormwood.envs.profiling import stop_timers
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import GymnasiumForward
from wormwood.errors import bad_input
from wormwood.launch.bench import training_peer_script
from wormwood.launch.bench.rounds import Contestant, Progress, interleave, median_interval, ratios
from wormwood.launch.bench.training_peer_script import ENVIRONMENTS, EPOCHS, RATE, STEPS
from wormwood.launch.bench.trees_peers import Peers, running_peers
from wormwood.launch.distribute import distribute
from wormwood.launch.distribute.collecting import Collector
from wormwood.launch.run.executors import Executor, InProcessExecutor
from wormwood.launch.run.ray_session import connect
from wormwood.launch.run.ray_workers import RayExecutor
from wormwood.launch.run.service import LearnerService
from wormwood.launch.run.settings import RunConfig, load_config

__all__ = ["HOW_TO_GET_RLLIB", "HOW_TO_GET_SBX", "bench_training"]

HOW_TO_GET_SBX = 'python -m venv sbx && sbx/bin/pip install sbx-rl==0.28.0 "gymnasium[mujoco]" "mujoco<4"'
HOW_TO_GET_RLLIB = 'python -m venv peers && peers/bin/pip install "ray[rllib]==2.60.0" "gymnasium[mujoco]" torch'
PATIENCE = 60.0  # s that RLlib may take to end its Ray processes
LARGE, SMALL = 512, 64
"""Batch sizes: with the large one collecting decides, with the small one the update does."""


def bench_training(
    *,
    seconds: float = 60.0,
    environments: int = ENVIRONMENTS,
    threads: int = 2,
    peers: Sequence[str] = (),
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure PPO's environment steps per second, with a 64×64 MLP, 10 epochs and SB3's other defaults.

    All have the same number of environments and steps, and torch learns on one thread. SB3's own is in its faster
    vector, ``DummyVecEnv`` or ``SubprocVecEnv``, whichever it is in this run. Ours are ``make_swimmers`` with MuJoCo on
    ``threads`` threads, in SB3's own loop (``vec_env``) and in that of ``distribute`` without workers
    (``in_process``); on as many workers without lag (``distribute``), and on one less, beside the one that learns,
    with it (``lag``). ``accelerate`` has the compiled update and ``make_swimmers`` on ``threads`` threads, and
    ``accelerate_lag`` is that under ``distribute`` as ``lag``. ``train_in_process`` and ``train_workers`` are
    iterations of ``wormwood train``, in this process on one thread, and on ``threads`` workers. RLlib's PPO has two
    runners with 8 environments each, SBX's is in SB3's ``DummyVecEnv`` on one thread.

    Args:
        seconds: how long to measure, besides some seconds to start processes.
        environments: of each training.
        threads: threads, or workers, on which ours are stepped.
        peers: Pythons that have RLlib, SBX or both.
        progress: is called with what runs and the share done, before each round.

    Returns:
        For each batch size and way ``{way}_{size}_ratio_median``, ``_low`` and ``_high`` to SB3's own,
        ``{way}_{size}_{peer}_ratio_median``, ``_low`` and ``_high`` to each peer, and of the ways that learn with
        SB3's update ``{way}_{size}_bound_share`` of the bound; ``bound_{size}_ratio_median`` and
        ``ceiling_{size}_ratio_median``; and the speeds. ``train_{size}_ratio_median`` and the like are those of the
        better of ``train_in_process`` and ``train_workers``. ``ratio_median`` and ``rllib_ratio_median`` are the best
        of ours at batch size 512, ``sbx_ratio_median`` and ``bound_share`` the best at 64; ``ratio_median_way`` and
        the like say which these are.

    Raises:
        BadInput: there is no thread, or not an environment for each; or one of the Pythons has no such peer, or one
            that another has, too.
        PeerError: a peer ended before its time.
    """
    if threads < 1 or environments < threads:
        expected = "at least 1 thread, and an environment for each"
        raise bad_input("threads", where="bench train", expected=expected, got=threads)
    result: dict[str, Any] = {"environments": environments, "steps": STEPS, "threads": threads}
    with ExitStack() as stack:
        found: dict[str, Peers] = {}
        for python in peers:
            running = stack.enter_context(_running_peers(python))
            if doubled := found.keys() & running.versions.keys():
                raise bad_input("peer", where=f"--peers {python}", expected="each peer once", got=min(doubled))
            found |= dict.fromkeys(running.versions, running)
            result |= {f"{peer}_version": version for peer, version in running.versions.items()}
        for size in (LARGE, SMALL):
            with _contestants(size, environments, threads) as contestants:
                contestants |= {peer: found[peer].contestant(peer, "iteration", batch=size) for peer in found}
                speeds = interleave(contestants, seconds=seconds / 2, name=f"batches of {size}", progress=progress)
            result |= _figures(size, speeds, peers=tuple(found))
    figures = {"ratio_median": f"{LARGE}_ratio_median", "bound_share": f"{SMALL}_bound_share"}
    sizes = {"rllib": LARGE, "sbx": SMALL}
    figures |= {f"{peer}_ratio_median": f"{sizes[peer]}_{peer}_ratio_median" for peer in found}
    for key, figure in figures.items():
        shares = {way: float(result[f"{way}_{figure}"]) for way in _OURS if f"{way}_{figure}" in result}
        result[f"{key}_way"] = max(shares, key=lambda way: shares[way])
        result[key] = max(shares.values())
    return result


_BY_SB3 = ("vec_env", "in_process", "distribute", "lag")
_TRAIN = ("train_in_process", "train_workers")
_OURS = (*_BY_SB3, "accelerate", "accelerate_lag", *_TRAIN)
_THEIRS = ("sb3_dummy", "sb3_subproc")


def _running_peers(python: str) -> AbstractContextManager[Peers]:
    wanted, ways = "RLlib or SBX", f"{HOW_TO_GET_RLLIB}` or `{HOW_TO_GET_SBX}"
    return running_peers(python, script=training_peer_script, wanted=wanted, how_to_get_them=ways, patience=PATIENCE)


@contextmanager
def _contestants(size: int, environments: int, threads: int) -> Iterator[dict[str, Contestant]]:
    """Build the trainings with batches of ``size``, and close their environments in the end."""
    with ExitStack() as stack, one_torch_thread():
        model = partial(_model, size=size)
        swimmers = partial(make_swimmers, GYMNASIUM_SWIMMER, environments, task="gymnasium-forward", threads=threads)
        beside = max(1, threads - 1)
        models = {
            "sb3_dummy": model(DummyVecEnv([_swimmer] * environments)),
            "sb3_subproc": model(SubprocVecEnv([_swimmer] * environments, start_method="forkserver")),
            "vec_env": model(swimmers()),
            "in_process": distribute(model(swimmers()), workers=0, shards=1),
            "distribute": distribute(model(swimmers()), workers=threads, shards=threads),
            "lag": distribute(model(swimmers()), workers=beside, shards=beside, lag=1),
            "accelerate": accelerate(model(swimmers())),
            "accelerate_lag": accelerate(distribute(model(swimmers()), workers=beside, shards=beside, lag=1)),
        }
        for each in models.values():
            stack.callback(each.env.close)  # type: ignore[union-attr]
            each.learn(environments * STEPS)  # starts processes, and fills the buffer
        contestants = {name: _iteration(each) for name, each in models.items()}
        for name in _THEIRS:
            contestants[name] = _with_timers(contestants[name])
        contestants["train_in_process"] = _own_iteration(stack, size, environments, workers=0)
        contestants["train_workers"] = _own_iteration(stack, size, environments, workers=threads)
        physics = _physics(environments, threads)
        yield contestants | {"bound": _update(models["vec_env"]), "physics": physics}


def _with_timers(contestant: Contestant) -> Contestant:
    """Return what plays as in a process without this package, where MuJoCo's timers run."""

    def play() -> float:
        mujoco.set_mjcb_time(None)
        try:
            return contestant()
        finally:
            stop_timers()

    return play


def _figures(size: int, speeds: Mapping[str, list[float]], *, peers: Sequence[str]) -> dict[str, Any]:
    best, ours = (max(names, key=lambda name: float(np.median(speeds[name]))) for names in (_THEIRS, _TRAIN))
    result: dict[str, Any] = {f"sb3_{size}_best": best, f"train_{size}_best": ours}
    result[f"rounds_{size}"] = len(speeds["bound"])
    for name, speed in {**{name: speeds[name] for name in _OURS}, "train": speeds[ours]}.items():
        result |= ratios(f"{name}_{size}_ratio", speed, speeds[best])
        for peer in peers:
            result |= ratios(f"{name}_{size}_{peer}_ratio", speed, speeds[peer])
    for name in _BY_SB3:
        shares = [speed / bound for speed, bound in zip(speeds[name], speeds["bound"], strict=True)]
        result[f"{name}_{size}_bound_share"] = median_interval(shares)[0]
    limits = {
        "bound": speeds["bound"],
        "ceiling": [1 / (1 / u + 1 / p) for u, p in zip(speeds["bound"], speeds["physics"], strict=True)],
    }
    for name, limit in limits.items():
        result[f"{name}_{size}_ratio_median"] = median_interval(
            [one / speed for one, speed in zip(limit, speeds[best], strict=True)]
        )[0]
    return result | {f"{name}_{size}_steps_per_second": float(np.median(speed)) for name, speed in speeds.items()}


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


def _own_iteration(stack: ExitStack, size: int, environments: int, *, workers: int) -> Contestant:
    """Return one iteration of ``wormwood train``: a rollout, and the update."""
    learner = {
        "environments": environments,
        "steps": STEPS,
        "epochs": EPOCHS,
        "batch_size": size,
        "actor_rate": RATE,
        "critic_rate": RATE,
    }
    swimmer = {"body": GYMNASIUM_SWIMMER.name, "task": "gymnasium-forward", "shards": max(1, workers)}
    settings = swimmer | {f"learner.{name}": value for name, value in learner.items()}
    config = load_config("swim-mlp-ppo", overrides=[f"{name}={value}" for name, value in settings.items()])
    service, executor = LearnerService(), _executor(config, workers)
    stack.callback(executor.close)
    service.create("bench", config, Path(stack.enter_context(tempfile.TemporaryDirectory())))

    def play() -> None:
        rollouts = executor.start(service.request("bench")).result()
        service.receive("bench", *(ray.get(list(rollouts)) if workers else rollouts))
        service.update("bench")

    play()  # compiles, and starts what is started only once
    return lambda: config.plan.steps_per_iteration / _seconds(play)


def _executor(config: RunConfig, workers: int) -> Executor:
    if not workers:
        return InProcessExecutor(config.plan)
    connect(workers)
    return RayExecutor(config.plan, workers)


def _update(model: PPO) -> Contestant:
    steps = STEPS * model.n_envs
    return lambda: steps / _seconds(model.train)


def _physics(environments: int, threads: int) -> Contestant:
    """Return MuJoCo's steps of one rollout, with neither observations nor rewards nor a policy."""
    body = GYMNASIUM_SWIMMER
    swimmers = Simulation(body, GymnasiumForward(), environments, streams=training_streams(0), threads=threads)
    swimmers.reset()
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, size=(STEPS, environments, body.joints))

    def play() -> None:
        for action in actions:
            swimmers.physics.step(action)

    return lambda: STEPS * environments / _seconds(play)


def _seconds(play: Callable[[], None]) -> float:
    began = time.perf_counter()
    play()
    return time.perf_counter() - began
