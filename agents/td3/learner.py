"""TD3 as a learner: fragments go into Stable-Baselines3's replay buffer, and its own ``train`` is called."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from stable_baselines3 import TD3

from wormwood.agents.catalogue import AgentConfig
from wormwood.agents.determinism import seeded_generators
from wormwood.agents.interfaces import Arrays, Fragment
from wormwood.agents.sb3_training import flat_tensor, set_up, take_metrics
from wormwood.agents.td3.config import TD3Config
from wormwood.agents.td3.policy import StructuredTD3Policy
from wormwood.agents.td3.replay import IterationReplay
from wormwood.agents.torch_states import (
    checked_device,
    module_arrays,
    optimizer_arrays,
    restore_module,
    restore_optimizer,
)
from wormwood.agents.transitions import joined
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["TD3Learner"]


class TD3Learner:
    """Improves a deterministic actor by the gradient of learned values."""

    def __init__(
        self,
        config: TD3Config,
        agent: AgentConfig,
        weights: Arrays,
        *,
        spec: EnvironmentSpec,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Start from ``weights``.

        Raises:
            BadInput: the agent cannot learn from gradients as it is configured, actions are choices or have no bounds,
                the buffer cannot hold one iteration, or ``device`` is not there.
        """
        torch.set_num_threads(1)  # the order of sums, and so the bits, depend on it
        self._config, self._seed, self._updates, self._spec = config, seed, 0, spec
        self._model = TD3(
            StructuredTD3Policy,
            None,  # type: ignore[arg-type] # there is no environment: rollouts happen elsewhere
            learning_rate=config.critic_rate,
            buffer_size=_whole_iterations(config),
            batch_size=config.batch_size,
            tau=config.tau,
            gamma=config.gamma,
            policy_delay=config.actor_delay,
            target_policy_noise=config.target_noise,
            target_noise_clip=2.5 * config.target_noise,
            policy_kwargs={
                "agent": agent,
                "spec": spec,
                "weights": weights,
                "critic_hidden": config.critic_hidden,
                "n_critics": config.critics,
                "actor_rate_scale": config.actor_rate / config.critic_rate,
            },
            device=checked_device(device),
            _init_setup_model=False,
        )
        _check_bounds(spec)
        set_up(self._model, spec, environments=config.environments, seed=seed)
        assert self._model.replay_buffer is not None
        self._replay = IterationReplay(self._model.replay_buffer, steps=config.steps)

    @property
    def _policy(self) -> StructuredTD3Policy:
        assert isinstance(self._model.policy, StructuredTD3Policy)
        return self._model.policy

    def weights(self) -> Arrays:
        noise = np.full(self._spec.actions.size, np.log(self._config.noise_std))
        return {**self._policy.agent_weights(), "log_std": noise}

    def policy_weights(self) -> Arrays:
        return self.weights()

    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        experience = joined(fragments)
        action = self._policy.scale_action(self._spec.actions.clip(experience.action))
        self._replay.add(experience, action)
        # Before the update: its batches are drawn from this experience, too.
        self._policy.normalizer.update(flat_tensor(self._model, experience.observation))
        self._updates += 1
        gradient_steps = max(1, round(self._config.replay_ratio * experience.reward.size))
        with seeded_generators(self._seed, self._updates), self._actor_at_rest(iteration):
            self._model.train(gradient_steps, self._config.batch_size)
        return take_metrics(self._model)

    @contextlib.contextmanager
    def _actor_at_rest(self, iteration: int) -> Iterator[None]:
        """Leave the actor as it is in the first iterations."""
        (group,) = self._policy.actor.optimizer.param_groups
        if iteration < self._config.critic_iterations:
            group["rate_scale"] = 0.0
        try:
            yield
        finally:
            group["rate_scale"] = self._policy.actor_rate_scale

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
            restore_optimizer(optimizer, _under(state, name))
        self._replay.restore(_under(state, "replay"))
        self._updates, self._model._n_updates = int(state["updates"]), int(state["gradient_steps"])

    @property
    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"actor": self._policy.actor.optimizer, "critic": self._policy.critic.optimizer}


def _under(state: Arrays, prefix: str) -> Arrays:
    start = f"{prefix}/"
    return {name.removeprefix(start): values for name, values in state.items() if name.startswith(start)}


def _whole_iterations(config: TD3Config) -> int:
    """Return the size of a buffer that holds as many whole iterations as ``buffer_size`` has room for."""
    iteration = config.environments * config.steps
    if config.buffer_size < iteration:
        expected = f"at least the {iteration} transitions of one iteration"
        raise bad_input("buffer_size", where="learner td3", expected=expected, got=config.buffer_size)
    return config.buffer_size // iteration * iteration


def _check_bounds(spec: EnvironmentSpec) -> None:
    if not np.isfinite([*spec.actions.low, *spec.actions.high]).all():
        raise bad_input("action space", where="learner td3", expected="actions with bounds", got=spec.name)
