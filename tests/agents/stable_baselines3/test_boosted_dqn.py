"""Q-learning with a forest."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import Logger

from wormwood.agents.stable_baselines3.boosted_dqn import BoostedDQN, BoostedQPolicy
from wormwood.errors import BadInput
from wormwood.trees.config import TreeConfig

SMALL: dict[str, Any] = {"policy_kwargs": {"tree": TreeConfig(max_depth=2, max_bins=16)}, "batch_size": 32}


class Lamp(gymnasium.Env[Any, Any]):
    """Rewards the choice that a category of a dictionary names."""

    observation_space = spaces.Dict({"colour": spaces.Discrete(3), "noise": spaces.Box(-1, 1, (1,))})
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == (self.colour + 1) % 3)
        return self._observe(), reward, False, False, {}

    def _observe(self) -> dict[str, Any]:
        self.colour = int(self.np_random.integers(3))
        return {"colour": self.colour, "noise": self.np_random.uniform(-1, 1, 1).astype(np.float32)}


gymnasium.register("Lamp-v1", Lamp, max_episode_steps=20)


def _one_transition(done: bool = False, **settings: Any) -> BoostedDQN:
    """An algorithm that remembers nothing but one step of CartPole, taken by the choice 1 and rewarded with 2."""
    model = BoostedDQN("CartPole-v1", rate=0.5, gamma=0.5, seed=0, **settings)
    model.set_logger(Logger(folder=None, output_formats=[]))
    assert model.replay_buffer is not None
    here, there = np.zeros((1, 4)), np.ones((1, 4))
    model.replay_buffer.add(here, there, np.array([1]), np.array([2.0]), np.array([done]), [{}])
    return model


def _values(model: BoostedDQN) -> list[float]:
    values: list[float] = model.policy.q_net(torch.zeros((1, 4)))[0].tolist()
    return values


def test_values_approach_rewards_and_what_the_target_expects_by_hand() -> None:
    model = _one_transition()
    model.train(1, 8)
    # Target 2 + 0.5 * 0, error -2, of which the rate takes half.
    assert _values(model) == [0.0, 1.0]
    model.train(1, 8)  # The target has no tree yet: error -1.
    assert _values(model) == [0.0, 1.5]
    model.policy.q_net.follow()
    model.train(2, 8)
    # One observation makes no split: the target expects 1.5 elsewhere, too. 2.75 - 1.5 = 1.25, half of it, and again.
    assert _values(model) == [0.0, 1.5 + 0.625 + 0.3125]
    assert len(model.policy.q_net.forest) == 4


def test_nothing_is_expected_after_the_end_and_long_gradients_are_clipped() -> None:
    model = _one_transition(done=True)
    for _ in range(2):
        model.train(1, 8)
        model.policy.q_net.follow()
    assert _values(model) == [0.0, 1.5]
    clipped = _one_transition(grad_clip=0.25)
    clipped.train(1, 8)
    assert _values(clipped) == [0.0, 0.125]


def test_the_target_is_an_older_prefix_until_it_follows() -> None:
    model = _one_transition()
    q, there = model.policy.q_net, torch.ones((1, 4))
    model.train(3, 8)
    assert q.target(there).tolist() == [[0.0, 0.0]]
    q.follow()
    assert q.target(there)[0].tolist() == pytest.approx(_values(model))


@pytest.mark.parametrize("name", ["CartPole-v1", "Lamp-v1"])
def test_it_learns_saves_loads_and_goes_on(name: str, tmp_path: Path) -> None:
    model = BoostedDQN(make_vec_env(name, 2, seed=0), seed=0, learning_starts=64, **SMALL)
    model.learn(512)
    assert len(model.policy.q_net.forest) == model._n_updates > 0
    model.save(tmp_path / "model")
    loaded = BoostedDQN.load(tmp_path / "model")
    observation = make_vec_env(name, 8, seed=1).reset()
    np.testing.assert_array_equal(
        model.predict(observation, deterministic=True)[0], loaded.predict(observation, deterministic=True)[0]
    )
    assert loaded.policy.q_net.target_trees == model.policy.q_net.target_trees
    before = len(loaded.policy.q_net.forest)
    loaded.set_env(make_vec_env(name, 2, seed=7))
    loaded.learn(512, reset_num_timesteps=False)
    assert len(loaded.policy.q_net.forest) > before


def test_categories_are_learned_exactly() -> None:
    model = BoostedDQN("Lamp-v1", seed=0, gamma=0.0, learning_starts=100, exploration_fraction=0.5)
    model.learn(3000)
    mean, _ = evaluate_policy(model, make_vec_env("Lamp-v1", 1, seed=5), n_eval_episodes=5)
    assert mean == 20


def test_the_same_seed_gives_the_same_trees() -> None:
    runs = []
    for seed in (1, 1, 2):
        model = BoostedDQN("MlpPolicy", make_vec_env("CartPole-v1", 2, seed=seed), seed=seed, **SMALL)
        runs.append(model.learn(512).policy.q_net.forest.arrays()["leaves"])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert runs[0].shape != runs[2].shape or (runs[0] != runs[2]).any()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(
        BadInput, match=r"unknown option in policy_kwargs: expected one of tree; layers .*got 'net_arch'"
    ):
        BoostedDQN("CartPole-v1", policy_kwargs={"net_arch": [64]})
    with pytest.raises(AssertionError, match="Discrete"):  # SB3's own check
        BoostedDQN(BoostedQPolicy, "Pendulum-v1")
