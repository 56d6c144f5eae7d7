"""Distributed models learn the same with any number of workers, and are otherwise what they were."""

import copy
import os
import pickle
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
import ray
import torch
from gymnasium import spaces
from sb3_contrib import ARS
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnMaxEpisodes,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

import wormwood
from wormwood.agents.stable_baselines3.boosted import BoostedPPO
from wormwood.agents.stable_baselines3.on_policy import NCAPPolicy
from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv
from wormwood.errors import BadInput
from wormwood.launch.distribute.environments import GymnasiumVecEnv, makers_of
from wormwood.launch.run.ray_session import ray_session

SHORT: dict[str, Any] = {"n_steps": 32, "batch_size": 64, "n_epochs": 2, "seed": 0, "device": "cpu"}


def _swimmers(count: int = 6, horizon: int = 20, seed: int = 0) -> SwimmerVecEnv:
    return SwimmerVecEnv("swimmer-4", count, seed=seed, horizon=horizon)


def _parameters(model: BaseAlgorithm) -> np.ndarray[Any, Any]:
    if isinstance(model, BoostedPPO):
        leaves: np.ndarray[Any, Any] = model.policy.actor_critic.forest_arrays()["policy/leaves"]
        return leaves
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in model.policy.parameters()])


class Vectors(gymnasium.Env[Any, Any]):
    """Rewards the choice that a dictionary of observations names; episodes of 10 steps end by themselves."""

    observation_space = spaces.Dict({"goal": spaces.Discrete(3), "noise": spaces.Box(-1, 1, (2,))})
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        right = float(action == self.goal)
        return self._observe(), right, self.t >= 10, False, {"is_success": bool(right)}

    def _observe(self) -> dict[str, Any]:
        self.goal = int(self.np_random.integers(3))
        return {"goal": self.goal, "noise": self.np_random.uniform(-1, 1, 2).astype(np.float32)}


def _ppo() -> BaseAlgorithm:
    return PPO("MlpPolicy", _swimmers(), **SHORT)


def _ppo_normalized() -> BaseAlgorithm:
    env = DummyVecEnv([partial(gymnasium.make, "Pendulum-v1")] * 4)
    return PPO("MlpPolicy", VecNormalize(VecMonitor(env)), **SHORT)


def _circuit() -> BaseAlgorithm:
    return PPO(NCAPPolicy, _swimmers(), **SHORT)


def _boosted() -> BaseAlgorithm:
    return BoostedPPO(make_vec_env("CartPole-v1", 3), n_steps=32, batch_size=64, epochs=1, seed=0)


def _a2c_dictionaries() -> BaseAlgorithm:
    return A2C("MultiInputPolicy", DummyVecEnv([Vectors] * 2), seed=0, device="cpu")


def _a2c_sde() -> BaseAlgorithm:
    return A2C("MlpPolicy", _swimmers(), use_sde=True, sde_sample_freq=2, seed=0, device="cpu")


def _td3() -> BaseAlgorithm:
    noise = OrnsteinUhlenbeckActionNoise(np.zeros(3), 0.1 * np.ones(3))
    kept: dict[str, Any] = {"train_freq": 8, "learning_starts": 50, "batch_size": 16, "action_noise": noise}
    return TD3("MlpPolicy", _swimmers(), policy_kwargs={"net_arch": [16]}, seed=0, device="cpu", **kept)


def _sac_normalized() -> BaseAlgorithm:
    env = VecNormalize(make_vec_env("Pendulum-v1", 2))
    kept: dict[str, Any] = {"train_freq": 8, "learning_starts": 50, "batch_size": 16}
    return SAC("MlpPolicy", env, policy_kwargs={"net_arch": [16]}, seed=0, device="cpu", **kept)


def _dqn() -> BaseAlgorithm:
    kept: dict[str, Any] = {"train_freq": 8, "learning_starts": 50, "batch_size": 16, "exploration_fraction": 0.5}
    return DQN("MlpPolicy", make_vec_env("CartPole-v1", 3), seed=0, device="cpu", **kept)


MODELS: dict[str, tuple[Callable[[], BaseAlgorithm], Any]] = {
    "ppo": (_ppo, None),
    "ppo-normalized": (_ppo_normalized, None),
    "circuit": (_circuit, None),
    "boosted": (_boosted, None),
    "a2c-dictionaries": (_a2c_dictionaries, Vectors),
    "a2c-sde": (_a2c_sde, None),
    "td3": (_td3, None),
    "sac-normalized": (_sac_normalized, None),
    "dqn": (_dqn, None),
}


