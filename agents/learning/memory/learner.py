"""Learning by both paths: which trial goes which way, and what steps when."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from wormwood.agents.learning.memory.feedback import FeedbackPool, RunningSize, SharedFeedback, widths_of
from wormwood.agents.learning.memory.paths import Expectation, fast_path, slow_path
from wormwood.agents.learning.memory.settings import FeedbackConfig, ScheduleConfig
from wormwood.agents.learning.memory.windows import RecurrentNetwork, TrainingTrials, Window
from wormwood.errors import bad_input

__all__ = ["MemoryLearner", "is_slow", "update_together"]


def is_slow(schedule: ScheduleConfig, trial: int) -> bool:
    """Whether trial number ``trial``, counted from 0, takes the slow path: every ``slow_every``-th does."""
    return schedule.slow_every > 0 and (trial + 1) % schedule.slow_every == 0


class MemoryLearner:
    """Trains the controllers of one network."""

    def __init__(
        self,
        network: RecurrentNetwork,
        controllers: Mapping[str, Sequence[nn.Parameter]],
        *,
        schedule: ScheduleConfig,
        feedback: FeedbackConfig,
        context: int,
        pool: FeedbackPool | None = None,
    ) -> None:
        """Draw the feedback module, where there is one, from torch's generator.

        Args:
            network: such as a ``MemoryNetwork``.
            controllers: parameters by controller, ``read``, ``output`` and ``write``; what turns features into losses
                belongs to ``output``.
            schedule: when each learns.
            feedback: how predictions are learned.
            context: numbers in ``TrainingTrials.context``.
            pool: where a named feedback module is found; None is one of its own.

        Raises:
            BadInput: the shared module was made for other widths.
        """
        self.network, self.schedule = network, schedule
        rates = {"read": schedule.read_rate, "output": schedule.output_rate, "write": schedule.write_rate}
        groups = [{"params": list(controller), "lr": rates[name]} for name, controller in controllers.items()]
        self.parameters = [parameter for controller in controllers.values() for parameter in controller]
        self.optimizer = torch.optim.Adam(groups)
        self.trials = 0
        self.feedback: SharedFeedback | None = None
        self.expectation: Expectation | None = None
        if schedule.feedback:
            state = network.initial_state(1)
            self.feedback = (pool or FeedbackPool()).join(feedback, widths_of(state, context + 2))
            size = RunningSize(state, feedback.decay)
            self.expectation = Expectation(self.feedback.module, size, feedback, schedule.horizon)

    def update(self, trial: TrainingTrials) -> float:
        """Learn from one batch of trials, and return its loss.

        Raises:
            BadInput: the trial is longer than the horizon, or its loss or gradient is not finite; nothing has stepped
                then since the last good step.
        """
        loss = self.accumulate(trial)
        self.step()
        return loss

    def accumulate(self, trial: TrainingTrials) -> float:
        """Leave the gradients of a batch of trials for ``step``, and return its loss.

        Where ``windows`` is set, the fast path steps within the trial already.

        Raises:
            BadInput: as ``update``.
        """
        if len(trial) > self.schedule.horizon:
            expected = f"at most {self.schedule.horizon} steps, the horizon of its schedule"
            raise bad_input("trial", where="memory", expected=expected, got=f"{len(trial)} steps")
        self.optimizer.zero_grad(set_to_none=True)
        slow = is_slow(self.schedule, self.trials)
        self.trials += 1
        if slow:
            whole = slow_path(self.network, trial, parameters=self.parameters, expectation=self.expectation)
            return self._keep(whole)
        loss, every = 0.0, self.schedule.fast_every
        windows = fast_path(self.network, trial, every=every, parameters=self.parameters, expectation=self.expectation)
        for number, window in enumerate(windows, start=1):
            loss += self._keep(window)
            if self.schedule.windows and number % self.schedule.windows == 0:
                self.step()
        return loss

    def step(self) -> None:
        """Step controllers and feedback module by the gradients that were left.

        Raises:
            BadInput: the gradient is not finite; nothing steps.
        """
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.schedule.max_grad_norm))
        self._require_finite("gradient", norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.feedback is not None and self.expectation is not None:
            self.feedback.step()
            self.expectation.size.advance()

    def _keep(self, window: Window) -> float:
        loss = float(window.loss)
        self._require_finite("loss", loss)
        for parameter, gradient in zip(self.parameters, window.gradients, strict=True):
            if gradient is not None:
                parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        return loss

    def _require_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            self.optimizer.zero_grad(set_to_none=True)
            if self.feedback is not None and self.expectation is not None:
                self.feedback.discard()
                self.expectation.size.discard()
            raise bad_input(what, where="memory update", expected="a finite number; nothing was learned", got=value)


def update_together(learners: Sequence[MemoryLearner], trials: Sequence[TrainingTrials]) -> list[float]:
    """Let several memories learn at once: a feedback module that they share steps once, by the gradients of all.

    Raises:
        BadInput: as ``MemoryLearner.update``.
    """
    losses = [learner.accumulate(trial) for learner, trial in zip(learners, trials, strict=True)]
    for learner in learners:
        learner.step()
    return losses
