"""What users of Stable-Baselines3 expect of any policy, asked of circuits."""

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3
from stable_baselines3.common.callbacks import CallbackList, CheckpointCallback, EvalCallback, StopTrainingOnMaxEpisodes
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from wormwood import NCAPPolicy, NCAPSACPolicy, NCAPTD3Policy, distribute, make_swimmers
from wormwood.envs.faces.gymnasium import SwimmerEnv
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput

CASES = [(PPO, NCAPPolicy), (A2C, NCAPPolicy), (TD3, NCAPTD3Policy), (DDPG, NCAPTD3Policy), (SAC, NCAPSACPolicy)]
EACH = pytest.mark.parametrize(("algorithm", "policy"), CASES)


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


def _model(algorithm, policy, env=None, **options):
    sizes = {
        PPO: {"n_steps": 16, "batch_size": 16, "n_epochs": 1},
        A2C: {"n_steps": 8},
    }.get(algorithm, {"buffer_size": 200, "learning_starts": 0, "batch_size": 8})
    env = env or make_swimmers("swimmer-4", 2)
    return algorithm(policy, env, **({"device": "cpu", "seed": 3, "verbose": 0} | sizes | options))


@EACH
def test_the_seed_decides_everything(algorithm, policy) -> None:
    first, again = (_model(algorithm, policy).learn(64) for _ in range(2))
    other = _model(algorithm, policy, seed=4).learn(64)
    observation = np.random.default_rng(0).normal(size=(4, 16)).astype(np.float32)
    observation[:, -1] = [0, 1, 2, 3]
    for name, value in first.policy.state_dict().items():
        torch.testing.assert_close(again.policy.state_dict()[name], value, rtol=0, atol=0)
    assert any(not torch.equal(other.policy.state_dict()[name], v) for name, v in first.policy.state_dict().items())
    np.testing.assert_array_equal(first.predict(observation)[0].shape, (4, 3))
    np.testing.assert_array_equal(*(m.predict(observation, deterministic=True)[0] for m in (first, again)))


@EACH
def test_one_observation_and_several_give_the_same_actions_within_the_space(algorithm, policy) -> None:
    model = _model(algorithm, policy)
    observation = model.get_env().reset()
    together, _ = model.predict(observation, deterministic=True)
    for seen, action in zip(observation, together, strict=True):
        alone, _ = model.predict(seen, deterministic=True)
        assert alone.shape == (3,)
        np.testing.assert_allclose(alone, action, atol=1e-6)
    for _ in range(5):
        assert all(model.action_space.contains(action) for action in model.predict(observation)[0])
    with pytest.raises(ValueError, match="observation shape"):
        model.predict(np.zeros((2, 5), np.float32))


@EACH
def test_a_saved_model_goes_on_as_the_one_that_was_saved(algorithm, policy, tmp_path: Path) -> None:
    model = _model(algorithm, policy).learn(64)
    model.save(tmp_path / "m")
    loaded = algorithm.load(tmp_path / "m", env=make_swimmers("swimmer-4", 2), device="cpu")
    assert loaded.num_timesteps == model.num_timesteps
    for name, value in model.policy.state_dict().items():
        torch.testing.assert_close(loaded.policy.state_dict()[name], value, rtol=0, atol=0)
    loaded.learn(32, reset_num_timesteps=False)
    assert loaded.num_timesteps >= model.num_timesteps + 32
    # The parameters alone, and the policy alone, are files of their own.
    fresh = _model(algorithm, policy, seed=9)
    fresh.set_parameters(model.get_parameters(), exact_match=True)
    model.policy.save(tmp_path / "p")
    alone = policy.load(tmp_path / "p")
    observation = model.get_env().reset()
    for other in (fresh, alone):
        np.testing.assert_array_equal(
            other.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
        )
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        algorithm.load(tmp_path / "m", env=make_swimmers("swimmer-6", 2), device="cpu")


@EACH
def test_callbacks_and_monitors_see_it_as_any_other(algorithm, policy, tmp_path: Path) -> None:
    env = DummyVecEnv([lambda: SwimmerEnv(Swim(horizon=20), body="swimmer-4")] * 2)
    model = _model(algorithm, policy, VecMonitor(env, str(tmp_path / "log")))
    stop = StopTrainingOnMaxEpisodes(max_episodes=2)
    evaluate = EvalCallback(
        VecMonitor(DummyVecEnv([lambda: SwimmerEnv(Swim(horizon=20), body="swimmer-4")])),
        best_model_save_path=str(tmp_path),
        eval_freq=10,
        n_eval_episodes=1,
        verbose=0,
    )
    model.learn(10_000, callback=CallbackList([stop, evaluate, CheckpointCallback(16, str(tmp_path), "at")]))
    assert model.num_timesteps < 200
    rows = [line.split(",") for line in (tmp_path / "log.monitor.csv").read_text().splitlines()[2:]]
    assert [length for _, length, _ in rows[:2]] == ["20", "20"]
    assert (tmp_path / "best_model.zip").exists()
    assert list(tmp_path.glob("at_*_steps.zip"))
    mean, _ = evaluate_policy(model, model.get_env(), n_eval_episodes=2)
    assert np.isfinite(mean)


@EACH
def test_normalised_rewards_are_taken_and_normalised_observations_refused(algorithm, policy, tmp_path: Path) -> None:
    def around(**options) -> VecMonitor:
        return VecMonitor(VecNormalize(make_swimmers("swimmer-4", 2), **options))

    model = _model(algorithm, policy, around(norm_obs=False)).learn(64)
    model.save(tmp_path / "m")
    at_once = "VecNormalize in environments: expected norm_obs=False: .*, got 'norm_obs=True'"
    with pytest.raises(BadInput, match=at_once) as error:
        _model(algorithm, policy, around())
    assert "\n" not in str(error.value)
    with pytest.raises(BadInput, match=at_once):
        algorithm.load(tmp_path / "m", env=around(), device="cpu")
    model.set_env(around())  # of which the policy learns only when it acts
    with pytest.raises(BadInput, match=r"clock in observation: expected whole control steps, .*norm_obs=False"):
        model.learn(64)


@EACH
def test_normalised_observations_are_refused_under_distribute_too(algorithm, policy) -> None:
    model = distribute(_model(algorithm, policy), workers=0)
    model.set_env(VecNormalize(make_swimmers("swimmer-4", 2)))
    with pytest.raises(BadInput, match=r"clock in observation: expected whole control steps, .*norm_obs=False"):
        model.learn(32)


@pytest.mark.parametrize(("algorithm", "policy"), CASES[2:])
def test_returns_of_several_steps_are_learned(algorithm, policy) -> None:
    model = _model(algorithm, policy, n_steps=3).learn(64)
    assert all(torch.isfinite(value).all() for value in model.policy.state_dict().values())


@EACH
def test_other_spaces_are_refused(algorithm, policy) -> None:
    with pytest.raises((BadInput, AssertionError, ValueError)) as error:
        _model(algorithm, policy, gymnasium.make("CartPole-v1"))
    assert "CartPole" not in str(error.value)
    with pytest.raises(BadInput, match="observation space in policy: expected"):
        _model(algorithm, policy, gymnasium.make("Pendulum-v1"))
    named = gymnasium.spaces.Dict({"joints": gymnasium.spaces.Box(-1, 1, (16,))})
    env = gymnasium.wrappers.TransformObservation(
        SwimmerEnv("swim", body="swimmer-4"), lambda seen: {"joints": seen}, named
    )
    with pytest.raises((BadInput, ValueError)):
        _model(algorithm, policy, env)
