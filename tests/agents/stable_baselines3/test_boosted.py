"""Boosted algorithms as drop-ins for Stable-Baselines3's."""

import dataclasses
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback, StopTrainingOnRewardThreshold
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import set_random_seed

from wormwood.agents.learning.boosted.encoding import feature_map_of_space
from wormwood.agents.learning.boosted.settings import BoostingConfig
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.stable_baselines3.boosted import (
    BoostedA2C,
    BoostedActorCriticPolicy,
    BoostedAWR,
    BoostedPPO,
    _BoostedAlgorithm,
)
from wormwood.errors import BadInput
from wormwood.trees.config import TreeConfig

FAST: dict[str, Any] = {"n_steps": 32, "batch_size": 32}
WHOLE = {"n_steps": 32}  # of A2C, which makes one tree of each rollout
SMALL = {"agent": ForestConfig(tree=TreeConfig(max_depth=2, max_bins=16))}


class Mixed(gymnasium.Env[Any, Any]):
    """Rewards the choice that a category of a dictionary names; a number beside it means nothing."""

    observation_space = spaces.Dict({"colour": spaces.Discrete(3), "noise": spaces.Box(-1, 1, (2,))})
    action_space = spaces.MultiDiscrete([3, 2])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action[0] == (self.colour + 1) % 3)
        return self._observe(), reward, False, False, {}

    def _observe(self) -> dict[str, Any]:
        self.colour = int(self.np_random.integers(3))
        return {"colour": self.colour, "noise": self.np_random.uniform(-1, 1, 2).astype(np.float32)}


gymnasium.register("Mixed-v1", Mixed, max_episode_steps=20)


@pytest.mark.parametrize("critic", ["forest", "mlp"])
@pytest.mark.parametrize("algorithm", [BoostedPPO, BoostedA2C, BoostedAWR])
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Mixed-v1"])
def test_it_learns_saves_loads_and_goes_on(
    algorithm: type[_BoostedAlgorithm], name: str, critic: str, tmp_path: Path
) -> None:
    agent = {"agent": dataclasses.replace(SMALL["agent"], shares_trees=critic == "forest")}
    sizes = WHOLE if algorithm is BoostedA2C else FAST
    model = algorithm(make_vec_env(name, 2, seed=0), seed=0, policy_kwargs=agent, critic=critic, **sizes)
    model.learn(128)
    trees = len(model.policy.actor_critic.forests["policy"])
    assert trees == 2 * {"ppo": 2 * model.settings.epochs, "awr": 2 * model.settings.epochs, "a2c": 1}[model.loss]
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model")
    observation = model.get_env().reset()  # type: ignore[union-attr]
    for deterministic in (True, False):
        actions = []
        for each in (model, loaded):
            set_random_seed(5)
            actions.append(each.predict(observation, deterministic=deterministic)[0])
        np.testing.assert_array_equal(*actions)
    for each in (model, loaded):
        each.set_env(make_vec_env(name, 2, seed=7))
        set_random_seed(3)
        each.learn(64, reset_num_timesteps=False)
    ours, theirs = (each.policy.actor_critic.forest_arrays() for each in (model, loaded))
    for key, values in ours.items():
        np.testing.assert_array_equal(values, theirs[key], err_msg=key)
    observation = model.policy.obs_to_tensor(observation)[0]
    assert torch.equal(model.policy.predict_values(observation), loaded.policy.predict_values(observation))


def test_the_same_seed_gives_the_same_trees() -> None:
    runs = []
    for seed in (1, 1, 2):
        model = BoostedPPO("MlpPolicy", make_vec_env("CartPole-v1", 2, seed=seed), seed=seed, **FAST)
        runs.append(model.learn(128).policy.actor_critic.forest_arrays()["policy/leaves"])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()


def test_callbacks_evaluation_and_single_observations_work(tmp_path: Path) -> None:
    held_out = make_vec_env("CartPole-v1", 1, seed=9)
    stop = StopTrainingOnRewardThreshold(5.0)
    callbacks = [
        CheckpointCallback(32, str(tmp_path)),
        EvalCallback(held_out, callback_on_new_best=stop, eval_freq=32, n_eval_episodes=2, verbose=0),
    ]
    model = BoostedPPO("CartPole-v1", seed=0, **FAST)
    model.learn(320, callback=callbacks, progress_bar=False)
    assert model.num_timesteps == 32  # any policy balances for 5 steps
    assert list(tmp_path.glob("*.zip"))
    mean, _ = evaluate_policy(model, held_out, n_eval_episodes=3)
    assert mean >= 5
    action, state = model.predict(np.zeros(4, np.float32), deterministic=True)
    assert (np.shape(action), state) == ((), None)
    assert model.get_parameters().keys() == {"policy", "policy.optimizer"}


def test_a_policy_evaluates_the_actions_that_it_drew() -> None:
    for name in ("CartPole-v1", "Pendulum-v1", "Mixed-v1"):
        model = BoostedPPO(make_vec_env(name, 4, seed=0), seed=0, **FAST)
        model.learn(128)
        observation = model.policy.obs_to_tensor(model.get_env().reset())[0]  # type: ignore[union-attr]
        actions, values, log_prob = model.policy(observation)
        again, same, entropy = model.policy.evaluate_actions(observation, actions)
        assert torch.equal(again, values)
        np.testing.assert_allclose(same, log_prob, rtol=1e-6)
        assert entropy is not None
        assert torch.equal(model.policy.predict_values(observation), values)
        assert values.shape == (4, 1)


def test_categories_and_choices_are_learned_exactly() -> None:
    settings = BoostingConfig(policy_rate=0.3)
    env = make_vec_env("Mixed-v1", 4, seed=0)
    model = BoostedPPO(env, seed=0, boosting=settings, n_steps=64, batch_size=64, gamma=0.0)
    model.learn(5000)
    forest = model.policy.actor_critic.forests["policy"]
    assert forest.arrays()["categorical"].any()
    mean, _ = evaluate_policy(model, make_vec_env("Mixed-v1", 1, seed=5), n_eval_episodes=5)
    assert mean == 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_step": 5}, "unknown setting in BoostedPPO: .*nearest: 'n_steps'"),
        ({"policy_kwargs": {"net_arch": [64]}}, "unknown option in policy_kwargs: .*got 'net_arch'"),
    ],
)
def test_unknown_settings_are_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        BoostedPPO("CartPole-v1", **settings)


def test_spaces_of_other_kinds_are_refused() -> None:
    class Binary(Mixed):
        action_space = spaces.MultiBinary(2)  # type: ignore[assignment]

    with pytest.raises(AssertionError, match="MultiBinary"):  # SB3's own check
        BoostedPPO(Binary())
    with pytest.raises(BadInput, match="observation space in policy: expected numbers or choices"):
        feature_map_of_space(spaces.Dict({"a": spaces.Text(3)}))


def test_the_policy_names_itself_where_sb3_expects_a_class() -> None:
    model = BoostedPPO(BoostedActorCriticPolicy, "CartPole-v1", **FAST)
    assert isinstance(model.policy, BoostedActorCriticPolicy)
