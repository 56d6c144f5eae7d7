"""Actors and critics of off-policy algorithms, as Stable-Baselines3 calls them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from gymnasium.spaces import Box, Space
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor, nn

from wormwood.agents.learning.normalization import RunningNormalizer, Standardized
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["Bounded", "BoundedActor", "Critics"]


class Bounded(torch.autograd.Function):
    """Clips to [-1, 1], and drops the gradients that would push further out, but not those that lead back.

    These are the inverted gradients of Hausknecht and Stone (2016, https://arxiv.org/abs/1511.04143) without their
    scaling inside: an actor whose output has left the bounds can return.
    """

    @staticmethod
    def forward(context: Any, action: Tensor) -> Tensor:
        """Return the actions ``[N, J]`` clipped."""
        context.save_for_backward(action)
        return action.clamp(-1.0, 1.0)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Return the gradient ``[N, J]`` without what would push further out."""
        (action,) = context.saved_tensors
        # A step goes against the gradient.
        leaves = ((action >= 1.0) & (gradient < 0)) | ((action <= -1.0) & (gradient > 0))
        return gradient.masked_fill(leaves, 0.0)


class BoundedActor(BasePolicy):
    """A structured actor whose actions are scaled to [-1, 1], as Stable-Baselines3 keeps them."""

    optimizer: torch.optim.Optimizer

    def __init__(self, module: nn.Module, spaces: tuple[Space[Any], Box]) -> None:
        super().__init__(*spaces, squash_output=True)
        self.low: Tensor
        self.high: Tensor
        self.module = module
        self.register_buffer("low", torch.tensor(spaces[1].low), persistent=False)
        self.register_buffer("high", torch.tensor(spaces[1].high), persistent=False)

    @property
    def structure(self) -> Any:
        """The actor of ``wormwood.agents`` itself."""
        return self.module.module if isinstance(self.module, Standardized) else self.module

    def forward(self, observation: Tensor) -> Tensor:
        """Return the actions ``[N, J]`` at observations ``[N, D]``, within [-1, 1]."""
        return self.bounded(self.mean(observation))

    def mean(self, observation: Tensor) -> Tensor:
        """Return the actions ``[N, J]`` scaled so that the space's bounds are -1 and 1; they may be outside."""
        action: Tensor = self.module(observation.float())
        return (2 * action - self.high - self.low) / (self.high - self.low)

    @staticmethod
    def bounded(action: Tensor) -> Tensor:
        """Return actions ``[N, J]`` within [-1, 1], through which gradients lead only inside."""
        bounded: Tensor = Bounded.apply(action)  # type: ignore[no-untyped-call]
        return bounded

    def _predict(self, observation: Tensor, deterministic: bool = False) -> Tensor:  # type: ignore[override]
        action: Tensor = self(observation)
        return action


class Critics(nn.Module):
    """Perceptrons over a standardised observation, without its clock, and an action."""

    optimizer: torch.optim.Optimizer

    def __init__(
        self, normalizer: RunningNormalizer, spec: EnvironmentSpec, hidden: tuple[int, ...], count: int
    ) -> None:
        super().__init__()
        self.columns: Tensor
        columns = [column for column in range(spec.layout.size) if column != spec.layout.clock]
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        self.normalizer = normalizer
        sizes = (len(columns) + spec.actions.size, *hidden, 1)
        self.values = nn.ModuleList(_perceptron(sizes) for _ in range(count))

    def forward(self, observation: Tensor, action: Tensor) -> tuple[Tensor, ...]:
        """Return the values ``[N, 1]`` of each critic, of observations ``[N, D]`` and actions ``[N, J]``."""
        inputs = self._inputs(observation, action)
        return tuple(value(inputs) for value in self.values)

    def q1_forward(self, observation: Tensor, action: Tensor) -> Tensor:
        """Return the values ``[N, 1]`` of the first critic."""
        value: Tensor = self.values[0](self._inputs(observation, action))
        return value

    def set_training_mode(self, mode: bool) -> None:
        self.train(mode)

    def _inputs(self, observation: Tensor, action: Tensor) -> Tensor:
        return torch.cat([self.normalizer(observation.float())[:, self.columns], action], dim=1)


def _perceptron(sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
