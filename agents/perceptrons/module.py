"""The multilayer perceptron policy in torch; ``mlp.py`` has the equation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wormwood.agents.interfaces import Arrays
from wormwood.envs.layouts import ObservationLayout

__all__ = ["MLPActor"]


class MLPActor(nn.Module):
    """Maps standardised observations ``[N, D]`` to actions ``[N, J]``, without looking at the clock."""

    def __init__(self, weights: Arrays, *, layout: ObservationLayout) -> None:
        """Take the weights of ``initial_weights``."""
        super().__init__()
        self.columns: Tensor
        columns = [column for column in range(layout.size) if column != layout.clock]
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        names = sorted((name for name in weights if name.startswith("layer")), key=lambda name: int(_index(name)))
        self.layers = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(weights[name], dtype=torch.float32)) for name in names}
        )
        self.depth = len(names) // 2

    def weights(self) -> Arrays:
        """Return the weights as ``initial_weights`` has them, in float64."""
        return {name: values.detach().cpu().double().numpy().copy() for name, values in self.layers.items()}

    def project(self) -> None:
        """Do nothing: the weights have no bounds."""

    def forward(self, observation: Tensor) -> Tensor:
        """Return actions ``[N, J]``, not limited to [-1, 1]."""
        x = observation[:, self.columns]
        for index in range(self.depth):
            x = x @ self.layers[f"layer{index}_weight"] + self.layers[f"layer{index}_bias"]
            if index < self.depth - 1:
                x = torch.tanh(x)
        return x


def _index(name: str) -> str:
    return name.removeprefix("layer").split("_")[0]
