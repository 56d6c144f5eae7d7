"""The slow path: full backpropagation through a trial, which gives the feedback module exact targets, too."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from wormwood.agents.learning.memory.fast_path import Expectation
from wormwood.agents.learning.memory.windows import RecurrentNetwork, TrainingTrials, Window, window_gradients

__all__ = ["slow_path"]


def slow_path(
    network: RecurrentNetwork,
    trial: TrainingTrials,
    *,
    parameters: Sequence[nn.Parameter],
    expectation: Expectation | None,
) -> Window:
    """Play a whole trial as one window; its graph grows with the trial.

    Args:
        network: takes the steps.
        trial: the batch of trials.
        parameters: of the controllers, to differentiate by.
        expectation: its feedback module learns from the true gradient of every state; None where there is none.
    """
    start = network.initial_state(trial.inputs.shape[1])
    window = window_gradients(network, trial, start, begin=0, end=len(trial), parameters=parameters)
    if expectation is not None:
        expectation.learn(trial, window, 0)
    return window
