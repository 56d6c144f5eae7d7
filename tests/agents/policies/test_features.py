"""Rows of features by hand."""

import numpy as np
import pytest

from wormwood.agents.policies.features import FlatFeatures, make_feature_map, rows_of
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, swimmer
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Swim, SwimAtSpeed
from wormwood.errors import BadInput


def test_flat_features_are_all_but_the_clock() -> None:
    feature_map = make_feature_map(ForestConfig(), SwimmerSpec(swimmer(3), Swim()))
    observation = np.arange(24.0).reshape(2, 12)
    assert feature_map.features(observation).tolist() == observation[:, :-1].tolist()
    assert (feature_map.columns, feature_map.rows, feature_map.categorical) == (11, 1, ())
    assert make_feature_map(ForestConfig(), GymnasiumSpec("CartPole-v1")).columns == 4


def test_observations_are_rounded_as_learners_keep_them() -> None:
    third = FlatFeatures((0,)).features(np.array([[1 / 3]]))
    assert third.dtype == np.float64
    assert third[0, 0] == np.float32(1 / 3)


def test_joint_features_by_hand() -> None:
    body = swimmer(4, joint_limit=2.0)
    feature_map = make_feature_map(ForestConfig(features="joint", period=40.0), SwimmerSpec(body, SwimAtSpeed()))
    observation = np.zeros((2, 17))
    observation[:, :3] = [[1.0, -2.0, 0.5], [0.0, 0.0, 2.0]]
    observation[:, 3] = [0.125, 0.25]  # the commanded speed
    observation[:, -1] = [50, 79]
    assert (feature_map.columns, feature_map.rows) == (6, 3)
    assert feature_map.features(observation).tolist() == [
        [0.5, 0.0, -1.0, 0.25, 0.0, 0.125],
        [-1.0, 0.5, 0.25, 0.25, 0.5, 0.125],
        [0.25, -1.0, 0.0, 0.25, 1.0, 0.125],
        [0.0, 0.0, 0.0, 0.975, 0.0, 0.25],
        [0.0, 0.0, 1.0, 0.975, 0.5, 0.25],
        [1.0, 0.0, 0.0, 0.975, 1.0, 0.25],
    ]
    assert rows_of(feature_map, np.array([1, 0])).tolist() == [3, 4, 5, 0, 1, 2]


def test_joint_features_need_joints_and_a_clock() -> None:
    config = ForestConfig(features="joint")
    with pytest.raises(BadInput, match="agent forest, features joint: expected a swimmer"):
        make_feature_map(config, GymnasiumSpec("CartPole-v1"))
    with pytest.raises(BadInput, match="expected an observation with a clock"):
        make_feature_map(config, SwimmerSpec(GYMNASIUM_SWIMMER, GymnasiumForward()))
