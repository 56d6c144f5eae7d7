"""The feedback module: what later losses want the state to be, predicted from the state and what was shown so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wormwood.agents.learning.memory.network import State
from wormwood.agents.learning.memory.settings import FeedbackConfig
from wormwood.errors import bad_input

__all__ = ["Feedback", "FeedbackPool", "RunningSize", "SharedFeedback", "Widths", "widths_of"]


@dataclass(frozen=True)
class Widths:
    """The sizes that a feedback module is made for. It serves any number of slots."""

    vectors: Mapping[str, int]
    """Numbers of each state tensor ``[B, D]``."""
    slots: Mapping[str, int]
    """Numbers in each row of the state tensors ``[B, N, d]``."""
    context: int
    """Numbers of what is known besides the state."""


def widths_of(state: State, context: int) -> Widths:
    """Return the widths of a state, with so many numbers of context."""
    return Widths(
        vectors={name: values.shape[1] for name, values in state.items() if values.ndim == 2},
        slots={name: values.shape[2] for name, values in state.items() if values.ndim == 3},
        context=context,
    )


class Feedback(nn.Module):
    """``F_φ``: one hidden layer that sees the vectors, the context, the mean of the slots, and the slot it speaks of.

    It predicts ``∂L_{>t}/∂s_t`` for a state, in units of its running size. Slots are treated alike: permuting them
    permutes the predictions. The last layer starts at 0, so that learning starts as truncated backpropagation.
    """

    def __init__(self, config: FeedbackConfig, widths: Widths) -> None:
        super().__init__()
        self.widths = widths
        size = sum(widths.vectors.values()) + sum(widths.slots.values()) + widths.context
        self.trunk = nn.Linear(size, config.hidden)
        self.of_vectors = _zero(nn.Linear(config.hidden, sum(widths.vectors.values())))
        self.slot_trunks = nn.ModuleDict({n: nn.Linear(d, config.hidden, bias=False) for n, d in widths.slots.items()})
        self.of_slots = nn.ModuleDict({n: _zero(nn.Linear(config.hidden, d)) for n, d in widths.slots.items()})

    def forward(self, state: State, context: Tensor) -> State:
        """Return the predictions for a state, which is not changed: tensors of its shapes.

        Args:
            state: tensors ``[B, D]`` and ``[B, N, d]``.
            context: ``[B, C]``.
        """
        vectors, slots = self.widths.vectors, self.widths.slots
        seen = [state[name] for name in vectors] + [state[name].mean(dim=1) for name in slots]
        trunk = self.trunk(torch.cat([*seen, context], dim=1))
        parts = self.of_vectors(torch.tanh(trunk)).split(list(vectors.values()), dim=1)
        predictions = dict(zip(vectors, parts, strict=True))
        for name in slots:
            of_slot = torch.tanh(trunk.unsqueeze(1) + self.slot_trunks[name](state[name]))
            predictions[name] = self.of_slots[name](of_slot)
        return predictions


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


@dataclass
class SharedFeedback:
    """A feedback module and what steps it, whoever uses it."""

    module: Feedback
    optimizer: torch.optim.Adam

    def step(self) -> None:
        """Step by the gradients that all its memories have left since the last step, if any has."""
        if any(p.grad is not None for group in self.optimizer.param_groups for p in group["params"]):
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)

    def discard(self) -> None:
        """Forget the gradients that were left."""
        self.optimizer.zero_grad(set_to_none=True)


class FeedbackPool:
    """The feedback modules of one process, by name, so that memories can share them."""

    def __init__(self) -> None:
        self.shared: dict[str, SharedFeedback] = {}

    def join(self, config: FeedbackConfig, widths: Widths) -> SharedFeedback:
        """Return the module for a memory of these widths.

        The first memory that names a module makes it. Without a name it is the memory's own.

        Args:
            config: its name, and how it is made.
            widths: of the memory's states and contexts.

        Raises:
            BadInput: the module was made for other widths.
        """
        held = self.shared.get(config.name or "")
        if held is None:
            module = Feedback(config, widths)
            held = SharedFeedback(module, torch.optim.Adam(module.parameters(), lr=config.rate))
            if config.name is not None:
                self.shared[config.name] = held
        elif held.module.widths != widths:
            where = f"shared feedback module {config.name!r}"
            raise bad_input("memory", where=where, expected=str(held.module.widths), got=str(widths))
        return held


class RunningSize(nn.Module):
    """Root mean square of each state tensor's targets, as a moving average over updates.

    True gradients are small, and differ from tensor to tensor: the feedback module predicts them in these units.
    """

    def __init__(self, names: Iterable[str], decay: float) -> None:
        super().__init__()
        self.names, self.decay = tuple(names), decay
        self.mean_squares: Tensor
        self.weight: Tensor
        self.register_buffer("mean_squares", torch.zeros(len(self.names)))
        self.register_buffer("weight", torch.zeros(()))
        self._seen = torch.zeros(len(self.names))
        self._windows = 0

    def observe(self, targets: State) -> None:
        """Note the targets of one window for the next ``advance``."""
        self._seen = self._seen + torch.stack([targets[name].square().mean() for name in self.names])
        self._windows += 1

    def advance(self) -> None:
        """Move the averages by the mean of what was observed since the last time, if anything was."""
        if self._windows:
            self.mean_squares.mul_(self.decay).add_(self._seen, alpha=(1 - self.decay) / self._windows)
            self.weight.mul_(self.decay).add_(1 - self.decay)
            self.discard()

    def discard(self) -> None:
        """Forget what was observed since the last ``advance``."""
        self._seen, self._windows = torch.zeros_like(self._seen), 0

    def sizes(self) -> dict[str, Tensor]:
        """Return a scalar by name, the size of that tensor's targets; before the first ``advance``, of those so far."""
        squares = self.mean_squares / self.weight if self.weight else self._seen / max(self._windows, 1)
        return dict(zip(self.names, squares.sqrt().unbind(), strict=True))
