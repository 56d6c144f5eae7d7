"""Few-shot tasks for memories: batches as trials with a loss, and the score on trials that were held out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from wormwood.agents.learning.memory.windows import RecurrentNetwork, TrainingTrials
from wormwood.envs.few_shot.trials import FewShotTask, TrialBatch

__all__ = ["answer_scores", "as_trial", "frozen_answers", "held_out_score"]


def as_trial(batch: TrialBatch, task: FewShotTask, head: Callable[[Tensor], Tensor]) -> TrainingTrials:
    """Return a batch as a trial: cross entropy or mean square error of ``head(features)`` in the steps that ask.

    Args:
        batch: of the task.
        task: says which loss.
        head: turns features ``[B, F]`` into ``task.outputs`` numbers.
    """
    targets, asked = torch.from_numpy(batch.targets), [bool(row.any()) for row in batch.weights]

    def loss(features: Tensor, step: int) -> Tensor | None:
        if not asked[step]:
            return None
        if task.loss == "classification":
            return nn.functional.cross_entropy(head(features), targets[step])
        return nn.functional.mse_loss(head(features), targets[step])

    return TrainingTrials(torch.from_numpy(batch.inputs), loss, torch.from_numpy(batch.context))


@torch.no_grad()
def held_out_score(network: RecurrentNetwork, head: nn.Module, task: FewShotTask, *, seed: int, trials: int) -> float:
    """Return the share of right answers, or the mean square error, over held-out trials."""
    batch = task.sample(seed, 0, trials, held_out=True)
    return float(answer_scores(frozen_answers(network, head, batch), batch, task).mean())


@torch.no_grad()
def frozen_answers(network: RecurrentNetwork, head: nn.Module, batch: TrialBatch) -> Tensor:
    """Return the answers ``[A, B, O]`` in the steps that ask."""
    state, answers = network.initial_state(batch.inputs.shape[1]), list[Tensor]()
    for x, asked in zip(torch.from_numpy(batch.inputs), batch.weights, strict=True):
        features, state = network(x, state)
        if asked.any():
            answers.append(head(features))
    return torch.stack(answers)


def answer_scores(answers: Tensor, batch: TrialBatch, task: FewShotTask) -> Tensor:
    """Return the score ``[A, B]`` of each answer ``[A, B, O]``: 1 if it is right, else 0; or its mean square error."""
    targets = torch.from_numpy(batch.targets[batch.weights.any(axis=1)])
    if task.loss == "classification":
        return (answers.argmax(dim=-1) == targets).float()
    return (answers - targets).square().mean(dim=-1)