@pytest.fixture(scope="module")
def _one_ray_for_all() -> Iterator[None]:
    with ray_session(2):
        # Workers know the classes of this file by value: they cannot import it.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield


@pytest.mark.usefixtures("_one_ray_for_all")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "boosted" else ()) for name in MODELS]
)
def test_what_is_learned_does_not_depend_on_the_workers(name: str) -> None:
    build, make = MODELS[name]
    learned, rewards = [], []
    for workers in (0, 1, 2):
        model = wormwood.distribute(build(), workers=workers, make=make)
        model.learn(200)
        learned.append(_parameters(model))
        rewards.append([episode["r"] for episode in model.ep_info_buffer or []])
    np.testing.assert_array_equal(learned[0], learned[1])
    np.testing.assert_array_equal(learned[0], learned[2])
    assert rewards[0] == rewards[1] == rewards[2]
    assert not np.array_equal(learned[0], _parameters(build()))


def test_what_is_learned_does_not_depend_on_the_threads() -> None:
    learned = []
    for threads in (1, 2):
        swimmers = SwimmerVecEnv("swimmer-4", 6, seed=0, horizon=20, threads=threads)
        model: Any = wormwood.distribute(PPO("MlpPolicy", swimmers, **SHORT), workers=0, shards=1)
        learned.append(_parameters(model.learn(192)))
        assert model._collector.recipe.build(0, 6).threads == threads
        assert model._collector.recipe.for_workers().build(0, 6).threads == 1
    np.testing.assert_array_equal(*learned)


@pytest.mark.usefixtures("_one_ray_for_all")
def test_collecting_while_learning_is_as_reproducible() -> None:
    learned = []
    for workers, lag in ((0, 1), (2, 1), (0, 0)):
        model = wormwood.distribute(_ppo(), workers=workers, lag=lag)
        model.learn(600)
        model.learn(300, reset_num_timesteps=False)
        model.learn(300)
        learned.append(_parameters(model))
    np.testing.assert_array_equal(learned[0], learned[1])
    assert not np.array_equal(learned[0], learned[2])


