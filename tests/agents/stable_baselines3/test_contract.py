"""Every agent in Stable-Baselines3 keeps the contract of its algorithms: what their own tests ask of theirs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import (
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize, unwrap_vec_normalize

from wormwood.agents.stable_baselines3.boosted import BoostedA2C, BoostedAWR, BoostedPPO
from wormwood.agents.stable_baselines3.on_policy import NCAPPolicy
from wormwood.agents.stable_baselines3.sac import NCAPSACPolicy
from wormwood.agents.stable_baselines3.td3 import NCAPTD3Policy
from wormwood.envs.faces.gymnasium import SwimmerEnv
from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv

OFF: dict[str, Any] = {"learning_starts": 8, "batch_size": 8, "buffer_size": 500, "device": "cpu"}
NETS: dict[str, Any] = {"policy_kwargs": {"critic_hidden": (8,)}}
Build = Callable[..., BaseAlgorithm]
AGENTS: dict[str, tuple[type[BaseAlgorithm], Build]] = {
    "ppo": (PPO, lambda env, **more: PPO(NCAPPolicy, env, n_steps=16, batch_size=16, n_epochs=2, device="cpu", **more)),
    "a2c": (A2C, lambda env, **more: A2C(NCAPPolicy, env, n_steps=8, device="cpu", **more)),
    "td3": (TD3, lambda env, **more: TD3(NCAPTD3Policy, env, **OFF, **NETS, **more)),
    "ddpg": (DDPG, lambda env, **more: DDPG(NCAPTD3Policy, env, **OFF, **NETS, **more)),
    "sac": (SAC, lambda env, **more: SAC(NCAPSACPolicy, env, **OFF, **NETS, **more)),  # type: ignore[arg-type]
    "boosted-ppo": (BoostedPPO, lambda env, **more: BoostedPPO(env, n_steps=16, batch_size=16, n_epochs=1, **more)),
    "boosted-a2c": (BoostedA2C, lambda env, **more: BoostedA2C(env, n_steps=16, **more)),
    "boosted-awr": (BoostedAWR, lambda env, **more: BoostedAWR(env, n_steps=16, batch_size=16, **more)),
}
OBSERVATIONS = np.random.default_rng(0).uniform(-0.5, 0.5, (5, 12))
OBSERVATIONS[:, -1] = np.arange(5)
pytestmark = pytest.mark.parametrize("name", AGENTS)


def _swimmers(count: int = 2, seed: int = 0) -> SwimmerVecEnv:
    return SwimmerVecEnv("swimmer-3", count, seed=seed, horizon=12)


def _predicted(model: BaseAlgorithm) -> np.ndarray[Any, Any]:
    return model.predict(OBSERVATIONS, deterministic=True)[0]


def test_it_learns_and_acts_on_one_and_on_many_observations(name: str) -> None:
    model = AGENTS[name][1](_swimmers(), seed=0)
    drawn = [model.predict(OBSERVATIONS)[0] for _ in range(2)]
    assert np.array_equal(*drawn) == (name in ("td3", "ddpg")), "only a deterministic policy repeats itself"
    before = _predicted(model)
    assert model.learn(96) is model
    assert model.num_timesteps == 96
    many = _predicted(model)
    assert many.shape == (5, 2)
    assert not np.array_equal(many, before)
    assert (np.abs(many) <= 1).all()
    for row, observation in enumerate(OBSERVATIONS):
        action, state = model.predict(observation, deterministic=True)
        assert state is None
        np.testing.assert_allclose(action, many[row], atol=1e-6)


def test_it_is_saved_loaded_and_goes_on_in_another_environment(name: str, tmp_path: Path) -> None:
    algorithm, build = AGENTS[name]
    model = build(_swimmers(), seed=0).learn(64)
    model.save(tmp_path / "agent")
    loaded = algorithm.load(tmp_path / "agent")
    np.testing.assert_array_equal(_predicted(loaded), _predicted(model))
    other = build(_swimmers(), seed=1)
    assert not np.array_equal(_predicted(other), _predicted(model))
    other.set_parameters(model.get_parameters())
    np.testing.assert_array_equal(_predicted(other), _predicted(model))
    with_env = algorithm.load(tmp_path / "agent", env=_swimmers(3), n_envs=3)
    with_env.learn(48, reset_num_timesteps=False)
    for each in (model, loaded):
        if getattr(each, "replay_buffer", None) is not None:
            each.replay_buffer.reset()  # type: ignore[attr-defined] # SB3 does not save it
        each.set_env(_swimmers(seed=5))
        set_random_seed(3)
        each.learn(64, reset_num_timesteps=False)
    assert loaded.num_timesteps == model.num_timesteps >= 128
    np.testing.assert_array_equal(_predicted(loaded), _predicted(model))


def test_the_seed_decides(name: str) -> None:
    first, again, other = (_predicted(AGENTS[name][1](_swimmers(), seed=seed).learn(64)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_callbacks_see_it_learn_and_can_stop_it(name: str, tmp_path: Path) -> None:
    stop = StopTrainingOnRewardThreshold(-1e6)
    held_out = EvalCallback(
        _swimmers(1, seed=9),
        callback_on_new_best=stop,
        eval_freq=24,
        n_eval_episodes=1,
        best_model_save_path=str(tmp_path),
        verbose=0,
    )
    model = AGENTS[name][1](_swimmers(), seed=0)
    model.learn(200, callback=CallbackList([CheckpointCallback(8, str(tmp_path)), held_out]), progress_bar=True)
    assert model.num_timesteps == 48, "any return is good enough"
    assert len(list(tmp_path.glob("rl_model_*.zip"))) == 3
    np.testing.assert_array_equal(_predicted(AGENTS[name][0].load(tmp_path / "best_model")), _predicted(model))


def test_it_is_evaluated_in_vectors_and_in_single_environments(name: str) -> None:
    model = AGENTS[name][1](_swimmers(), seed=0)
    mean, _ = evaluate_policy(model, _swimmers(2, seed=9), n_eval_episodes=4)
    single = Monitor(SwimmerEnv("swim", "swimmer-3", horizon=12))
    single.reset(seed=9)
    returns, lengths = evaluate_policy(model, single, n_eval_episodes=2, return_episode_rewards=True)
    assert np.isfinite(mean)
    assert lengths == [12, 12]
    assert len(returns) == 2  # type: ignore[arg-type]


def test_it_learns_behind_sb3s_wrappers(name: str, tmp_path: Path) -> None:
    # Structured actors know which number of an observation is what: only rewards are standardised.
    wrapped: VecEnv = VecNormalize(VecMonitor(_swimmers(), str(tmp_path / "log")), norm_obs=name.startswith("boosted"))
    model = AGENTS[name][1](wrapped, seed=0).learn(64)
    statistics = unwrap_vec_normalize(wrapped)
    assert statistics is not None
    assert statistics.ret_rms.count > 60
    assert {episode["l"] for episode in model.ep_info_buffer or []} == {12}
    assert (tmp_path / "log.monitor.csv").read_text().count("\n") >= 4


def test_it_writes_logs(name: str, tmp_path: Path) -> None:
    model = AGENTS[name][1](_swimmers(), seed=0)
    model.set_logger(configure(str(tmp_path), ["json", "csv"]))
    model.learn(96, log_interval=1)
    lines = [json.loads(line) for line in (tmp_path / "progress.json").read_text().splitlines()]
    logged = {key for line in lines for key in line}
    assert {"time/total_timesteps", "rollout/ep_rew_mean"} <= logged
    assert any(key.startswith("train/") for key in logged)
    assert (tmp_path / "progress.csv").is_file()
