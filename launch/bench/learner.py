"""How long one PPO update takes beside Stable-Baselines3's own ``train``, and beside the machine's own arithmetic."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from stable_baselines3 import PPO

from wormwood.agents.learning.determinism import one_torch_thread
from wormwood.agents.stable_baselines3.accelerated.models import accelerate
from wormwood.envs.bodies import GYMNASIUM_SWIMMER
from wormwood.envs.faces.stable_baselines3 import make_swimmers
from wormwood.launch.bench.rounds import Contestant, Progress, interleave, ratios
from wormwood.launch.bench.training_peer_script import ENVIRONMENTS, EPOCHS, HIDDEN, STEPS

__all__ = ["bench_learner", "update_operations"]

SIZES = (64, 512)
PRODUCT = 1024
"""Rows and columns of the matrices whose product is the machine's own speed."""


def bench_learner(*, seconds: float = 40.0, progress: Progress | None = None) -> dict[str, Any]:
    """Measure updates from 2,048 transitions of gymnasium's Swimmer-v5 with two 64×64 perceptrons, in 10 passes.

    Both learn from the same buffer, in slices that alternate within one run, on one thread.

    Args:
        seconds: about how long to measure.
        progress: is called with what runs and the share done, before each round.

    Returns:
        For batches of 64 and of 512 ``update_{size}_ms``, ``sb3_update_{size}_ms``, ``sb3_{size}_ratio_median``,
        ``_low`` and ``_high``, and ``update_{size}_gflops``, arithmetic alone; ``machine_gflops`` of a product of two
        matrices of 1,024 rows in single precision, and ``update_{size}_machine_share`` of it.
    """
    result: dict[str, Any] = {"transitions": ENVIRONMENTS * STEPS, "passes": EPOCHS, "hidden": list(HIDDEN)}
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((PRODUCT, PRODUCT), dtype=np.float32) for _ in range(2))
    machine: list[float] = []
    with one_torch_thread():
        for size in SIZES:
            model = _model(size)
            own_train, their_train = model.train, lambda model=model: PPO.train(model)
            contestants: dict[str, Contestant] = {
                "ours": _speed(own_train),
                "sb3": _speed(their_train),
                "machine": _speed(lambda: left @ right),
            }
            speeds = interleave(contestants, seconds=seconds / len(SIZES), name=f"batches of {size}", progress=progress)
            ours, machine = float(np.median(speeds["ours"])), [*machine, *speeds["machine"]]
            gflops = 1e-9 * ours * update_operations(model)
            result |= {f"update_{size}_ms": 1e3 / ours, f"sb3_update_{size}_ms": 1e3 / float(np.median(speeds["sb3"]))}
            result |= ratios(f"sb3_{size}_ratio", speeds["ours"], speeds["sb3"]) | {f"update_{size}_gflops": gflops}
    limit = 1e-9 * float(np.median(machine)) * 2 * PRODUCT**3
    shares = {f"update_{size}_machine_share": result[f"update_{size}_gflops"] / limit for size in SIZES}
    return result | {"machine_gflops": limit} | shares


def update_operations(model: PPO) -> int:
    """Return the multiplications and additions of an update's matrix products.

    Each layer's weights are multiplied once forwards, once for their own gradient and, but in the first layer, once
    for that of the layer before.
    """
    rows = model.n_epochs * model.n_steps * model.n_envs
    inputs = int(np.prod(model.observation_space.shape or ()))
    products = 0
    for outputs in (int(np.prod(model.action_space.shape or ())), 1):
        layers = [before * after for before, after in pairwise([inputs, *HIDDEN, outputs])]
        products += 3 * sum(layers) - layers[0]
    return 2 * rows * products


def _model(size: int) -> PPO:
    """Return an accelerated model whose buffer is full."""
    swimmers = make_swimmers(GYMNASIUM_SWIMMER, ENVIRONMENTS, task="gymnasium-forward")
    model = PPO("MlpPolicy", swimmers, n_steps=STEPS, batch_size=size, n_epochs=EPOCHS, seed=0, device="cpu")
    return accelerate(model).learn(ENVIRONMENTS * STEPS)


def _speed(play: Callable[[], Any]) -> Contestant:
    """Return what plays once, and returns how often it could in a second."""

    def measured() -> float:
        began = time.perf_counter()
        play()
        return 1.0 / (time.perf_counter() - began)

    return measured
