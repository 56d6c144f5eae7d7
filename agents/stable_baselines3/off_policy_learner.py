"""What learners share that fill a replay buffer of Stable-Baselines3 from fragments and call its own ``train``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from wormwood.agents.learning.determinism import one_torch_thread, seeded_generators
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.off_policy_settings import OffPolicyConfig
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
from wormwood.agents.stable_baselines3.off_policy import StructuredOffPolicy
from wormwood.agents.stable_baselines3.replay import IterationReplay
from wormwood.agents.stable_baselines3.training import flat_tensor, set_up, take_metrics
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["OffPolicyLearner", "model_arguments", "under", "whole_iterations"]


def model_arguments(
    config: OffPolicyConfig, agent: AgentConfig, weights: Arrays, *, spec: EnvironmentSpec, device: str
) -> dict[str, Any]:
    """Return what Stable-Baselines3's off-policy algorithms are built with alike, without an environment.

    Raises:
        BadInput: the buffer cannot hold one iteration, or ``device`` is not there.
    """
    policy_kwargs = {
        "agent": agent,
        "spec": spec,
        "weights": weights,
        "critic_hidden": config.critic_hidden,
        "n_critics": config.critics,
        "actor_rate_scale": config.actor_rate / config.critic_rate,
    }
    return {
        "env": None,  # rollouts happen elsewhere
        "learning_rate": config.critic_rate,
        "buffer_size": whole_iterations(config),
        "batch_size": config.batch_size,
        "tau": config.tau,
        "gamma": config.gamma,
        "policy_kwargs": policy_kwargs,
        "device": checked_device(device),
        "_init_setup_model": False,
    }


class OffPolicyLearner:
    """Improves an actor by the gradient of learned values."""

    @one_torch_thread()
    def __init__(self, config: OffPolicyConfig, model: OffPolicyAlgorithm, *, spec: EnvironmentSpec, seed: int) -> None:
        """Take a model that was made without an environment, and set it up.

        Raises:
            BadInput: the agent cannot learn from gradients as it is configured, or actions are choices or have no
                bounds.
        """
        self._settings, self._seed, self._updates, self._spec = config, seed, 0, spec
        if not np.isfinite([*spec.actions.low, *spec.actions.high]).all():
            where = f"learner {config.kind}"
            raise bad_input("action space", where=where, expected="actions with bounds", got=spec.name)
        self._model = model
        set_up(model, spec, environments=config.environments, seed=seed)
        assert model.replay_buffer is not None
        self._replay = IterationReplay(model.replay_buffer, steps=config.steps)

    @property
    def _policy(self) -> StructuredOffPolicy:
        assert isinstance(self._model.policy, StructuredOffPolicy)
        return self._model.policy

    def weights(self) -> Arrays:
        return self._policy.policy_weights()

    def policy_weights(self) -> Arrays:
        return self.weights()

    @one_torch_thread()
    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        experience = collate(fragments)
        action = self._policy.scale_action(self._spec.actions.clip(experience.action))
        self._replay.add(experience, action)
        # Before the update: its batches are drawn from this experience, too.
        self._policy.normalizer.update(flat_tensor(self._model, experience.observation))
        self._updates += 1
        gradient_steps = max(1, round(self._settings.replay_ratio * experience.reward.size))
        with seeded_generators(self._seed, self._updates), self._actor_at_rest(iteration):
            self._model.train(gradient_steps, self._settings.batch_size)
        return take_metrics(self._model)

    @contextlib.contextmanager
    def _actor_at_rest(self, iteration: int) -> Iterator[None]:
        """Leave the actor as it is in the first iterations."""
        groups = self._policy.actor.optimizer.param_groups
        scales = [group["rate_scale"] for group in groups]
        if iteration < self._settings.critic_iterations:
            for group in groups:
                group["rate_scale"] = 0.0
        try:
            yield
        finally:
            for group, scale in zip(groups, scales, strict=True):
                group["rate_scale"] = scale

    def state(self) -> Arrays:
        arrays = module_arrays(self._policy, prefix="policy/")
        for name, optimizer in self._optimizers.items():
            arrays |= {f"{name}/{key}": values for key, values in optimizer_arrays(optimizer).items()}
        replay = {f"replay/{name}": values for name, values in self._replay.state().items()}
        counters = {"updates": np.array(self._updates), "gradient_steps": np.array(self._model._n_updates)}
        return {**arrays, **replay, **counters}

    def restore(self, state: Arrays) -> None:
        restore_module(self._policy, state, prefix="policy/")
        for name, optimizer in self._optimizers.items():
            restore_optimizer(optimizer, under(state, name))
        self._replay.restore(under(state, "replay"))
        self._updates, self._model._n_updates = int(state["updates"]), int(state["gradient_steps"])

    @property
    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"actor": self._policy.actor.optimizer, "critic": self._policy.critic.optimizer}


def under(state: Arrays, prefix: str) -> Arrays:
    """Return the entries of ``state`` under a prefix, without it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): values for name, values in state.items() if name.startswith(start)}


def whole_iterations(config: OffPolicyConfig) -> int:
    """Return the size of a buffer that holds as many whole iterations as ``buffer_size`` has room for.

    Raises:
        BadInput: there is no room for one.
    """
    iteration = config.environments * config.steps
    if config.buffer_size < iteration:
        expected = f"at least the {iteration} transitions of one iteration"
        raise bad_input("buffer_size", where=f"learner {config.kind}", expected=expected, got=config.buffer_size)
    return config.buffer_size // iteration * iteration
