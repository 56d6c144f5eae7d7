"""Trains RLlib's or SBX's PPO on Swimmer-v5: run by path, in an environment of its own that has one of them.

It reads one JSON object a line, ``{"peer": "rllib", "play": "iteration", "batch": ...}``, plays a whole iteration, and
answers with the environment steps per second. The package imports it for what both sides have in common.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from typing import Any

__all__ = ["ENVIRONMENTS", "EPOCHS", "HIDDEN", "RATE", "STEPS"]

ENVIRONMENTS, STEPS = 16, 128  # of a rollout, and steps of each
EPOCHS, HIDDEN, RATE = 10, (64, 64), 3e-4
RUNNERS = 2  # processes that collect


class RLlib:
    """PPO as SB3's defaults have it: clipped at 0.2, no KL term, gradients of norm 0.5, half the value's loss."""

    def __init__(self) -> None:
        """Start Ray for these runners alone, in a cluster of its own."""
        self._ray: Any = importlib.import_module("ray")
        self._ray.init(address="local", num_cpus=RUNNERS + 1, include_dashboard=False, log_to_driver=False)
        self._algorithms: dict[int, Any] = {}

    def iteration(self, batch: int) -> float:
        """Collect a rollout and learn from it in minibatches of ``batch``."""
        if batch not in self._algorithms:
            self._stop()
            self._algorithms[batch] = self._algorithm(batch)
            self._steps_of_one(batch)  # starts what is started only once
        began = time.perf_counter()
        steps = self._steps_of_one(batch)
        return steps / (time.perf_counter() - began)

    def close(self) -> None:
        """End the runners, and Ray with them."""
        self._stop()
        self._ray.shutdown()

    def _stop(self) -> None:
        for algorithm in self._algorithms.values():
            algorithm.stop()
        self._algorithms.clear()

    def _steps_of_one(self, batch: int) -> int:
        steps = 0
        while not steps:  # on busy cores an iteration may find no runner ready, and reports nothing of them
            result = self._algorithms[batch].train()
            steps = int(result.get("env_runners", {}).get("num_env_steps_sampled", 0))
        return steps

    def _algorithm(self, batch: int) -> Any:
        ppo: Any = importlib.import_module("ray.rllib.algorithms.ppo")
        model: Any = importlib.import_module("ray.rllib.core.rl_module.default_model_config")
        return (
            ppo.PPOConfig()
            .environment("Swimmer-v5")
            .env_runners(
                num_env_runners=RUNNERS,
                num_envs_per_env_runner=ENVIRONMENTS // RUNNERS,
                rollout_fragment_length=STEPS,
            )
            .learners(num_learners=0)
            .training(
                train_batch_size_per_learner=ENVIRONMENTS * STEPS,
                minibatch_size=batch,
                num_epochs=EPOCHS,
                lr=RATE,
                gamma=0.99,
                lambda_=0.95,
                clip_param=0.2,
                vf_clip_param=float("inf"),
                vf_loss_coeff=0.5,
                entropy_coeff=0.0,
                use_kl_loss=False,
                grad_clip=0.5,
                grad_clip_by="global_norm",
            )
            .rl_module(
                model_config=model.DefaultModelConfig(
                    fcnet_hiddens=list(HIDDEN), fcnet_activation="tanh", vf_share_layers=False, free_log_std=True
                )
            )
            .build_algo()
        )


class SBX:
    """PPO of SBX with its defaults, which are SB3's, on one thread, in SB3's vector of single environments."""

    def __init__(self) -> None:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        self._models: dict[int, tuple[Any, Any]] = {}

    def iteration(self, batch: int) -> float:
        """Collect a rollout and learn from it in minibatches of ``batch``."""
        if batch not in self._models:
            self._models[batch] = self._model(batch)
        model, callback = self._models[batch]
        began = time.perf_counter()
        model.collect_rollouts(model.env, callback, model.rollout_buffer, n_rollout_steps=STEPS)
        model.train()
        return ENVIRONMENTS * STEPS / (time.perf_counter() - began)

    def close(self) -> None:
        """Do nothing: there are no other processes."""

    def _model(self, batch: int) -> Any:
        """Return a model that has compiled what it needs, and what it calls in each step."""
        sbx: Any = importlib.import_module("sbx")
        vectors: Any = importlib.import_module("stable_baselines3.common.env_util")
        environments = vectors.make_vec_env("Swimmer-v5", ENVIRONMENTS)
        network = {"net_arch": list(HIDDEN)}
        settings = {"n_steps": STEPS, "batch_size": batch, "n_epochs": EPOCHS, "learning_rate": RATE}
        model = sbx.PPO("MlpPolicy", environments, seed=0, policy_kwargs=network, **settings)
        model.learn(ENVIRONMENTS * STEPS)
        return model, model._setup_learn(10**12, reset_num_timesteps=False)[1]


PEERS = {"rllib": (RLlib, "ray", "ray.rllib"), "sbx": (SBX, "sbx-rl", "sbx")}
"""How to start each, its distribution, and its module."""


def _has(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _main() -> None:
    # What the libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    found = {peer: distribution for peer, (_, distribution, module) in PEERS.items() if _has(module)}
    if not found:
        sys.exit("neither ray.rllib nor sbx is installed")
    importlib.import_module("torch").set_num_threads(1)
    peers: dict[str, Any] = {peer: PEERS[peer][0]() for peer in found}
    versions = {peer: importlib.metadata.version(distribution) for peer, distribution in found.items()}
    try:
        print(json.dumps(versions), file=answers, flush=True)
        for line in sys.stdin:
            request = json.loads(line)
            peer = peers[request.pop("peer")]
            print(json.dumps({"speed": getattr(peer, request.pop("play"))(**request)}), file=answers, flush=True)
    finally:
        for started in peers.values():
            started.close()


if __name__ == "__main__":
    _main()
