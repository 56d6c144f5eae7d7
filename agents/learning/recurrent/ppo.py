"""PPO for recurrent agents, by backpropagation through whole trials or windows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from wormwood.agents.learning.determinism import one_torch_thread
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.losses import ppo_loss
from wormwood.agents.learning.recurrent.kickstarting import teacher_of
from wormwood.agents.learning.recurrent.module import RecurrentActorCritic
from wormwood.agents.learning.recurrent.settings import RecurrentPPOConfig
from wormwood.agents.learning.recurrent.trials import Trials, trials_with_advantages
from wormwood.agents.learning.torch_states import (
    checked_device,
    module_arrays,
    optimizer_arrays,
    restore_module,
    restore_optimizer,
)
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.recurrent import CORES
from wormwood.agents.policies.table import AgentConfig
from wormwood.envs.randomness import stream
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["RecurrentPPOLearner"]

FINAL_SHARE = 0.1
"""Of step size and entropy bonus, once they are annealed."""


class RecurrentPPOLearner:
    """Improves a recurrent agent by policy gradients through its memory."""

    @one_torch_thread()
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
            BadInput: the agent does not remember anything, there is no such teacher, or ``device`` is not there.
        """
        if agent.kind not in CORES:
            expected = f"one of {', '.join(CORES)}"
            raise bad_input("agent", where="learner recurrent-ppo", expected=expected, got=agent.kind)
        self._config, self._seed, self._updates = config, seed, 0
        self._teacher = teacher_of(config, spec)
        cuda = checked_device(device) != "cpu" and torch.cuda.is_available()
        self._device = torch.device("cuda" if cuda else "cpu")
        self._model = RecurrentActorCritic(agent, weights, spec, noise_std=config.noise_std).to(self._device)
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=config.rate, eps=1e-5)

    def weights(self) -> Arrays:
        return self._model.policy_weights()

    def policy_weights(self) -> Arrays:
        return self._model.policy_weights()

    @one_torch_thread()
    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        """Improve from one iteration's fragments, in shard order, and return metrics.

        Raises:
            BadInput: the loss of a minibatch is NaN or infinite.
        """
        self._updates += 1
        share = self._annealed()
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.rate * share
        weight = self._teacher_weight()
        batch = trials_with_advantages(self._model, fragments, self._config, teacher=self._teacher if weight else None)
        rng = stream(self._seed, "update", self._updates)
        count = batch.observation.shape[1]
        metrics: list[dict[str, float]] = []
        for _ in range(self._config.epochs):
            order = torch.tensor(rng.permutation(count), device=self._device)
            for rows in order.chunk(min(self._config.minibatches, count)):
                metrics.append(
                    self._step(batch.some(rows), entropy=self._config.entropy_coefficient * share, teacher=weight)
                )
        mean = {name: float(np.mean([step[name] for step in metrics])) for name in metrics[0]}
        return {**mean, "rate": self._config.rate * share}

    def _annealed(self) -> float:
        if not self._config.anneal:
            return 1.0
        return max(FINAL_SHARE, 1.0 - (1.0 - FINAL_SHARE) * (self._updates - 1) / self._config.anneal)

    def _teacher_weight(self) -> float:
        """Return what the teacher weighs in this update: 0 once the agent is on its own."""
        kickstart = self._config.kickstart
        return 0.0 if kickstart is None else max(0.0, kickstart.weight * (1 - (self._updates - 1) / kickstart.updates))

    def _step(self, batch: Trials, *, entropy: float, teacher: float) -> dict[str, float]:
        """Take one gradient step; ``entropy`` and ``teacher`` are the weights of their parts of the loss."""
        config = self._config
        outputs, value, _ = self._model(batch.observation, batch.starts, batch.state)
        log_prob, entropies = self._model.likelihood(outputs, batch.action)
        loss, metrics = ppo_loss(
            log_prob - batch.log_prob,
            batch.advantage,
            value - batch.value_target,
            entropies,
            clip_range=config.clip_range,
            value_coefficient=config.value_coefficient,
            entropy_coefficient=entropy,
        )
        if batch.advice is not None:
            advised, _ = self._model.likelihood(outputs, batch.advice)
            metrics["teacher_loss"] = -advised.mean()
            loss = loss + teacher * metrics["teacher_loss"]
        if not torch.isfinite(loss):
            expected = "a finite number; the weights are left as they were"
            raise bad_input("loss", where="learner recurrent-ppo", expected=expected, got=loss.item())
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), config.max_grad_norm)
        self._optimizer.step()
        return {name: values.item() for name, values in metrics.items()}

    def state(self) -> Arrays:
        arrays = module_arrays(self._model, prefix="policy/")
        return {**arrays, **optimizer_arrays(self._optimizer), "updates": np.array(self._updates)}

    def restore(self, state: Arrays) -> None:
        restore_module(self._model, state, prefix="policy/")
        restore_optimizer(self._optimizer, state)
        self._updates = int(state["updates"])
