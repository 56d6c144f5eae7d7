"""Trials as a batch to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.recurrent.kickstarting import advice
from wormwood.agents.learning.recurrent.module import RecurrentActorCritic, State
from wormwood.agents.learning.returns import generalized_advantages
from wormwood.agents.learning.transitions import collate
from wormwood.agents.policies.interfaces import Policy
from wormwood.agents.policies.recurrent import STARTED

__all__ = ["Discounting", "Trials", "trials_with_advantages"]


class Discounting(Protocol):
    """The settings that say what a step is worth."""

    @property
    def gamma(self) -> float:
        """Discount of each control step."""

    @property
    def gae_lambda(self) -> float:
        """Trust in rewards over the critic."""

    @property
    def reward_scale(self) -> float:
        """Factor of rewards."""


@dataclass(frozen=True)
class Trials:
    """One iteration's trials, or some of them, with what is to be learned from each step."""

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
    next_observation: Tensor
    """``[N, D]`` behind the last step."""
    starts: Tensor
    """``[T, N]`` the step begins a trial."""
    state: State
    """Before the first step."""
    advice: Tensor | None = None
    """``[T, N, J]`` what a teacher would have done; None without one."""

    def some(self, rows: Tensor) -> Trials:
        """Return the trials with the indices ``rows [n]``."""
        return Trials(
            self.observation[:, rows],
            self.action[:, rows],
            self.log_prob[:, rows],
            self.advantage[:, rows],
            self.value_target[:, rows],
            self.next_observation[rows],
            self.starts[:, rows],
            {name: values[rows] for name, values in self.state.items()},
            None if self.advice is None else self.advice[:, rows],
        )


@torch.no_grad()
def trials_with_advantages(
    model: RecurrentActorCritic,
    fragments: Sequence[Fragment],
    discounting: Discounting,
    *,
    teacher: Policy | None = None,
) -> Trials:
    """Collate the fragments of one iteration, with the advantage of every step under the model's values.

    Advantages are standardised over the iteration. A teacher, where there is one, says what it would have done.
    """
    experience = collate(fragments)
    device = next(model.parameters()).device

    def numbers(values: NDArray[Any]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)

    observation, following = numbers(experience.observation), numbers(experience.next_observation)
    starts = torch.tensor(experience.episode_start, device=device)
    done = experience.terminated | experience.truncated
    state: State = {name: numbers(values) for name, values in experience.memory.items() if name != STARTED}
    _, values, state_end = model(observation, starts, state)
    _, value_end, _ = model(following[None], torch.tensor(done[-1:], device=device), state_end)
    value = values.cpu().double().numpy()
    advantage = generalized_advantages(
        experience.reward * discounting.reward_scale,
        value,
        value_end[0].cpu().double().numpy(),
        done,
        gamma=discounting.gamma,
        lambda_=discounting.gae_lambda,
    )
    action = torch.tensor(experience.action, device=device)
    return Trials(
        observation,
        action.float() if action.is_floating_point() else action,
        numbers(experience.log_prob),
        numbers((advantage - advantage.mean()) / (advantage.std() + 1e-8)),
        numbers(advantage + value),
        following,
        starts,
        state,
        None if teacher is None else torch.tensor(advice(teacher, experience), device=device),
    )
