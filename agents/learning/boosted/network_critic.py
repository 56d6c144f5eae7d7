"""A network as the critic of a forest's policy."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wormwood.agents.learning.critics import MLPCritic
from wormwood.agents.learning.normalization import RunningNormalizer, Standardized
from wormwood.agents.policies.features import FeatureMap
from wormwood.agents.policies.interfaces import Floats
from wormwood.envs.layouts import ObservationLayout

__all__ = ["NetworkCritic"]


class NetworkCritic(nn.Module):
    """A perceptron over the features that the forest sees, standardised by their running mean and deviation.

    A category counts as the number that it is. Where an observation has several rows, its value is their mean.
    """

    def __init__(self, feature_map: FeatureMap, *, hidden: Sequence[int]) -> None:
        """Draw the weights from torch's global generator.

        Args:
            feature_map: makes the features.
            hidden: units of each hidden layer.
        """
        super().__init__()
        layout = ObservationLayout(
            size=feature_map.columns, joints=slice(0, 0), velocities=slice(0, feature_map.columns)
        )
        self._rows = feature_map.rows
        self.normalizer = RunningNormalizer(layout)
        self.value = Standardized(self.normalizer, MLPCritic(hidden, layout=layout))

    def forward(self, features: Floats) -> Tensor:
        """Return values ``[N]`` for features ``[N R, F]``."""
        device = self.normalizer.mean.device
        rows: Tensor = self.value(torch.as_tensor(features, dtype=torch.float32, device=device))
        return rows.reshape(-1, self._rows).mean(dim=1)

    def observe(self, features: Floats) -> None:
        """Take features ``[N R, F]`` into the mean and deviation that later ones are standardised by."""
        self.normalizer.update(torch.as_tensor(features, device=self.normalizer.mean.device))
