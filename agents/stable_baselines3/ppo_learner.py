"""PPO as a learner: fragments go into Stable-Baselines3's rollout buffer, and its own ``train`` is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from stable_baselines3 import PPO

from wormwood.agents.learning.determinism import one_torch_thread, seeded_generators
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.ppo_settings import PPOConfig
from wormwood.agents.learning.torch_states import (
    checked_device,
    module_arrays,
    optimizer_arrays,
    restore_module,
    restore_optimizer,
)
from wormwood.agents.learning.transitions import collate
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig
from wormwood.agents.stable_baselines3.on_policy import POLICY_OPTIONS, StructuredPolicy
from wormwood.agents.stable_baselines3.training import fill_buffer, flat_tensor, set_up, take_metrics
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["PPOLearner"]


class PPOLearner:
    """Improves an actor by policy gradients."""

    @one_torch_thread()
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
                **_used_options(config, spec),
                "actor_rate_scale": config.actor_rate / config.critic_rate,
            },
            device=checked_device(device),
            _init_setup_model=False,
        )
        set_up(self._model, spec, environments=config.environments, seed=seed)

    @property
    def _policy(self) -> StructuredPolicy:
        assert isinstance(self._model.policy, StructuredPolicy)
        return self._model.policy

    def weights(self) -> Arrays:
        return self._policy.policy_weights()

    def policy_weights(self) -> Arrays:
        return self._policy.policy_weights()

    @one_torch_thread()
    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        experience = collate(fragments)
        fill_buffer(self._model, experience)
        self._updates += 1
        with seeded_generators(self._seed, self._updates):
            self._model.train()
        # After the update: the actions of this experience were chosen with what was known before it.
        self._policy.normalizer.update(flat_tensor(self._model, experience.observation))
        return take_metrics(self._model)

    def state(self) -> Arrays:
        arrays = module_arrays(self._policy, prefix="policy/")
        counters = {"updates": np.array(self._updates), "gradient_steps": np.array(self._model._n_updates)}
        return {**arrays, **optimizer_arrays(self._policy.optimizer), **counters}

    def restore(self, state: Arrays) -> None:
        restore_module(self._policy, state, prefix="policy/")
        restore_optimizer(self._policy.optimizer, state)
        self._updates, self._model._n_updates = int(state["updates"]), int(state["gradient_steps"])


def _used_options(config: PPOConfig, spec: EnvironmentSpec) -> dict[str, Any]:
    """Return the options of the policy that something uses: it refuses others, which a run may have from long ago."""
    uses = {**config.uses(), **dict.fromkeys(("noise_std", "learn_noise"), (not spec.actions.choices, ""))}
    return {name: getattr(config, name) for name in POLICY_OPTIONS if uses.get(name, (True, ""))[0]}
