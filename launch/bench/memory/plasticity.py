"""Plasticity at test time: copies of a trained memory go on learning by the fast path, each from trials of its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from wormwood.agents.learning.memory.network import MemoryNetwork, State
from wormwood.agents.learning.memory.paths import Expectation, fast_path
from wormwood.agents.learning.memory.windows import TrainingTrials
from wormwood.envs.few_shot.trials import FewShotTask, TrialBatch
from wormwood.errors import BadInput, bad_input
from wormwood.launch.bench.memory.few_shot import as_trial

__all__ = ["PlasticityConfig", "plastic_answers"]

WHERE = "memory plasticity"


@dataclass(frozen=True)
class PlasticityConfig:
    """How copies of trained controllers go on learning at test time, by the fast path alone."""

    fast_every: int = 1
    """Steps of a window of the fast path, at least 1. Longer ones see more true gradient, and adapt later."""
    windows: int = 1
    """Windows whose gradients are summed before a copy steps; 0 sums those of a whole trial, for the next one."""
    read_rate: float = 0.03
    """Step size of plain gradient descent for the read controller; 0 keeps it as it was trained."""
    output_rate: float = 0.03
    """The same for the output controller and what turns features into answers."""
    write_rate: float = 0.03
    """The same for the write controller. Larger changes sooner what is kept and what is erased."""
    max_grad_norm: float = 1.0
    """Gradients of a copy longer than this are scaled down to it, all controllers together."""


def plastic_answers(
    network: MemoryNetwork,
    head: nn.Module,
    stream: Sequence[TrialBatch],
    *,
    task: FewShotTask,
    config: PlasticityConfig,
    expectation: Expectation | None,
) -> Tensor:
    """Answer a stream of trials, and learn from each window of them once it is over.

    Row s of every batch is played by copy s, which starts with the trained weights and sees no other row. A stream of
    one batch is plasticity within a trial; over a longer one, a copy keeps what it has learned. An answer is given
    before its target is used. Neither the trained weights nor the feedback module change.

    Args:
        network: trained.
        head: turns features into answers; it learns with the output controller.
        stream: the trials of each copy, in turn: L batches of S.
        task: of the batches.
        config: when the copies learn, and how fast.
        expectation: predicts what lies beyond a window; None is truncated backpropagation.

    Returns:
        ``[L, A, S, O]``: for each trial of the stream, the answers in the steps that ask.

    Raises:
        BadInput: there is no trial, the batches are not of one size, a trial is longer than the horizon of the
            feedback module, or a loss or gradient is not finite.
    """
    _check_stream(stream, expectation)
    copies = _Copies(network, head, stream[0].inputs.shape[1])
    answers = [
        _learn(copies, batch, number, task=task, config=config, expectation=expectation)
        for number, batch in enumerate(stream)
    ]
    return torch.stack(answers)


def _check_stream(stream: Sequence[TrialBatch], expectation: Expectation | None) -> None:
    if not stream:
        raise bad_input("stream", where=WHERE, expected="at least one batch of trials", got="none")
    size = stream[0].inputs.shape[1]
    for number, batch in enumerate(stream):
        steps, trials = batch.inputs.shape[:2]
        if trials != size or not trials:
            expected = f"{max(size, 1)} trials, one for each copy"
            raise bad_input(f"batch {number}", where=WHERE, expected=expected, got=trials)
        if expectation is not None and steps > expectation.horizon:
            expected = f"at most {expectation.horizon} steps, the horizon of its feedback module"
            raise bad_input(f"batch {number}", where=WHERE, expected=expected, got=f"{steps} steps")


def _learn(
    copies: _Copies,
    batch: TrialBatch,
    number: int,
    *,
    task: FewShotTask,
    config: PlasticityConfig,
    expectation: Expectation | None,
) -> Tensor:
    """Play trial ``number`` with every copy, let them learn from it, and return the answers ``[A, S, O]``."""
    answers = list[Tensor]()

    def answer(features: Tensor) -> Tensor:
        given = copies.answer(features)
        answers.append(given.detach())
        return given

    asked = as_trial(batch, task, answer)

    def loss(features: Tensor, step: int) -> Tensor | None:
        value = asked.loss(features, step)
        if value is not None and not math.isfinite(found := float(value.detach())):
            raise _not_finite("loss", number, step, found)
        return value

    trial, parameters = TrainingTrials(asked.inputs, loss, asked.context), list(copies.weights.values())
    sums, every = [torch.zeros_like(parameter) for parameter in parameters], config.fast_every
    windows = fast_path(copies, trial, every=every, parameters=parameters, expectation=expectation, teach=False)
    for count, window in enumerate(windows, start=1):
        end = min(count * every, len(trial))
        for total, gradient in zip(sums, window.gradients, strict=True):
            if gradient is not None:
                total += gradient
        if end == len(trial) or (config.windows and count % config.windows == 0):
            longest = copies.step(sums, config)
            if not math.isfinite(longest):
                raise _not_finite("gradient", number, end - 1, longest)
            sums = [torch.zeros_like(parameter) for parameter in parameters]
    return torch.stack(answers)


def _not_finite(what: str, trial: int, step: int, value: float) -> BadInput:
    return bad_input(what, where=f"{WHERE}, trial {trial}, step {step}", expected="a finite number", got=value)


class _Copies:
    """S copies of a network and its head: copy s plays row s of a batch."""

    def __init__(self, network: MemoryNetwork, head: nn.Module, count: int) -> None:
        self._network, self._head = _batchable(network), copy.deepcopy(head)
        self._whole = _Whole(self._network, self._head)
        owners = {id(p): name for name, parameters in self._network.controllers().items() for p in parameters}
        named = dict(self._whole.named_parameters())
        self.owners = {name: owners.get(id(parameter), "output") for name, parameter in named.items()}
        """Which controller each weight belongs to, by the weight's name."""
        self.weights = {
            name: parameter.detach().expand(count, *parameter.shape).clone().requires_grad_()
            for name, parameter in named.items()
        }
        """``[S, ...]`` of each weight, by name."""

    def initial_state(self, batch: int) -> State:
        """Return the state before the first input, of every copy; ``batch`` is their number."""
        state: State = self._call(lambda: _row(self._network.initial_state(1)))
        return state

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step, each copy with its row of ``x [S, I]``."""

        def step(x: Tensor, state: State) -> tuple[Tensor, State]:
            features, following = self._network(x.unsqueeze(0), {n: values.unsqueeze(0) for n, values in state.items()})
            return features.squeeze(0), _row(following)

        taken: tuple[Tensor, State] = self._call(step, x, state)
        return taken

    def answer(self, features: Tensor) -> Tensor:
        """Return what each copy's head says ``[S, O]``."""
        answers: Tensor = self._call(lambda row: self._head(row.unsqueeze(0)).squeeze(0), features)
        return answers

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], config: PlasticityConfig) -> float:
        """Step each copy by its part of the gradients of a mean over all, and return the longest part.

        Nothing steps if that is not finite.
        """
        count = len(gradients[0])
        # The mean over the copies is not of a copy's making: its own loss has S times that gradient.
        norms = count * torch.stack([g.reshape(count, -1).square().sum(dim=1) for g in gradients]).sum(dim=0).sqrt()
        longest = float(norms.max())
        if math.isfinite(longest):
            scales = count * (config.max_grad_norm / norms).clamp(max=1)
            rates = {"read": config.read_rate, "output": config.output_rate, "write": config.write_rate}
            for (name, weight), gradient in zip(self.weights.items(), gradients, strict=True):
                rate = rates[self.owners[name]]
                if rate:
                    weight -= rate * scales.view(count, *[1] * (gradient.ndim - 1)) * gradient
        return longest

    def _call(self, function: Callable[..., Any], *rows: Any) -> Any:
        def call_one(weights: dict[str, Tensor], *row: Any) -> Any:
            return functional_call(self._whole, weights, (function, *row))

        return vmap(call_one)(self.weights, *rows)


