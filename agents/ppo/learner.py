"""PPO as a learner: fragments go into Stable-Baselines3's rollout buffer, and its own ``train`` is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from torch import Tensor

from wormwood.agents.catalogue import AgentConfig
from wormwood.agents.determinism import seeded_generators
from wormwood.agents.interfaces import Arrays, Floats, Fragment, Transitions
from wormwood.agents.ppo.config import PPOConfig
from wormwood.agents.ppo.policy import StructuredPolicy
from wormwood.agents.sb3_spaces import sb3_spaces
from wormwood.agents.torch_states import checked_device, optimizer_arrays, restore_module, restore_optimizer
from wormwood.agents.transitions import joined
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["PPOLearner"]


class PPOLearner:
    """Improves an actor by policy gradients."""

    def __init__(
        self,
        config: PPOConfig,
        agent: AgentConfig,
        weights: Arrays,
        *,
        spec: EnvironmentSpec,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Start from ``weights``.

        Raises:
            BadInput: the agent cannot learn from gradients as it is configured, or ``device`` is not there.
        """
        torch.set_num_threads(1)  # the order of sums, and so the bits, depend on it
        self._config, self._seed, self._updates = config, seed, 0
        self._model = PPO(
            StructuredPolicy,
            None,  # type: ignore[arg-type] # there is no environment: rollouts happen elsewhere
            learning_rate=config.critic_rate,
            n_steps=config.steps,
            batch_size=config.batch_size,
            n_epochs=config.epochs,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            clip_range=config.clip_range,
            normalize_advantage=config.normalize_advantage,
            ent_coef=config.entropy_coefficient,
            vf_coef=config.value_coefficient,
            max_grad_norm=config.max_grad_norm,
            target_kl=config.target_kl,
            policy_kwargs={
                "agent": agent,
                "spec": spec,
                "weights": weights,
                "noise_std": config.noise_std,
                "learn_noise": config.learn_noise,
                "critic": config.critic,
                "critic_hidden": config.critic_hidden,
                "actor_rate_scale": config.actor_rate / config.critic_rate,
            },
            device=checked_device(device),
            _init_setup_model=False,
        )
        self._model.observation_space, self._model.action_space = sb3_spaces(spec)
        self._model.n_envs = config.environments
        with seeded_generators(seed, 0):
            self._model._setup_model()
        self._model.set_logger(Logger(folder=None, output_formats=[]))

    @property
    def _policy(self) -> StructuredPolicy:
        assert isinstance(self._model.policy, StructuredPolicy)
        return self._model.policy

    def weights(self) -> Arrays:
        return self._policy.agent_weights()

    def policy_weights(self) -> Arrays:
        return self._policy.agent_weights()

    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        experience = joined(fragments)
        self._fill_buffer(experience)
        self._updates += 1
        with seeded_generators(self._seed, self._updates):
            self._model.train()
        # After the update: the actions of this experience were chosen with what was known before it.
        self._policy.normalizer.update(self._tensor(experience.observation))
        logged = self._model.logger.name_to_value
        metrics = {name.removeprefix("train/"): float(value) for name, value in logged.items()}
        logged.clear()
        return metrics

    @torch.no_grad()
    def _fill_buffer(self, experience: Transitions) -> None:
        """Do what SB3's ``collect_rollouts`` does with each step, and compute the advantages."""
        buffer, policy = self._model.rollout_buffer, self._policy
        policy.set_training_mode(False)
        steps, environments = experience.reward.shape
        values = policy.predict_values(self._tensor(experience.observation)).reshape(steps, environments)
        # Of the policy that acted, which may be older than the one that learns: the ratio accounts for it.
        log_probs = torch.as_tensor(experience.log_prob, dtype=torch.float32)
        reward = experience.reward.copy()
        if experience.truncated.any():
            # The episode was cut, not lost: what it would have earned is estimated.
            final_values = policy.predict_values(self._tensor(experience.final_observation))
            reward[experience.truncated] += self._config.gamma * final_values.cpu().numpy().ravel()
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
        last_values = policy.predict_values(self._tensor(experience.next_observation))
        dones = experience.terminated[-1] | experience.truncated[-1]
        buffer.compute_returns_and_advantage(last_values=last_values, dones=dones)

    def _tensor(self, values: Floats) -> Tensor:
        flat = values.reshape(-1, values.shape[-1])
        return torch.as_tensor(flat, dtype=torch.float32, device=self._model.device)

    def state(self) -> Arrays:
        arrays = {f"policy/{name}": values.cpu().numpy().copy() for name, values in self._policy.state_dict().items()}
        counters = {"updates": np.array(self._updates), "gradient_steps": np.array(self._model._n_updates)}
        return {**arrays, **optimizer_arrays(self._policy.optimizer), **counters}

    def restore(self, state: Arrays) -> None:
        restore_module(self._policy, state, prefix="policy/")
        restore_optimizer(self._policy.optimizer, state)
        self._updates, self._model._n_updates = int(state["updates"]), int(state["gradient_steps"])
