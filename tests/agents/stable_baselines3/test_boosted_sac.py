"""Soft actor-critic with forests as critics."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger

from wormwood.agents.stable_baselines3.boosted_sac import BoostedSAC, BoostedSACPolicy
from wormwood.errors import BadInput
from wormwood.trees.config import TreeConfig

SMALL: dict[str, Any] = {
    "policy_kwargs": {"tree": TreeConfig(max_depth=2, max_bins=16), "net_arch": [8]},
    "batch_size": 32,
    "gradient_steps": 4,
    "target_update_interval": 8,
    "learning_starts": 64,
}


class Aim(gymnasium.Env[Any, Any]):
    """Rewards actions near 0.5 on one side of a coin, and near -0.5 on the other."""

    observation_space = spaces.Dict({"side": spaces.Box(-1, 1, (1,)), "noise": spaces.Box(-1, 1, (1,))})
    action_space = spaces.Box(-1, 1, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = -float((action[0] - 0.5 * self.side) ** 2)
        return self._observe(), reward, False, False, {}

    def _observe(self) -> dict[str, Any]:
        self.side = 1.0 if self.np_random.random() < 0.5 else -1.0
        return {"side": np.array([self.side], np.float32), "noise": self.np_random.uniform(-1, 1, 1).astype(np.float32)}


gymnasium.register("Aim-v1", Aim, max_episode_steps=20)


def _one_transition(done: bool = False, **settings: Any) -> BoostedSAC:
    """An algorithm that remembers nothing but one step of Pendulum, rewarded with 2, and whose entropy is worth 0."""
    model = BoostedSAC("Pendulum-v1", rate=0.5, gamma=0.5, seed=0, ent_coef=0.0, **settings)
    model.set_logger(Logger(folder=None, output_formats=[]))
    assert model.replay_buffer is not None
    here, there = np.zeros((1, 3)), np.ones((1, 3))
    model.replay_buffer.add(here, there, np.array([[0.25]]), np.array([2.0]), np.array([done]), [{}])
    return model


def _value(model: BoostedSAC) -> float:
    return float(model._twins.values(np.zeros((1, 3)), torch.tensor([[0.25]]))[0])


def test_values_approach_rewards_and_what_the_targets_expect_by_hand() -> None:
    model = _one_transition(target_update_interval=3)
    model.train(1, 8)
    assert _value(model) == 1.0  # Target 2 + 0.5 * 0, of which the rate takes half.
    model.train(1, 8)
    assert (_value(model), model._twins.target_trees) == (1.5, 0)
    model.train(1, 8)
    assert (_value(model), model._twins.target_trees) == (1.75, 3)
    model.train(1, 8)  # One row makes no split, so 1.75 is expected elsewhere, too: the target is 2.875.
    assert _value(model) == 1.75 + 0.5 * 1.125
    assert [len(forest) for forest in model._twins.forests] == [4, 4]


def test_nothing_is_expected_after_the_end_and_long_gradients_are_clipped() -> None:
    model = _one_transition(done=True, target_update_interval=1)
    for _ in range(2):
        model.train(1, 8)
    assert _value(model) == 1.5
    clipped = _one_transition(grad_clip=0.25)
    clipped.train(1, 8)
    assert _value(clipped) == 0.125


def test_entropy_that_is_expected_adds_to_the_value() -> None:
    model = _one_transition()
    model.ent_coef_tensor = torch.tensor(0.1)
    data = SimpleNamespace(
        observations=torch.zeros((4, 3)),
        next_observations=torch.ones((4, 3)),
        rewards=torch.full((4, 1), 2.0),
        dones=torch.zeros((4, 1)),
        discounts=None,
    )
    torch.manual_seed(3)
    _, log_prob = model.actor.action_log_prob(data.next_observations)
    torch.manual_seed(3)
    expected = 2.0 - 0.5 * 0.1 * log_prob.detach().numpy()
    np.testing.assert_allclose(model._targets(data), expected, rtol=1e-6)


def test_the_lower_of_both_values_counts() -> None:
    model = _one_transition()
    model.train(2, 8)
    twins = model._twins
    twins.forests[1] = twins.forests[1][:1]
    assert _value(model) == 1.0


def test_the_actor_moves_to_what_is_worth_more_in_each_state() -> None:
    env = make_vec_env("Aim-v1", 4, seed=0)
    settings = {"gamma": 0.0, "learning_rate": 1e-2, "learning_starts": 200, "ent_coef": 0.001}
    model = BoostedSAC("MultiInputPolicy", env, seed=0, policy_kwargs={"net_arch": [32]}, **settings)
    model.learn(2500)
    sides = {"side": np.array([[1.0], [-1.0]], np.float32), "noise": np.zeros((2, 1), np.float32)}
    actions, _ = model.predict(sides, deterministic=True)
    np.testing.assert_allclose(actions, [[0.5], [-0.5]], atol=0.2)


def test_it_learns_saves_loads_and_goes_on(tmp_path: Path) -> None:
    model = BoostedSAC(make_vec_env("Pendulum-v1", 2, seed=0), seed=0, **SMALL)
    model.learn(512)
    assert len(model._twins.forests[0]) == len(model._twins.forests[1]) == model._n_updates > 0
    assert model._twins.target_trees > 0
    model.save(tmp_path / "model")
    loaded = BoostedSAC.load(tmp_path / "model")
    observation = make_vec_env("Pendulum-v1", 8, seed=1).reset()
    np.testing.assert_array_equal(
        model.predict(observation, deterministic=True)[0], loaded.predict(observation, deterministic=True)[0]
    )
    for ours, theirs in zip(model._twins.forests, loaded._twins.forests, strict=True):
        np.testing.assert_array_equal(ours.arrays()["leaves"], theirs.arrays()["leaves"])
    assert loaded._twins.target_trees == model._twins.target_trees
    before = len(loaded._twins.forests[0])
    loaded.set_env(make_vec_env("Pendulum-v1", 2, seed=7))
    loaded.learn(512, reset_num_timesteps=False)
    assert len(loaded._twins.forests[0]) > before


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadInput, match=r"value in BoostedSAC.draws: expected .* greater than or equal to 2, got 1"):
        BoostedSAC("Pendulum-v1", draws=1)
    with pytest.raises(BadInput, match="use_sde in BoostedSAC: expected no state-dependent noise"):
        BoostedSAC("Pendulum-v1", use_sde=True)
    with pytest.raises(AssertionError, match="Box"):  # SB3's own check
        BoostedSAC(BoostedSACPolicy, "CartPole-v1")
