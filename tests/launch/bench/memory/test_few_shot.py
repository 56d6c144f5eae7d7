"""Few-shot batches as trials, and their held-out score."""

import numpy as np
import pytest
import torch
from torch import nn

from wormwood.envs.few_shot.regression import Sinusoids
from wormwood.envs.few_shot.sequences import Recall
from wormwood.launch.bench.memory.few_shot import as_trial, held_out_score


class _Echo(nn.Module):
    """Remembers its first input, which are its features in every step."""

    def initial_state(self, batch: int) -> dict[str, torch.Tensor]:
        return {"first": torch.zeros(batch, 5), "step": torch.zeros(batch, 1)}

    def forward(self, x, state):
        first = torch.where(state["step"] == 0, x, state["first"])
        return first, {"first": first, "step": state["step"] + 1}


def test_only_steps_that_ask_have_a_loss() -> None:
    task = Recall(3)
    batch, head = task.sample(0, 0, 7), nn.Linear(5, 4)
    trial = as_trial(batch, task, head)
    features = torch.randn(7, 5)
    assert [trial.loss(features, step) is None for step in range(len(trial))] == [True, True, True, False]
    expected = nn.functional.cross_entropy(head(features), torch.from_numpy(batch.targets[3]))
    assert torch.equal(trial.loss(features, 3), expected)


def test_regression_has_the_mean_square_error() -> None:
    task = Sinusoids(shots=1)
    batch, head = task.sample(0, 0, 7), nn.Linear(2, 1)
    head.weight.data.zero_()
    head.bias.data.zero_()
    loss = as_trial(batch, task, head).loss(torch.ones(7, 2), 1)
    assert loss.item() == pytest.approx(np.mean(batch.targets[1] ** 2), rel=1e-6)


def test_the_score_of_a_perfect_memory_is_one() -> None:
    head = nn.Linear(5, 4, bias=False)
    head.weight.data = torch.eye(5)[:4]
    assert held_out_score(_Echo(), head, Recall(6), seed=0, trials=50) == 1.0
    head.weight.data = -head.weight.data
    assert held_out_score(_Echo(), head, Recall(6), seed=0, trials=50) == 0.0