@pytest.mark.usefixtures("_one_ray_for_all")
@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_a_worker_killed_in_the_middle_changes_nothing(name: str) -> None:
    build, _ = MODELS[name]
    expected = _parameters(wormwood.distribute(build(), workers=0).learn(800))
    model: Any = wormwood.distribute(build(), workers=2)
    killed = []

    class Kills(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            if not killed and model.num_timesteps > 100:
                # On a busy machine one of the two may still be starting.
                workers = model._collector._executor.status()
                killed.append(next(worker["process"] for worker in workers if worker["state"] == "idle"))
                os.kill(killed[0], signal.SIGKILL)

    model.learn(800, callback=Kills())
    assert len(killed) == 1
    np.testing.assert_array_equal(_parameters(model), expected)


class Breaks(Vectors):
    """Fails in its seventh step."""

    def step(self, action: Any) -> Any:
        if self.t == 6:
            raise ZeroDivisionError("the goal has moved")
        return super().step(action)


@pytest.mark.usefixtures("_one_ray_for_all")
def test_an_error_of_an_environment_arrives_with_its_traceback() -> None:
    model = A2C("MultiInputPolicy", DummyVecEnv([Breaks] * 2), device="cpu")
    with pytest.raises(ZeroDivisionError, match="the goal has moved") as caught:
        wormwood.distribute(model, workers=1, make=Breaks).learn(100)
    assert "In a Ray worker" in caught.value.__notes__[0]
    assert 'raise ZeroDivisionError("the goal has moved")' in caught.value.__notes__[0]


def test_ray_is_not_even_imported_without_workers() -> None:
    script = """
import sys
import wormwood
assert not {"ray", "torch", "stable_baselines3"} & set(sys.modules)
from stable_baselines3 import A2C
wormwood.distribute(A2C("MlpPolicy", "CartPole-v1", device="cpu"), workers=0).learn(20)
assert "ray" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_rollout_holds_what_sb3s_own_would_hold() -> None:
    env = VecNormalize(_swimmers(horizon=10), gamma=0.9)
    model = wormwood.distribute(PPO("MlpPolicy", env, gamma=0.9, **SHORT), workers=0, shards=2)
    seen: list[dict[str, Any]] = []

    class Looks(BaseCallback):
        def _on_step(self) -> bool:
            seen.append({name: copy.deepcopy(self.locals[name]) for name in ("rewards", "dones", "infos", "new_obs")})
            return True

    model.train = lambda: None  # type: ignore[method-assign] # it would put the buffer into another order
    model.learn(6 * 32, callback=Looks())
    assert len(seen) == 32
    buffer = model.rollout_buffer
    # Episodes of 10 steps were cut: a value is added where they end.
    rewards = np.stack([step["rewards"] for step in seen])
    added = buffer.rewards - rewards
    assert np.flatnonzero(added.any(axis=1)).tolist() == [9, 19, 29]
    assert buffer.episode_starts[:, 0].nonzero()[0].tolist() == [0, 10, 20, 30]
    assert [len([info for info in step["infos"] if "episode" in info]) for step in seen].count(6) == 3
    # Whoever acts sees the statistics of the rollout's start, which are those of one reset here.
    assert env.obs_rms.count == pytest.approx(6 * 33 + 1e-4)  # type: ignore[union-attr]
    fresh = VecNormalize(_swimmers(horizon=10))
    np.testing.assert_array_equal(buffer.observations[0], fresh.reset().astype(np.float32))
    # The distribution that acted is the one that trains: the first ratio of PPO is 1.
    undone = wormwood.distribute(
        PPO("MlpPolicy", _swimmers(), **{**SHORT, "n_epochs": 1, "batch_size": 192}), workers=0
    )
    undone.learn(192)
    assert undone.logger.name_to_value["train/approx_kl"] == pytest.approx(0, abs=1e-7)


def test_the_density_of_an_action_is_that_of_the_policy_that_drew_it() -> None:
    model = wormwood.distribute(PPO("MlpPolicy", VecNormalize(_swimmers()), **SHORT), workers=0)
    model.train = lambda: None  # type: ignore[method-assign]
    model.learn(192)
    buffer: Any = model.rollout_buffer
    flat = [torch.as_tensor(getattr(buffer, name)).flatten(0, 1) for name in ("observations", "actions", "log_probs")]
    values, log_prob, _ = model.policy.evaluate_actions(flat[0], flat[1])
    np.testing.assert_allclose(log_prob.detach(), flat[2], atol=1e-5)
    np.testing.assert_allclose(values.detach().ravel(), buffer.values.ravel(), atol=1e-5)


def test_callbacks_are_called_as_before(tmp_path: Path) -> None:
    callbacks = [
        CheckpointCallback(8, str(tmp_path)),
        EvalCallback(
            VecNormalize(_swimmers(2, seed=9), training=False),
            eval_freq=16,
            n_eval_episodes=2,
            verbose=0,
            log_path=str(tmp_path),
        ),
    ]
    model = wormwood.distribute(PPO("MlpPolicy", VecNormalize(_swimmers()), **SHORT), workers=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.learn(384, callback=callbacks, progress_bar=True)
    assert len(list(tmp_path.glob("rl_model_*_steps.zip"))) == 8
    assert np.load(tmp_path / "evaluations.npz")["timesteps"].tolist() == [96, 192, 288, 384]
    assert model.num_timesteps == 384


def test_a_callback_that_stops_stops_and_learning_can_go_on() -> None:
    model = wormwood.distribute(_ppo(), workers=0)
    model.learn(10_000, callback=StopTrainingOnMaxEpisodes(2))
    assert model.num_timesteps == 2 * 20 * 6
    model.learn(192, reset_num_timesteps=False)
    assert model.num_timesteps == 2 * 20 * 6 + 192
    wormwood.distribute(_dqn(), workers=0).learn(2_000, callback=StopTrainingOnMaxEpisodes(2))


def test_a_saved_model_is_one_of_sb3(tmp_path: Path) -> None:
    model = wormwood.distribute(_ppo(), workers=0)
    model.learn(192)
    model.save(tmp_path / "model")
    plain = PPO.load(tmp_path / "model")
    assert type(plain) is PPO
    np.testing.assert_array_equal(_parameters(plain), _parameters(model))
    observation = _swimmers().reset()
    actions = [each.predict(observation, deterministic=True)[0] for each in (plain, model)]
    np.testing.assert_array_equal(*actions)
    assert type(model) is PPO
    assert not {"_collector", "collect_rollouts", "_excluded_save_params"} & vars(plain).keys()
    copied = pickle.loads(pickle.dumps(model.get_parameters()))
    assert copied.keys() == plain.get_parameters().keys()


def test_copies_learn_what_the_original_learns() -> None:
    model = wormwood.distribute(_ppo(), workers=0)
    learned = []
    for each in (copy.deepcopy(model), cloudpickle.loads(cloudpickle.dumps(model)), model):
        each.set_random_seed(3)
        learned.append(_parameters(each.learn(192)))
    np.testing.assert_array_equal(learned[0], learned[2])
    np.testing.assert_array_equal(learned[1], learned[2])


def test_the_environments_stay_those_of_the_user() -> None:
    swimmers = VecNormalize(_swimmers())
    model = wormwood.distribute(PPO("MlpPolicy", swimmers, **SHORT), workers=0)
    model.learn(192)
    assert model.get_env() is swimmers
    assert type(swimmers.venv) is SwimmerVecEnv


def test_another_environment_can_be_set() -> None:
    model = wormwood.distribute(_ppo(), workers=0)
    model.learn(192)
    before = _parameters(model)
    model.set_env(VecMonitor(_swimmers(seed=5)))
    model.learn(192, reset_num_timesteps=False)
    assert not np.array_equal(_parameters(model), before)
    env = model.get_env()
    assert isinstance(env, VecMonitor)
    assert env.get_attr("steps") == [32 % 20] * 6, "swimmers stand where the rollout ended"
    assert isinstance(env.venv, SwimmerVecEnv)
    distributed_again = wormwood.distribute(model, workers=0, shards=1)
    assert distributed_again.learn(192) is model


class Filmed(VecMonitor):
    pass


def test_environments_that_cannot_be_repeated_are_named() -> None:
    def refused(env: Any) -> None:
        wormwood.distribute(A2C("MultiInputPolicy", env, device="cpu"), workers=0)

    with pytest.raises(
        BadInput, match=r"environment in distribute: expected environments of gymnasium\.make, or make="
    ):
        refused(DummyVecEnv([Vectors]))
    filmed = Filmed(make_vec_env("CartPole-v1", 1))
    with pytest.raises(BadInput, match=r"wrapper in distribute: expected one of .* got 'Filmed'"):
        wormwood.distribute(A2C("MlpPolicy", filmed, device="cpu"), workers=0)
    with pytest.raises(BadInput, match="model in distribute: expected one with environments"):
        wormwood.distribute(A2C("MlpPolicy", None, _init_setup_model=False), workers=0)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="workers in distribute"):
        wormwood.distribute(_ppo(), workers=-1)


OWN = type("Own", (PPO,), {"collect_rollouts": lambda *_: True})


@pytest.mark.parametrize(("algorithm", "policy"), [(OWN, "MlpPolicy"), (ARS, "LinearPolicy")])
def test_algorithms_that_collect_in_another_way_are_refused(algorithm: Any, policy: str) -> None:
    expected = rf"algorithm in distribute: expected an algorithm that collects as .*got '{algorithm.__name__}'"
    with pytest.raises(BadInput, match=expected):
        wormwood.distribute(algorithm(policy, make_vec_env("CartPole-v1", 1), device="cpu"), workers=0)


def test_an_episode_of_gymnasium_is_played_again_elsewhere() -> None:
    makers = makers_of(make_vec_env("CartPole-v1", 2), None)
    here, there = GymnasiumVecEnv(makers, 0), GymnasiumVecEnv(makers, 0)
    here.restore({"run_seed": 3})
    for t in range(30):
        here.step(np.array([t % 2, 1 - t % 2]))
    np.testing.assert_array_equal(there.restore(here.state()), here.state()["observation"])
    for _ in range(40):
        one, two = here.step(np.array([1, 0])), there.step(np.array([1, 0]))
        for left, right in zip(one[:3], two[:3], strict=True):
            np.testing.assert_array_equal(left, right)
    other = here.state()
    other["observation"] = other["observation"] + 1
    elsewhere = GymnasiumVecEnv(makers, 0)
    assert (np.abs(elsewhere.restore(other)) < 0.05).all(), "what cannot be played again is given up"
