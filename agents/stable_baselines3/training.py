"""What learners share that call the ``train`` of a Stable-Baselines3 algorithm on fragments from elsewhere."""

from __future__ import annotations

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from wormwood.agents.learning.determinism import seeded_generators
from wormwood.agents.learning.interfaces import Transitions
from wormwood.agents.policies.interfaces import Floats
from wormwood.agents.stable_baselines3.spaces import sb3_spaces
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["fill_buffer", "flat_tensor", "set_up", "take_metrics"]


def set_up(model: BaseAlgorithm, spec: EnvironmentSpec, *, environments: int, seed: int) -> None:
    """Build a model that was made without an environment, for one, and keep its metrics to itself."""
    model.observation_space, model.action_space = sb3_spaces(spec)
    model.n_envs = environments
    with seeded_generators(seed, 0):
        model._setup_model()
    model.set_logger(Logger(folder=None, output_formats=[]))


def take_metrics(model: BaseAlgorithm) -> dict[str, float]:
    """Return what the last ``train`` has logged, and forget it."""
    logged = model.logger.name_to_value
    metrics = {name.removeprefix("train/"): float(value) for name, value in logged.items()}
    logged.clear()
    return metrics


@torch.no_grad()
def fill_buffer(model: OnPolicyAlgorithm, experience: Transitions) -> None:
    """Do what SB3's ``collect_rollouts`` does with each step, and compute the advantages."""
    buffer, policy = model.rollout_buffer, model.policy
    policy.set_training_mode(False)
    steps, environments = experience.reward.shape
    values = policy.predict_values(flat_tensor(model, experience.observation)).reshape(steps, environments)
    # Of the policy that acted, which may be older than the one that learns: the ratio accounts for it.
    log_probs = torch.as_tensor(experience.log_prob, dtype=torch.float32)
    reward = experience.reward.copy()
    if experience.truncated.any():
        # The episode was cut, not lost: what it would have earned is estimated.
        final_values = policy.predict_values(flat_tensor(model, experience.final_observation))
        reward[experience.truncated] += model.gamma * final_values.cpu().numpy().ravel()
    buffer.reset()
    for t in range(steps):
        buffer.add(
            experience.observation[t],
            experience.action[t],
            reward[t],
            experience.episode_start[t],
            values[t],
            log_probs[t],
        )
    last_values = policy.predict_values(flat_tensor(model, experience.next_observation))
    dones = experience.terminated[-1] | experience.truncated[-1]
    buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)


def flat_tensor(model: BaseAlgorithm, values: Floats) -> Tensor:
    """Return ``[.., D]`` as ``[N, D]`` in single precision, where the model is."""
    return torch.as_tensor(values.reshape(-1, values.shape[-1]), dtype=torch.float32, device=model.device)
