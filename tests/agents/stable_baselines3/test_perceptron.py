"""The NumPy twin of Stable-Baselines3's MlpPolicy draws the actions that torch draws."""

from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from wormwood.agents.stable_baselines3.on_policy import NCAPPolicy
from wormwood.agents.stable_baselines3.perceptron import GaussianPerceptron, has_twin
from wormwood.envs.faces.stable_baselines3 import make_swimmers


class Grids(gymnasium.Env[Any, Any]):
    """Actions and observations that are matrices."""

    observation_space = spaces.Box(-1, 1, (3, 2), dtype=np.float64)
    action_space = spaces.Box(-1, 1, (2, 2))


def _policy(env: Any = None, **options: Any) -> Any:
    env = make_swimmers("swimmer-4", 5) if env is None else env
    policy = PPO("MlpPolicy", env, policy_kwargs=options, device="cpu", seed=0).policy
    with torch.no_grad():
        for parameter in policy.parameters():  # beyond the small numbers of the beginning
            parameter += 0.3 * torch.randn(parameter.shape)
    return policy


@pytest.mark.parametrize("rows", [1, 3, 16])
@pytest.mark.parametrize(
    "options",
    [{}, {"activation_fn": nn.ReLU, "net_arch": [32]}, {"net_arch": []}, {"net_arch": {"pi": [8, 9], "vf": [4]}}],
)
def test_it_draws_what_torch_draws(rows: int, options: dict[str, Any]) -> None:
    policy = _policy(**options)
    observation = np.random.default_rng(0).normal(0, 3, (rows, *policy.observation_space.shape))
    torch.manual_seed(7)
    with torch.no_grad():
        distribution = policy.get_distribution(torch.as_tensor(observation))
        expected = distribution.get_actions()
        density = distribution.log_prob(expected)
    torch.manual_seed(7)
    assert has_twin(policy, rows)
    actions, log_prob = GaussianPerceptron(policy).sample(observation)
    scale = max(1.0, float(distribution.distribution.mean.abs().max()))
    np.testing.assert_allclose(actions, expected, rtol=0, atol=1e-6 * scale)
    # The density takes its noise back out of the rounded action.
    np.testing.assert_allclose(log_prob, density, rtol=1e-5, atol=1e-5 * scale)
    assert actions.dtype == log_prob.dtype == np.float32


def test_it_follows_the_weights_of_its_policy() -> None:
    policy = _policy()
    twin, observation = GaussianPerceptron(policy), np.ones((1, 16))
    with torch.no_grad():
        policy.action_net.bias += 1.0
        mean = policy.get_distribution(torch.as_tensor(observation)).distribution.mean
    np.testing.assert_allclose(twin.mean(observation), mean, rtol=1e-5)


def test_matrices_are_read_row_by_row() -> None:
    policy = _policy(Grids())
    observation = np.arange(12.0).reshape(2, 3, 2) / 12
    with torch.no_grad():
        mean = policy.get_distribution(torch.as_tensor(observation)).distribution.mean
    np.testing.assert_allclose(GaussianPerceptron(policy).mean(observation), mean, rtol=1e-5, atol=1e-6)


class Shifted(ActorCriticPolicy):
    """Acts in a way of its own."""

    def get_distribution(self, obs: Any) -> Any:
        return super().get_distribution(obs + 1.0)


class Renamed(ActorCriticPolicy):
    """Acts as its base does."""


def test_only_what_is_an_mlp_policy_throughout_has_a_twin() -> None:
    swimmers = make_swimmers("swimmer-4", 2)

    def model(policy: Any, env: Any = swimmers, **options: Any) -> Any:
        return A2C(policy, env, device="cpu", **options).policy

    assert has_twin(model(Renamed), 16)
    assert not has_twin(model(Shifted), 16)
    assert not has_twin(model(NCAPPolicy), 16)
    assert not has_twin(model("MlpPolicy", use_sde=True), 16)
    assert not has_twin(model("MlpPolicy", policy_kwargs={"activation_fn": nn.ELU}), 16)
    assert not has_twin(model("MlpPolicy", "CartPole-v1"), 16)
    assert not has_twin(model("MlpPolicy", policy_kwargs={"net_arch": [512, 512]}), 16)
    hooked = model("MlpPolicy")
    hooked.action_net.register_forward_hook(lambda module, given, result: result + 1.0)
    assert not has_twin(hooked, 16)
    assert not has_twin(object(), 16)
