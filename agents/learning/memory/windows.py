"""One window of a trial: its gradients for the controllers, and the targets for the feedback module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from wormwood.agents.learning.memory.network import State

__all__ = ["Predict", "RecurrentNetwork", "StepLoss", "TrainingTrials", "Window", "window_gradients"]

StepLoss = Callable[[Tensor, int], Tensor | None]
"""(features ``[B, F]``, step) -> the loss of that step, a mean over the batch; None where the step has none."""
Predict = Callable[[State, int], State]
"""(state, its step) -> the gradient ``B ∂L_{>=t}/∂s_t`` that is expected there, of each trial of the batch."""


class RecurrentNetwork(Protocol):
    """A recurrent network, such as ``MemoryNetwork``."""

    def initial_state(self, batch: int) -> State:
        """Return the state before the first input."""

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Return features and the next state."""


@dataclass(frozen=True)
class TrainingTrials:
    """A batch of B trials of T steps, and what they ask for."""

    inputs: Tensor
    """``[T, B, I]``"""
    loss: StepLoss
    context: Tensor
    """``[T + 1, B, C]`` what the trainer had shown before each step, and at the end; C may be 0. Never the future."""

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Window:
    """What one window gives."""

    gradients: Sequence[Tensor | None]
    """Of each parameter, of its shape; None where the window does not depend on it."""
    targets: list[State]
    """``δ_t = B ∂J/∂s_t`` for the state before each step of the window: explicit zeros where nothing follows."""
    states: list[State]
    """The detached state before each step."""
    end: State
    """The detached state after the last step."""
    loss: float | Tensor
    """Sum of the steps' losses, without graph."""


class _Mix(torch.autograd.Function):
    """Passes a tensor on; on the way back, mixes its gradient with a predicted one."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, predicted: Tensor, trace: float) -> Tensor:
        ctx.save_for_backward(predicted)
        ctx.trace = trace
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (predicted,) = ctx.saved_tensors
        return ctx.trace * gradients[0] + (1 - ctx.trace) * predicted, None, None


def window_gradients(
    network: RecurrentNetwork,
    trial: TrainingTrials,
    start: State,
    *,
    begin: int,
    end: int,
    parameters: Sequence[Tensor],
    predict: Predict | None = None,
    trace: float = 1.0,
) -> Window:
    """Differentiate ``J = Σ_window L + Σ_i ⟨F_i(s_end), s_end,i⟩ / B`` by parameters and by the window's states.

    Args:
        network: takes the steps.
        trial: with inputs ``[T, B, I]``, of which ``begin`` to ``end`` are played.
        start: the state before ``begin``, tensors ``[B, ...]``. If it depends on parameters, as an initial state may,
            they get its gradient.
        begin: first step.
        end: the step after the last.
        parameters: of any shape, to differentiate by.
        predict: ``F``; None, or the end of the trial, leaves the last term out.
        trace: λ: below 1, the gradient that comes to each state within the window is mixed with what is predicted
            there, for controllers and targets alike.
    """
    state = {name: values if values.requires_grad else values.requires_grad_() for name, values in start.items()}
    batch, states, losses = trial.inputs.shape[1], list[State](), list[Tensor]()
    for step in range(begin, end):
        states.append(state)
        features, state = network(trial.inputs[step], state)
        loss = trial.loss(features, step)
        if loss is not None:
            losses.append(loss)
        if trace < 1 and predict is not None and step + 1 < end:
            predicted = predict(_detached(state), step + 1)
            state = {n: _Mix.apply(v, predicted[n] / batch, trace) for n, v in state.items()}  # type: ignore[no-untyped-call]
    after = _detached(state)
    objective = [*losses]
    if predict is not None and end < len(trial):
        expected = predict(after, end)
        objective += [torch.vdot(expected[name].flatten(), state[name].flatten()) / batch for name in state]
    wanted = [*parameters, *(values for state_t in states for values in state_t.values())]
    gradients = _gradients(objective, wanted)
    found = iter(gradients[len(parameters) :])
    targets = [
        {n: torch.zeros_like(v) if g is None else g * batch for (n, v), g in zip(state_t.items(), found, strict=False)}
        for state_t in states
    ]
    total = torch.stack([loss.detach() for loss in losses]).sum() if losses else 0.0
    return Window(gradients[: len(parameters)], targets, [_detached(state_t) for state_t in states], after, total)


def _gradients(objective: list[Tensor], wanted: list[Tensor]) -> Sequence[Tensor | None]:
    if not any(part.requires_grad for part in objective):
        return [None] * len(wanted)
    whole = objective[0] if len(objective) == 1 else torch.stack(objective).sum()
    return torch.autograd.grad(whole, wanted, allow_unused=True)


def _detached(state: State) -> State:
    return {name: values.detach() for name, values in state.items()}