def _row(state: State) -> State:
    return {name: values.squeeze(0) for name, values in state.items()}


class _Whole(nn.Module):
    """A network and its head as one module, of which any part can be called with weights that are given."""

    def __init__(self, network: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``function(*arguments)``, which calls network or head."""
        return function(*arguments)


class _GRUCell(nn.Module):
    """The step of ``nn.GRUCell``, with its weights, out of operations that torch can batch over weights."""

    def __init__(self, cell: nn.GRUCell) -> None:
        super().__init__()
        self.weight_ih, self.weight_hh = cell.weight_ih, cell.weight_hh
        self.bias_ih, self.bias_hh = cell.bias_ih, cell.bias_hh

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Return the next state ``[B, H]``."""
        reset, update, new = nn.functional.linear(x, self.weight_ih, self.bias_ih).chunk(3, dim=1)
        of_reset, of_update, of_new = nn.functional.linear(state, self.weight_hh, self.bias_hh).chunk(3, dim=1)
        candidate = torch.tanh(new + torch.sigmoid(reset + of_reset) * of_new)
        return candidate + torch.sigmoid(update + of_update) * (state - candidate)


def _batchable(network: MemoryNetwork) -> MemoryNetwork:
    """Return a copy of a network that computes the same without fused kernels, which torch cannot batch."""
    copied = copy.deepcopy(network)
    for name, cell in list(copied.named_children()):
        if isinstance(cell, nn.GRUCell):
            setattr(copied, name, _GRUCell(cell))
    return copied
