"""The multilayer perceptron policy in torch; ``mlp.py`` has the equation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.perceptron import check_weights, input_columns, layer_count
from wormwood.envs.layouts import ObservationLayout

__all__ = ["MLPActor"]


class MLPActor(nn.Module):
    """Maps observations ``[N, D]``, standardised already, to outputs ``[N, O]`` without looking at the clock."""

    def __init__(self, weights: Arrays, *, layout: ObservationLayout, outputs: int) -> None:
        """Take the weights of ``initial_weights``.

        Raises:
            BadInput: the layers were made for another observation, or other actions.
        """
        super().__init__()
        check_weights(weights, layout, outputs)
        self.columns: Tensor
        self.register_buffer("columns", torch.tensor(input_columns(layout)), persistent=False)
        self.depth = layer_count(weights)
        names = [f"layer{index}_{part}" for index in range(self.depth) for part in ("weight", "bias")]
        self.layers = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(weights[name], dtype=torch.float32)) for name in names}
        )

    def weights(self) -> Arrays:
        """Return the weights as ``initial_weights`` has them, in float64."""
        return {name: values.detach().cpu().double().numpy().copy() for name, values in self.layers.items()}

    def project(self) -> None:
        """Do nothing: the weights have no bounds."""

    def forward(self, observation: Tensor) -> Tensor:
        """Return mean actions, not limited to their bounds, or logits: ``[N, O]``."""
        x = observation[:, self.columns]
        for index in range(self.depth):
            x = x @ self.layers[f"layer{index}_weight"] + self.layers[f"layer{index}_bias"]
            if index < self.depth - 1:
                x = torch.tanh(x)
        return x
