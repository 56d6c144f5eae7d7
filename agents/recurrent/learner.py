"""PPO for recurrent agents, by backpropagation through whole trials or windows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wormwood.agents.catalogue import AgentConfig
from wormwood.agents.interfaces import Arrays, Fragment
from wormwood.agents.recurrent.config import RecurrentPPOConfig
from wormwood.agents.recurrent.module import RecurrentActorCritic, State
from wormwood.agents.recurrent.policy import CORES
from wormwood.agents.recurrent.returns import generalized_advantages
from wormwood.agents.torch_states import (
    checked_device,
    module_arrays,
    optimizer_arrays,
    restore_module,
    restore_optimizer,
)
from wormwood.agents.transitions import joined
from wormwood.envs.randomness import stream
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["RecurrentPPOLearner"]

FINAL_SHARE = 0.1
"""Of step size and entropy bonus, once they are annealed."""


@dataclass(frozen=True)
class _Batch:
    """One iteration's trials, or some of them."""

    observation: Tensor
    """``[T, N, D]``"""
    action: Tensor
    """``[T, N, J]``"""
    log_prob: Tensor
    """``[T, N]``, with which the actions were drawn."""
    advantage: Tensor
    """``[T, N]``, standardised."""
    value_target: Tensor
    """``[T, N]``"""
    starts: Tensor
    """``[T, N]`` the step begins a trial."""
    state: State
    """The memory before the first step."""

    def trials(self, rows: Tensor) -> _Batch:
        """Return some of the trials."""
        return _Batch(
            self.observation[:, rows],
            self.action[:, rows],
            self.log_prob[:, rows],
            self.advantage[:, rows],
            self.value_target[:, rows],
            self.starts[:, rows],
            {name: values[rows] for name, values in self.state.items()},
        )


class RecurrentPPOLearner:
    """Improves a recurrent agent by policy gradients through its memory."""

    def __init__(
        self,
        config: RecurrentPPOConfig,
        agent: AgentConfig,
        weights: Arrays,
        *,
        spec: EnvironmentSpec,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Start from ``weights``.

        Raises:
            BadInput: the agent does not remember anything, or ``device`` is not there.
        """
        if agent.kind not in CORES:
            expected = f"one of {', '.join(CORES)}"
            raise bad_input("agent", where="learner recurrent-ppo", expected=expected, got=agent.kind)
        torch.set_num_threads(1)  # the order of sums, and so the bits, depend on it
        self._config, self._seed, self._updates = config, seed, 0
        cuda = checked_device(device) != "cpu" and torch.cuda.is_available()
        self._device = torch.device("cuda" if cuda else "cpu")
        self._model = RecurrentActorCritic(agent, weights, spec, noise_std=config.noise_std).to(self._device)
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=config.rate, eps=1e-5)

    def weights(self) -> Arrays:
        return self._model.policy_weights()

    def policy_weights(self) -> Arrays:
        return self._model.policy_weights()

    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        self._updates += 1
        share = self._annealed()
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.rate * share
        batch = self._batch(fragments)
        rng = stream(self._seed, "update", self._updates)
        count = batch.observation.shape[1]
        metrics: list[dict[str, float]] = []
        for _ in range(self._config.epochs):
            order = torch.tensor(rng.permutation(count), device=self._device)
            for rows in order.chunk(min(self._config.minibatches, count)):
                metrics.append(self._step(batch.trials(rows), entropy=self._config.entropy_coefficient * share))
        mean = {name: float(np.mean([step[name] for step in metrics])) for name in metrics[0]}
        return {**mean, "rate": self._config.rate * share}

    def _annealed(self) -> float:
        if not self._config.anneal:
            return 1.0
        return max(FINAL_SHARE, 1.0 - (1.0 - FINAL_SHARE) * (self._updates - 1) / self._config.anneal)

    @torch.no_grad()
    def _batch(self, fragments: Sequence[Fragment]) -> _Batch:
        """Put the fragments together, and judge every step of them."""
        config, experience = self._config, joined(fragments)
        observation = self._tensor(experience.observation)
        starts = torch.tensor(experience.episode_start, device=self._device)
        state: State = {name: self._tensor(values) for name, values in experience.memory.items() if name != "started"}
        _, values, state_end = self._model(observation, starts, state)
        ended = torch.tensor(experience.terminated | experience.truncated, device=self._device)[-1:]
        _, value_end, _ = self._model(self._tensor(experience.next_observation)[None], ended, state_end)
        value = values.cpu().double().numpy()
        advantage = generalized_advantages(
            experience.reward * config.reward_scale,
            value,
            value_end[0].cpu().double().numpy(),
            experience.terminated | experience.truncated,
            gamma=config.gamma,
            lambda_=config.gae_lambda,
        )
        standard = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        action = torch.tensor(experience.action, device=self._device)
        return _Batch(
            observation,
            action if experience.action.dtype.kind == "i" else action.float(),
            self._tensor(experience.log_prob),
            self._tensor(standard),
            self._tensor(advantage + value),
            starts,
            state,
        )

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self._device)

    def _step(self, batch: _Batch, *, entropy: float) -> dict[str, float]:
        """Take one gradient step on ``L = -min(ρ A, clip(ρ) A) + c_v (v - V)² - c_e H``, the mean over all steps."""
        config = self._config
        outputs, value, _ = self._model(batch.observation, batch.starts, batch.state)
        log_prob, entropies = self._model.likelihood(outputs, batch.action)
        log_ratio = log_prob - batch.log_prob
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - config.clip_range, 1 + config.clip_range)
        policy_loss = -torch.minimum(ratio * batch.advantage, clipped * batch.advantage).mean()
        value_loss = (value - batch.value_target).square().mean()
        loss = policy_loss + config.value_coefficient * value_loss - entropy * entropies.mean()
        self._optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), config.max_grad_norm)
        self._optimizer.step()
        return {
            "policy_loss": policy_loss.item(),
            "value_loss": value_loss.item(),
            "entropy": entropies.mean().item(),
            "approx_kl": (ratio - 1 - log_ratio).mean().item(),
        }

    def state(self) -> Arrays:
        arrays = module_arrays(self._model, prefix="policy/")
        return {**arrays, **optimizer_arrays(self._optimizer), "updates": np.array(self._updates)}

    def restore(self, state: Arrays) -> None:
        restore_module(self._model, state, prefix="policy/")
        restore_optimizer(self._optimizer, state)
        self._updates = int(state["updates"])
