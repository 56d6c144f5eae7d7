from __future__ import annotations

from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy

import wormwood
from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv


class TorchPolicy(ActorCriticPolicy):
    """Stable-Baselines3's own, which has no twin in NumPy for it might act in another way."""

    def get_distribution(self, obs: Any) -> Any:
        return super().get_distribution(obs)


def test_a_rollout_in_numpy_is_the_one_in_torch() -> None:
    buffers: list[Any] = []
    for policy in ("MlpPolicy", TorchPolicy):
        model = wormwood.distribute(
            PPO(policy, SwimmerVecEnv("swimmer-4", 6, seed=0, horizon=20), seed=0, n_steps=32, batch_size=48), workers=0
        )
        model.train = lambda: None  # type: ignore[method-assign]
        model.learn(192)
        buffers.append(model.rollout_buffer)
    in_numpy, in_torch = buffers
    for name in ("actions", "log_probs", "observations", "advantages"):
        np.testing.assert_allclose(getattr(in_numpy, name), getattr(in_torch, name), rtol=1e-4, atol=1e-4)
    assert abs(in_numpy.actions - in_torch.actions)[0].max() < 1e-6
