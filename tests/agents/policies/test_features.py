"""Rows of features by hand."""

import numpy as np
import pytest

from wormwood.agents.policies.features import FlatView, make_view, rows_of
from wormwood.agents.policies.forest_settings import BoostedConfig
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, swimmer
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Swim, SwimAtSpeed
from wormwood.errors import BadInput


def test_the_flat_view_sees_all_but_the_clock() -> None:
    view = make_view(BoostedConfig(), SwimmerSpec(swimmer(3), Swim()))
    observation = np.arange(24.0).reshape(2, 12)
    assert view.features(observation).tolist() == observation[:, :-1].tolist()
    assert (view.columns, view.rows, view.categorical) == (11, 1, ())
    assert make_view(BoostedConfig(), GymnasiumSpec("CartPole-v1")).columns == 4


def test_observations_are_rounded_as_learners_keep_them() -> None:
    third = FlatView((0,)).features(np.array([[1 / 3]]))
    assert third.dtype == np.float64
    assert third[0, 0] == np.float32(1 / 3)


def test_the_joint_view_by_hand() -> None:
    body = swimmer(4, joint_limit=2.0)
    view = make_view(BoostedConfig(view="joint", period=40.0), SwimmerSpec(body, SwimAtSpeed()))
    observation = np.zeros((2, 17))
    observation[:, :3] = [[1.0, -2.0, 0.5], [0.0, 0.0, 2.0]]
    observation[:, 3] = [0.125, 0.25]  # the commanded speed
    observation[:, -1] = [50, 79]
    assert (view.columns, view.rows) == (6, 3)
    assert view.features(observation).tolist() == [
        [0.5, 0.0, -1.0, 0.25, 0.0, 0.125],
        [-1.0, 0.5, 0.25, 0.25, 0.5, 0.125],
        [0.25, -1.0, 0.0, 0.25, 1.0, 0.125],
        [0.0, 0.0, 0.0, 0.975, 0.0, 0.25],
        [0.0, 0.0, 1.0, 0.975, 0.5, 0.25],
        [1.0, 0.0, 0.0, 0.975, 1.0, 0.25],
    ]
    assert rows_of(view, np.array([1, 0])).tolist() == [3, 4, 5, 0, 1, 2]


def test_a_joint_view_needs_joints_and_a_clock() -> None:
    config = BoostedConfig(view="joint")
    with pytest.raises(BadInput, match="agent boosted, view joint: expected a swimmer"):
        make_view(config, GymnasiumSpec("CartPole-v1"))
    with pytest.raises(BadInput, match="expected an observation with a clock"):
        make_view(config, SwimmerSpec(GYMNASIUM_SWIMMER, GymnasiumForward()))
