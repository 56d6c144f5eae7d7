"""Actions of boosted algorithms are the action space's: its start, its dtype, its shape."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from wormwood.agents.stable_baselines3.boosted import BoostedA2C, BoostedAWR, BoostedPPO
from wormwood.agents.stable_baselines3.boosted_dqn import BoostedDQN

SPACES = {
    "start": spaces.Discrete(3, start=1),
    "starts": spaces.MultiDiscrete([2, 3], start=[1, -5]),
    "float32": spaces.Box(-1, 1, (2,)),
    "float64": spaces.Box(-1, 1, (2,), dtype=np.float64),
    "whole": spaces.Box(0, 3, (2,), dtype=np.uint8),
}


class Strict(gymnasium.Env[Any, Any]):
    """Takes only actions that its space contains."""

    observation_space = spaces.Box(-1, 1, (2,))

    def __init__(self, action_space: spaces.Space[Any]) -> None:
        self.action_space = action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (action, self.action_space)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), float(np.sum(action)), False, False, {}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("algorithm", [BoostedPPO, BoostedA2C, BoostedAWR])
def test_actions_are_in_the_space(algorithm: Any, name: str, tmp_path: Path) -> None:
    env = Strict(SPACES[name])
    model = algorithm(env, n_steps=16, seed=0).learn(32)
    model.save(tmp_path / "model")
    observation = np.zeros(2, np.float32)
    action, _ = model.predict(observation, deterministic=True)
    assert env.action_space.contains(action)
    again, _ = algorithm.load(tmp_path / "model").predict(observation, deterministic=True)
    assert np.array_equal(action, again)


def test_q_learning_counts_choices_from_their_start() -> None:
    env = Strict(SPACES["start"])
    model = BoostedDQN(env, learning_starts=10, train_freq=8, batch_size=8, seed=0).learn(64)
    assert env.action_space.contains(model.predict(np.zeros(2, np.float32), deterministic=True)[0])


@pytest.mark.parametrize("algorithm", [BoostedPPO, BoostedA2C, BoostedAWR])
def test_a_log_has_the_name_of_its_algorithm(algorithm: Any, tmp_path: Path) -> None:
    algorithm(Strict(SPACES["start"]), n_steps=8, tensorboard_log=str(tmp_path)).learn(8)
    assert [folder.name for folder in tmp_path.iterdir()] == [f"{algorithm.__name__}_1"]
