"""A small memory, its learner, and trials for them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wormwood.agents.learning.memory.feedback import FeedbackPool
from wormwood.agents.learning.memory.learner import MemoryLearner
from wormwood.agents.learning.memory.network import MemoryNetwork
from wormwood.agents.learning.memory.settings import FeedbackConfig, ScheduleConfig
from wormwood.agents.learning.memory.windows import TrainingTrials
from wormwood.agents.policies.memory_settings import MemoryConfig

INPUTS, SHOWN = 3, 2


def _trial(steps: int = 6, batch: int = 5, *, seed: int = 0, asked: tuple[int, ...] | None = None) -> TrainingTrials:
    """Trials whose loss is the mean square of the features minus a target, in the asked steps or in all."""
    generator = torch.Generator().manual_seed(seed)
    inputs, context = torch.randn(steps, batch, INPUTS, generator=generator), torch.zeros(steps + 1, batch, SHOWN)
    context[1:, :, 0] = inputs[0, :, 0]
    targets = torch.randn(steps, batch, 1, generator=generator)

    def loss(features: Tensor, step: int) -> Tensor | None:
        return None if asked is not None and step not in asked else (features - targets[step]).square().mean()

    return TrainingTrials(inputs, loss, context)


def _learner(
    *,
    feedback: FeedbackConfig | None = None,
    pool: FeedbackPool | None = None,
    memory: MemoryConfig | None = None,
    **schedule,
) -> MemoryLearner:
    torch.manual_seed(0)
    network = MemoryNetwork(memory or MemoryConfig(slots=3, width=4, hidden=5), INPUTS)
    return MemoryLearner(
        network,
        network.controllers(),
        schedule=ScheduleConfig(**schedule),
        feedback=feedback or FeedbackConfig(hidden=8),
        context=SHOWN,
        pool=pool,
    )


def _random_feedback(module: nn.Module) -> None:
    """Give a module's last layers weights, as if it had learned something."""
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3


@pytest.fixture
def make_trial() -> Callable[..., TrainingTrials]:
    return _trial


@pytest.fixture
def make_learner() -> Callable[..., MemoryLearner]:
    return _learner


@pytest.fixture
def randomise() -> Callable[[nn.Module], None]:
    return _random_feedback
