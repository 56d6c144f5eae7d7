"""Few-shot tasks for memories: batches as trials with a loss, and the score on trials that were held out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wormwood.agents.memory.windows import Core, Trial
from wormwood.envs.few_shot.trials import FewShotTask, TrialBatch

__all__ = ["as_trial", "held_out_score"]


def as_trial(batch: TrialBatch, task: FewShotTask, head: nn.Module) -> Trial:
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

    return Trial(torch.from_numpy(batch.inputs), loss, torch.from_numpy(batch.shown))


@torch.no_grad()
def held_out_score(network: Core, head: nn.Module, task: FewShotTask, *, seed: int, trials: int) -> float:
    """Return the share of right answers, or the mean square error, over held-out trials."""
    batch = task.sample(seed, 0, trials, held_out=True)
    state, scores = network.initial_state(trials), list[float]()
    for step in range(task.steps):
        features, state = network(torch.from_numpy(batch.inputs[step]), state)
        if batch.weights[step].any():
            answer, target = head(features), torch.from_numpy(batch.targets[step])
            if task.loss == "classification":
                scores.append(float((answer.argmax(dim=1) == target).float().mean()))
            else:
                scores.append(float(nn.functional.mse_loss(answer, target)))
    return sum(scores) / len(scores)
