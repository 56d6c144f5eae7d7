"""The two paths by which a memory learns.

The fast one learns from every window of a trial, with predictions in place of what lies beyond it; the slow one is full
backpropagation through a trial, which gives the feedback module exact targets, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wormwood.agents.learning.memory.feedback import Feedback, RunningSize
from wormwood.agents.learning.memory.network import State
from wormwood.agents.learning.memory.settings import FeedbackConfig
from wormwood.agents.learning.memory.windows import RecurrentNetwork, TrainingTrials, Window, window_gradients

__all__ = ["Expectation", "context_at", "fast_path", "feedback_loss", "slow_path"]


def context_at(trial: TrainingTrials, step: int, horizon: int) -> Tensor:
    """Return ``u = [elapsed, time to go, context]`` before ``step``, ``[B, 2 + C]``; times are in horizons."""
    context = trial.context[step]
    clock = context.new_tensor([step / horizon, (len(trial) - step) / horizon]).expand(len(context), 2)
    return torch.cat([clock, context], dim=1)


@dataclass(frozen=True)
class Expectation:
    """A memory's view of its feedback module."""

    predictor: Feedback
    size: RunningSize
    config: FeedbackConfig
    horizon: int
    """Steps, the unit of the clock."""

    def expected(self, trial: TrainingTrials, state: State, step: int) -> State:
        """Return ``RMS_i F_φ,i(s_t, u_t)``, without graph."""
        with torch.no_grad():
            predicted = self.predictor(state, context_at(trial, step, self.horizon))
            sizes = self.size.sizes()
            return {name: sizes[name] * values for name, values in predicted.items()}

    def learn(self, trial: TrainingTrials, window: Window, begin: int) -> float:
        """Leave the gradient of the window's regression in the feedback module, and return its loss.

        The state before a trial's first step is left out: no window ends there.
        """
        first = 1 if begin == 0 else 0
        states, targets = window.states[first:], window.targets[first:]
        if not states:
            return 0.0
        names = self.size.names
        together = {name: torch.cat([state[name] for state in states]) for name in names}
        wanted = {name: torch.cat([target[name] for target in targets]) for name in names}
        self.size.observe(wanted)
        context = [context_at(trial, begin + first + k, self.horizon) for k in range(len(states))]
        predicted = self.predictor(together, torch.cat(context))
        loss = feedback_loss(predicted, wanted, self.size.sizes(), clip=self.config.clip)
        (loss * (len(states) / len(trial))).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())


def feedback_loss(predicted: State, targets: State, sizes: State, *, clip: float) -> Tensor:
    """Return ``Σ_i mean (F_i - clip(δ_i / RMS_i, ±clip))²``; a tensor whose targets are all 0 so far has target 0.

    Args:
        predicted: ``[n, ...]`` by name, for n states.
        targets: of the same shapes.
        sizes: a scalar for each name.
        clip: of targets, in units of these sizes.
    """
    parts = []
    for name, values in predicted.items():
        normalised = torch.nan_to_num(targets[name] / sizes[name], nan=0.0, posinf=clip, neginf=-clip)
        parts.append(torch.nn.functional.mse_loss(values, normalised.clamp(-clip, clip)))
    return torch.stack(parts).sum()


def fast_path(
    network: RecurrentNetwork,
    trial: TrainingTrials,
    *,
    every: int,
    parameters: Sequence[Tensor],
    expectation: Expectation | None,
    teach: bool = True,
) -> Iterator[Window]:
    """Play a trial window by window, and give each as soon as it is played.

    Nothing of earlier windows is held but their last state, so that peak memory does not grow with the trial. The
    feedback module gets its gradients here, window by window; what the controllers do with theirs, such as stepping
    before the trial ends, is the caller's matter.

    Args:
        network: takes the steps.
        trial: the batch of B trials, with inputs ``[T, B, I]``.
        every: steps of a window, ``T_f``.
        parameters: of the controllers, of any shape, to differentiate by.
        expectation: None is truncated backpropagation.
        teach: leave the gradients of every window in the feedback module; without, it only predicts.
    """
    predict = None
    if expectation is not None:

        def predict(state: State, step: int) -> State:
            return expectation.expected(trial, state, step)

    trace = 1.0 if expectation is None else expectation.config.trace
    state = network.initial_state(trial.inputs.shape[1])
    for begin in range(0, len(trial), every):
        end = min(begin + every, len(trial))
        window = window_gradients(
            network, trial, state, begin=begin, end=end, parameters=parameters, predict=predict, trace=trace
        )
        if teach and expectation is not None:
            expectation.learn(trial, window, begin)
        state = window.end
        yield window


def slow_path(
    network: RecurrentNetwork,
    trial: TrainingTrials,
    *,
    parameters: Sequence[Tensor],
    expectation: Expectation | None,
) -> Window:
    """Play a whole trial as one window; its graph grows with the trial.

    Args:
        network: takes the steps.
        trial: the batch of B trials, with inputs ``[T, B, I]``.
        parameters: of the controllers, of any shape, to differentiate by.
        expectation: its feedback module learns from the true gradient of every state; None where there is none.
    """
    start = network.initial_state(trial.inputs.shape[1])
    window = window_gradients(network, trial, start, begin=0, end=len(trial), parameters=parameters)
    if expectation is not None:
        expectation.learn(trial, window, 0)
    return window
