"""What a forest looks at: rows of features made from observations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Floats
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.specs import EnvironmentSpec, require_swimmer
from wormwood.errors import bad_input

__all__ = ["FeatureMap", "FlatFeatures", "JointFeatures", "make_feature_map", "rows_of"]


class FeatureMap(Protocol):
    """Turns observations into rows of features."""

    @property
    def columns(self) -> int:
        """Features F."""

    @property
    def rows(self) -> int:
        """Rows R of each observation."""

    @property
    def categorical(self) -> tuple[int, ...]:
        """Features that are split on equality."""

    def features(self, observation: Floats) -> Floats:
        """Return ``[N R, F]`` for observations ``[N, D]``: the rows of one observation follow each other."""


@dataclass(frozen=True)
class FlatFeatures:
    """Some columns of the observation: one row each."""

    chosen: tuple[int, ...]
    """Which columns."""
    categorical: tuple[int, ...] = ()
    """Which of the features are categories."""

    @property
    def columns(self) -> int:
        return len(self.chosen)

    @property
    def rows(self) -> int:
        return 1

    def features(self, observation: Floats) -> Floats:
        return np.ascontiguousarray(_as_kept(observation)[:, self.chosen])


@dataclass(frozen=True)
class JointFeatures:
    """Every joint of a swimmer by itself: one row for each, from head to tail.

    A row has the angles of the joint and of the joints before and behind it, as shares of their limits and 0 where
    there is none; the phase of the clock, from 0 to 1; the place along the body, from 0 at the head to 1 at the tail;
    and the task's command.
    """

    layout: ObservationLayout
    limits: tuple[float, ...]
    """Of each joint, in rad."""
    period: float
    """Of the clock, in control steps."""

    @property
    def columns(self) -> int:
        command = self.layout.command
        return 5 + int(command.stop) - int(command.start)

    @property
    def rows(self) -> int:
        return len(self.limits)

    @property
    def categorical(self) -> tuple[int, ...]:
        return ()

    def features(self, observation: Floats) -> Floats:
        count, joints, observation = len(observation), self.rows, _as_kept(observation)
        angles = np.zeros((count, joints + 2))
        angles[:, 1:-1] = observation[:, self.layout.joints] / np.array(self.limits)
        features = np.empty((count, joints, self.columns))
        features[..., 0], features[..., 1], features[..., 2] = angles[:, 1:-1], angles[:, :-2], angles[:, 2:]
        features[..., 3] = (np.mod(observation[:, self.layout.clock], self.period) / self.period)[:, None]
        features[..., 4] = np.linspace(0.0, 1.0, joints)
        features[..., 5:] = observation[:, None, self.layout.command]
        return features.reshape(count * joints, self.columns)


def _as_kept(observation: Floats) -> Floats:
    """Round to single precision, in which Stable-Baselines3 keeps observations: acting and learning see the same."""
    return np.asarray(observation, dtype=np.float32).astype(np.float64)


def make_feature_map(config: ForestConfig, spec: EnvironmentSpec) -> FeatureMap:
    """Build the feature map of an agent in an environment.

    Raises:
        BadInput: ``joint`` is asked for, and there are no joints or no clock.
    """
    if config.features == "flat":
        return FlatFeatures(tuple(column for column in range(spec.layout.size) if column != spec.layout.clock))
    body = require_swimmer(spec, where="agent forest, features joint").body
    if spec.layout.clock is None:
        expected = "an observation with a clock, as of the task swim"
        raise bad_input("task", where="agent forest, features joint", expected=expected, got=spec.name)
    return JointFeatures(spec.layout, body.joint_limit, config.period)


def rows_of(feature_map: FeatureMap, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows ``[n R]`` of features that belong to some observations ``[n]``."""
    if feature_map.rows == 1:
        return chosen
    return (chosen[:, None] * feature_map.rows + np.arange(feature_map.rows)).reshape(-1)
