"""PPO for recurrent agents by the fast and the slow path of ``wormwood.agents.learning.memory``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from wormwood.agents.learning.determinism import one_torch_thread, seeded_generators
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.losses import ppo_loss
from wormwood.agents.learning.memory.feedback import FeedbackPool
from wormwood.agents.learning.memory.learner import MemoryLearner, update_together
from wormwood.agents.learning.memory.windows import StepLoss, TrainingTrials
from wormwood.agents.learning.recurrent.module import MemoryCore, RecurrentActorCritic, State
from wormwood.agents.learning.recurrent.settings import FastSlowConfig
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
from wormwood.agents.policies.table import AgentConfig, initial_weights
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


class _Memory:
    """One memory: its model, and what trains it."""

    def __init__(
        self, config: FastSlowConfig, model: RecurrentActorCritic, *, context: int, pool: FeedbackPool
    ) -> None:
        """Draw a feedback module, where there is one to draw, from torch's generator."""
        self.model, core = model, model.core
        self.learner = MemoryLearner(
            core.network if isinstance(core, MemoryCore) else _Steps(core),
            self._controllers(),
            schedule=config.schedule,
            feedback=config.feedback,
            context=context,
            pool=pool,
        )

    def _controllers(self) -> dict[str, list[nn.Parameter]]:
        core = self.model.core
        controllers = core.network.controllers() if isinstance(core, MemoryCore) else {"read": [*core.parameters()]}
        inner = {id(parameter) for parameter in core.parameters()}
        heads = [parameter for parameter in self.model.parameters() if id(parameter) not in inner]
        return {**controllers, "output": [*controllers.get("output", []), *heads]}

    def state(self) -> Arrays:
        learner = self.learner
        state = {**module_arrays(self.model, prefix="policy/"), **optimizer_arrays(learner.optimizer)}
        state["trials"] = np.array(learner.trials)
        if learner.feedback is None or learner.expectation is None:
            return state
        feedback = {
            **module_arrays(learner.feedback.module, prefix="module/"),
            **module_arrays(learner.expectation.size, prefix="size/"),
            **optimizer_arrays(learner.feedback.optimizer),
        }
        return {**state, **_nested("feedback/", feedback)}

    def restore(self, state: Arrays) -> None:
        learner = self.learner
        restore_module(self.model, state, prefix="policy/")
        restore_optimizer(learner.optimizer, state)
        learner.trials = int(state["trials"])
        if learner.feedback is not None and learner.expectation is not None:
            feedback_state = _below("feedback/", state)
            restore_module(learner.feedback.module, feedback_state, prefix="module/")
            restore_module(learner.expectation.size, feedback_state, prefix="size/")
            restore_optimizer(learner.feedback.optimizer, feedback_state)


def _nested(start: str, arrays: Arrays) -> Arrays:
    return {f"{start}{name}": values for name, values in arrays.items()}


def _below(start: str, arrays: Arrays) -> Arrays:
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}


class FastSlowLearner:
    """Improves recurrent agents from windows of trials, whose ends are bridged by predicted gradients.

    With several memories, each learns from the fragments that it has collected, and takes its minibatch at the same
    time as the others take theirs: a feedback module that they share steps once for all.
    """

    @one_torch_thread()
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
        """Start from ``weights``; further memories draw their own.

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
        self._config, self._seed, self._updates = config, seed, 0
        self._memories, pool = list[_Memory](), FeedbackPool()
        for number in range(config.memories):
            initial = initial_weights(agent, spec, stream(seed, "update", 0, number)) if number else weights
            model = RecurrentActorCritic(agent, initial, spec, noise_std=config.noise_std)
            with seeded_generators(seed, number):
                self._memories.append(_Memory(config, model, context=spec.layout.size, pool=pool))

    def weights(self) -> Arrays:
        each = [memory.model.policy_weights() for memory in self._memories]
        return each[0] if len(each) == 1 else {name: np.stack([member[name] for member in each]) for name in each[0]}

    def policy_weights(self) -> Arrays:
        return self._memories[0].model.policy_weights()

    @one_torch_thread()
    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        self._updates += 1
        share = len(fragments) // len(self._memories)
        parts = [fragments[share * number : share * (number + 1)] for number in range(len(self._memories))]
        trials = [
            trials_with_advantages(memory.model, part, self._config)
            for memory, part in zip(self._memories, parts, strict=True)
        ]
        rng = stream(self._seed, "update", self._updates)
        count = trials[0].observation.shape[1]
        losses = []
        for _ in range(self._config.epochs):
            orders = [torch.tensor(rng.permutation(count)) for _ in self._memories]
            minibatches = [order.chunk(min(self._config.minibatches, count)) for order in orders]
            for rows in zip(*minibatches, strict=True):
                batches = [
                    self._trial(memory.model, collected.some(some))
                    for memory, collected, some in zip(self._memories, trials, rows, strict=True)
                ]
                losses += update_together([memory.learner for memory in self._memories], batches)
        return {"loss": float(np.mean(losses)) / len(trials[0].observation)}

    def _trial(self, model: RecurrentActorCritic, trials: Trials) -> TrainingTrials:
        """Return trials as the paths take them: what was observed is also what the trainer had shown."""
        context = torch.cat([trials.observation, trials.next_observation[None]])
        return TrainingTrials(trials.observation, self._step_loss(model, trials), context)

    def _step_loss(self, model: RecurrentActorCritic, trials: Trials) -> StepLoss:
        config = self._config

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
        state = {"updates": np.array(self._updates)}
        for number, memory in enumerate(self._memories):
            state |= _nested(_place(number), memory.state())
        return state

    def restore(self, state: Arrays) -> None:
        self._updates = int(state["updates"])
        for number, memory in enumerate(self._memories):
            memory.restore(_below(_place(number), state))


def _place(number: int) -> str:
    return f"memory{number}/"
