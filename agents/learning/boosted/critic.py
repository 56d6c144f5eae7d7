"""A boosted forest as a critic among torch's modules, for any actor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from wormwood.agents.policies.features import make_feature_map
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Floats
from wormwood.envs.specs import EnvironmentSpec
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree

__all__ = ["ForestCritic"]


class ForestCritic(nn.Module):
    """Maps observations ``[N, D]`` as they are to values ``[N, 1]``, and grows by the gradients that come back to them.

    It has no parameters: ``grow`` is called after each backward pass, where an optimiser would take its step.
    """

    def __init__(self, spec: EnvironmentSpec, *, tree: TreeConfig, rate: float, grad_clip: float = 10.0) -> None:
        """Start without trees, with the value 0.

        Args:
            spec: of the environment; all of its observation but the clock is looked at.
            tree: how each tree is grown.
            rate: learning rate of the values.
            grad_clip: a transition's gradient is clipped to this.
        """
        super().__init__()
        self._feature_map = make_feature_map(ForestConfig(tree=tree), spec)
        self._tree, self._rate, self._grad_clip = tree, rate, grad_clip
        self.forest = Forest([0.0], features=self._feature_map.columns, depth=tree.max_depth)
        self._latest: tuple[Floats, Tensor] | None = None

    def forward(self, observation: Tensor) -> Tensor:
        """Return values ``[N, 1]``, a leaf of torch's graph."""
        features = self._feature_map.features(observation.detach().cpu().numpy())
        values = torch.as_tensor(self.forest.predict(features), dtype=torch.float32, device=observation.device)
        if torch.is_grad_enabled():
            values.requires_grad_()
            self._latest = features, values
        return values

    def grow(self) -> None:
        """Add a tree that follows the gradient of a mean over the values that were computed last, if there is one."""
        if self._latest is None or self._latest[1].grad is None:
            return
        features, values = self._latest
        assert values.grad is not None
        gradients = values.grad.double().cpu().numpy() * len(features)  # of each transition's own loss
        gradients = np.clip(gradients, -self._grad_clip, self._grad_clip)
        grid = fit_grid(features, max_bins=self._tree.max_bins, method=self._tree.binning)
        tree = grow_tree(grid.encode(features), grid, gradients, config=self._tree)
        self.forest.append(tree, [self._rate])
        self._latest = None

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return the forest as tensors such as ``leaves [K, L, 1]`` of K trees; see ``Forest.arrays``.

        Torch keeps them with the state of the module.
        """
        return {name: torch.from_numpy(values) for name, values in self.forest.arrays().items()}

    def set_extra_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what ``get_extra_state`` returned.

        Raises:
            BadInput: the arrays are no forest.
        """
        self.forest = Forest.from_arrays({name: values.numpy() for name, values in state.items()})
