"""Two boosted forests that estimate the value of an action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Space
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn

from wormwood.agents.learning.boosted.boosting import Boosting
from wormwood.agents.learning.boosted.encoding import encode_tensors, feature_map_of_space
from wormwood.agents.policies.interfaces import Floats
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest

__all__ = ["TWINS", "TwinForests"]

TWINS = 2


class TwinForests(nn.Module):
    """Two forests that estimate the value of an action. Older prefixes of them are the targets that they learn from."""

    def __init__(self, space: Space[Any], *, actions: int, tree: TreeConfig) -> None:
        """Start without trees, with the value 0.

        Args:
            space: of observations: numbers, choices or dictionaries of them.
            actions: numbers J of an action.
            tree: how each tree is grown.

        Raises:
            BadInput: the space is of another kind.
        """
        super().__init__()
        self._space, self._feature_map, self._tree = space, feature_map_of_space(space), tree
        columns = self._feature_map.columns + actions
        self.forests = [Forest([0.0], features=columns, depth=tree.max_depth) for _ in range(TWINS)]
        self.target_trees = 0

    def features(self, observation: PyTorchObs) -> Floats:
        """Return ``[N, F]`` for observations as SB3 keeps them."""
        return self._feature_map.features(encode_tensors(self._space, observation))

    def values(self, features: Floats, action: Tensor, *, trees: int | None = None) -> Floats:
        """Return the lower ``[N]`` of both values of features ``[N, F]`` and actions ``[N, J]``.

        They are of all trees or of the first ones.
        """
        rows = _together(features, action)
        estimates = [forest.predict(rows, trees=trees)[:, 0] for forest in self.forests]
        lower: Floats = np.minimum(*estimates)
        return lower

    def boostings(self, features: Floats, action: Tensor) -> list[Boosting]:
        """Return what grows each forest by rows of features ``[N, F]`` and actions ``[N, J]``."""
        rows, found = _together(features, action), []
        for forest in self.forests:
            boosting = Boosting(forest, self._tree, categorical=self._feature_map.categorical)
            boosting.begin(rows)
            found.append(boosting)
        return found

    def follow(self) -> None:
        """Let the targets be what the forests are now."""
        self.target_trees = len(self.forests[0])

    def set_training_mode(self, mode: bool) -> None:
        """Do as SB3's modules do."""
        self.train(mode)

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return each forest's tensors (see ``Forest.arrays``) as ``<index>/<array>``, and ``target_trees``, a scalar.

        Torch keeps them with the state of the module.
        """
        arrays = {
            f"{index}/{name}": values
            for index, forest in enumerate(self.forests)
            for name, values in forest.arrays().items()
        }
        arrays["target_trees"] = np.array(self.target_trees)
        return {name: torch.from_numpy(values) for name, values in arrays.items()}

    def set_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``get_extra_state`` returned.

        Raises:
            BadInput: the arrays are no forests.
        """
        self.target_trees = int(state["target_trees"])
        for index in range(TWINS):
            start = f"{index}/"
            forest_arrays = {
                name.removeprefix(start): part.numpy() for name, part in state.items() if name.startswith(start)
            }
            self.forests[index] = Forest.from_arrays(forest_arrays)


def _together(features: Floats, action: Tensor) -> Floats:
    return np.hstack([features, action.detach().cpu().numpy().astype(np.float64)])
