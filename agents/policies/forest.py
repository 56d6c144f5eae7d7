"""The policy of a forest in NumPy, and its weights: those of its forest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.action_head import choose_action
from wormwood.agents.policies.features import FeatureMap, make_feature_map
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.weights import check_arrays
from wormwood.envs.specs import ActionSpace, EnvironmentSpec
from wormwood.errors import bad_input
from wormwood.trees.forest import Forest

__all__ = ["ForestPolicy", "forest_of", "forest_weights", "initial_weights", "new_forest", "noise_shape"]

PREFIX = "forest/"


def new_forest(config: ForestConfig, feature_map: FeatureMap, actions: ActionSpace) -> Forest:
    """Return a forest without trees: the policy's outputs, and the value behind them where both share trees."""
    outputs = actions.outputs if config.features == "flat" else 1
    initial = np.zeros(outputs + config.shares_trees)
    return Forest(initial, features=feature_map.columns, depth=config.tree.max_depth)


def initial_weights(config: ForestConfig, spec: EnvironmentSpec) -> Arrays:
    """Return the weights of a forest without trees: all actions alike, or the middle of none."""
    return forest_weights(new_forest(config, make_feature_map(config, spec), spec.actions))


def forest_weights(forest: Forest) -> Arrays:
    """Return a forest as finite arrays: nodes without a split have a threshold of 0 here."""
    arrays = forest.arrays()
    arrays["thresholds"] = np.where(arrays["features"] < 0, 0.0, arrays["thresholds"])
    return {f"{PREFIX}{name}": values for name, values in arrays.items()}


def forest_of(weights: Arrays) -> Forest:
    """Return the forest of ``forest_weights``.

    Raises:
        BadInput: the arrays are no forest.
    """
    arrays = {name.removeprefix(PREFIX): values for name, values in weights.items() if name.startswith(PREFIX)}
    if not {"features", "thresholds"} <= arrays.keys():
        expected, got = "the arrays of a forest", ", ".join(sorted(weights)) or "none"
        raise bad_input("weights of the agent do not fit", where="agent forest", expected=expected, got=got)
    if arrays["thresholds"].shape == arrays["features"].shape:
        arrays["thresholds"] = np.where(arrays["features"] < 0, np.inf, arrays["thresholds"])
    return Forest.from_arrays(arrays)


def noise_shape(config: ForestConfig, actions: ActionSpace) -> tuple[int, ...]:
    """Return the shape of ``log_std``: one for each action, or one for all joints of any body."""
    return (actions.size,) if config.features == "flat" else ()


class ForestPolicy:
    """Acts by the outputs of a forest: logits of choices, or means of Gaussian actions."""

    def __init__(self, config: ForestConfig, weights: Arrays, *, spec: EnvironmentSpec) -> None:
        """Take the weights of ``initial_weights``, and of continuous actions optionally ``log_std [J]`` or ``[]``.

        Raises:
            BadInput: the forest was grown for other observations or actions.
        """
        self._feature_map, self._actions = make_feature_map(config, spec), spec.actions
        self._forest = forest_of(weights)
        self._outputs = spec.actions.outputs if config.features == "flat" else 1
        _check_sizes(self._forest, (self._feature_map.columns, self._outputs + config.shares_trees))
        self._noise: Floats | None = None
        if "log_std" in weights:
            shape = noise_shape(config, spec.actions)
            if np.shape(weights["log_std"]) != shape:
                expected, got = f"log_std: numbers of shape {shape}", np.shape(weights["log_std"])
                raise bad_input("weights of the agent do not fit", where="agent forest", expected=expected, got=got)
            check_arrays(weights, {"log_std": shape}, where="agent forest")
            self._noise = np.broadcast_to(np.exp(weights["log_std"]), (spec.actions.size,))

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        """Return actions ``[N, J]`` for observations ``[N, D]``, or choices ``[N, K]``; see ``Policy.act``."""
        rows = self._forest.predict(self._feature_map.features(observation))[:, : self._outputs]
        outputs = rows.reshape(len(observation), -1)
        action, extras = choose_action(outputs, choices=self._actions.choices, std=self._noise, rng=rng)
        return action, state, extras


def _check_sizes(forest: Forest, expected: tuple[int, int]) -> None:
    got = (forest.features, forest.outputs)
    if got != expected:
        sizes = [f"{features} features to {outputs} outputs" for features, outputs in (expected, got)]
        what = "agent does not fit the environment"
        raise bad_input(what, where="agent forest", expected=sizes[0], got=sizes[1])
