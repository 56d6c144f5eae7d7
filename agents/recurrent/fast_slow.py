"""PPO for recurrent agents by the fast and the slow path of ``wormwood.agents.memory``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from wormwood.agents.catalogue import AgentConfig
from wormwood.agents.determinism import seeded_generators
from wormwood.agents.interfaces import Arrays, Fragment
from wormwood.agents.memory.learner import MemoryLearner
from wormwood.agents.memory.windows import StepLoss, Trial
from wormwood.agents.recurrent.config import FastSlowConfig
from wormwood.agents.recurrent.losses import ppo_loss
from wormwood.agents.recurrent.module import MemoryCore, RecurrentActorCritic, State
from wormwood.agents.recurrent.policy import CORES
from wormwood.agents.recurrent.trials import Trials, judged_trials
from wormwood.agents.torch_states import (
    checked_device,
    module_arrays,
    optimizer_arrays,
    restore_module,
    restore_optimizer,
)
from wormwood.envs.randomness import stream
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["FastSlowLearner"]


class _Steps(nn.Module):
    """A core of whole sequences, one step at a time."""

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core = core

    def initial_state(self, batch: int) -> dict[str, Tensor]:
        return dict(self.core.initial_state(batch))  # type: ignore[operator]

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, dict[str, Tensor]]:
        features, following = self.core(x[None], state)
        return features[0], dict(following)


class FastSlowLearner:
    """Improves a recurrent agent from windows of trials, whose ends are bridged by predicted gradients."""

    def __init__(
        self,
        config: FastSlowConfig,
        agent: AgentConfig,
        weights: Arrays,
        *,
        spec: EnvironmentSpec,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Start from ``weights``.

        Raises:
            BadInput: the agent does not remember anything, a trial is longer than the schedule's horizon, or ``device``
                is not the CPU.
        """
        where = "learner fast-slow"
        if agent.kind not in CORES:
            raise bad_input("agent", where=where, expected=f"one of {', '.join(CORES)}", got=agent.kind)
        if spec.horizon > config.schedule.horizon:
            expected = f"at least {spec.horizon}, the steps of a trial"
            raise bad_input("schedule.horizon", where=where, expected=expected, got=config.schedule.horizon)
        if checked_device(device) == "cuda":
            raise bad_input("device", where=where, expected="cpu: windows of single steps gain nothing", got=device)
        torch.set_num_threads(1)  # the order of sums, and so the bits, depend on it
        self._config, self._seed, self._updates = config, seed, 0
        self._model = RecurrentActorCritic(agent, weights, spec, noise_std=config.noise_std)
        core = self._model.core
        with seeded_generators(seed, 0):
            self._memory = MemoryLearner(
                core.network if isinstance(core, MemoryCore) else _Steps(core),
                self._controllers(),
                schedule=config.schedule,
                feedback=config.feedback,
                context=spec.layout.size,
            )

    def _controllers(self) -> dict[str, list[nn.Parameter]]:
        model = self._model
        core = model.core
        controllers = core.network.controllers() if isinstance(core, MemoryCore) else {"read": [*core.parameters()]}
        inner = {id(parameter) for parameter in core.parameters()}
        heads = [parameter for parameter in model.parameters() if id(parameter) not in inner]
        return {**controllers, "output": [*controllers.get("output", []), *heads]}

    def weights(self) -> Arrays:
        return self._model.policy_weights()

    def policy_weights(self) -> Arrays:
        return self._model.policy_weights()

    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        self._updates += 1
        trials = judged_trials(self._model, fragments, self._config)
        rng = stream(self._seed, "update", self._updates)
        count = trials.observation.shape[1]
        losses = []
        for _ in range(self._config.epochs):
            order = torch.tensor(rng.permutation(count))
            for rows in order.chunk(min(self._config.minibatches, count)):
                losses.append(self._memory.update(self._trial(trials.some(rows))))
        return {"loss": float(np.mean(losses)) / len(trials.observation)}

    def _trial(self, trials: Trials) -> Trial:
        """Return trials as the paths take them: what was observed is also what the trainer had shown."""
        shown = torch.cat([trials.observation, trials.next_observation[None]])
        return Trial(trials.observation, self._step_loss(trials), shown)

    def _step_loss(self, trials: Trials) -> StepLoss:
        config, model = self._config, self._model

        def loss(features: Tensor, step: int) -> Tensor:
            log_prob, entropy = model.likelihood(model.policy(features), trials.action[step])
            value, _ = ppo_loss(
                log_prob - trials.log_prob[step],
                trials.advantage[step],
                model.value(features)[:, 0] - trials.value_target[step],
                entropy,
                clip_range=config.clip_range,
                value_coefficient=config.value_coefficient,
                entropy_coefficient=config.entropy_coefficient,
            )
            return value / len(trials.observation)

        return loss

    def state(self) -> Arrays:
        memory = self._memory
        state = {**module_arrays(self._model, prefix="policy/"), **optimizer_arrays(memory.optimizer)}
        counters = {"updates": np.array(self._updates), "trials": np.array(memory.trials)}
        if memory.feedback is None or memory.expectation is None:
            return {**state, **counters}
        feedback = {
            **module_arrays(memory.feedback.module, prefix="module/"),
            **module_arrays(memory.expectation.size, prefix="size/"),
            **optimizer_arrays(memory.feedback.optimizer),
        }
        return {**state, **counters, **{f"feedback/{name}": values for name, values in feedback.items()}}

    def restore(self, state: Arrays) -> None:
        memory = self._memory
        restore_module(self._model, state, prefix="policy/")
        restore_optimizer(memory.optimizer, state)
        self._updates, memory.trials = int(state["updates"]), int(state["trials"])
        if memory.feedback is not None and memory.expectation is not None:
            start = "feedback/"
            own = {name.removeprefix(start): values for name, values in state.items() if name.startswith(start)}
            restore_module(memory.feedback.module, own, prefix="module/")
            restore_module(memory.expectation.size, own, prefix="size/")
            restore_optimizer(memory.feedback.optimizer, own)
