"""Models: dm_control's swimmer where nothing is changed, and what the body says where something is."""

import math
from typing import Any

import mujoco
import numpy as np
import pytest
from dm_control.suite import swimmer as dm_swimmer
from gymnasium.envs.mujoco.swimmer_v5 import SwimmerEnv as SwimmerV5
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, swimmer
from wormwood.envs.models import build_model

MECHANICS = (
    "body_mass", "body_inertia", "body_ipos", "body_iquat", "body_pos", "jnt_pos", "jnt_range", "jnt_solref",
    "jnt_solimp", "dof_armature", "dof_damping", "actuator_gear", "actuator_ctrlrange",
)  # fmt: skip


@pytest.mark.parametrize("links", [3, 4, 6, 11, 25])
def test_an_unchanged_body_has_the_mechanics_of_dm_controls_swimmer(links: int) -> None:
    ours, theirs = build_model(swimmer(links)), dm_swimmer.swimmer(links, random=0).physics.model.ptr
    for field in MECHANICS:
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field), err_msg=field)
    for option in ("timestep", "density", "viscosity", "integrator", "solver", "disableflags"):
        assert getattr(ours.opt, option) == getattr(theirs.opt, option), option


def test_gymnasiums_body_has_the_mechanics_of_swimmer_v5() -> None:
    ours, theirs = build_model(GYMNASIUM_SWIMMER), SwimmerV5().model
    for field in MECHANICS:
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field), err_msg=field)
    for option in ("timestep", "density", "viscosity", "integrator", "solver", "disableflags"):
        assert getattr(ours.opt, option) == getattr(theirs.opt, option), option
    np.testing.assert_array_equal(GYMNASIUM_SWIMMER.link_mass, theirs.body_mass[1:])


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    links = draw(st.integers(2, 8))
    joints = links - 1

    def values(low: float, high: float, count: int) -> Any:
        return draw(st.lists(st.floats(low, high), min_size=count, max_size=count))

    return swimmer(
        links,
        link_length=values(0.02, 0.5, links),
        link_mass=values(1e-3, 1.0, links),
        gear=values(0.0, 1e-2, joints),
        joint_damping=values(0.0, 1e-3, joints),
        joint_limit=values(0.1, 3.0, joints),
        density=draw(st.floats(0.0, 1e4)),
        viscosity=draw(st.floats(0.0, 10.0)),
        lesioned=draw(st.lists(st.integers(0, joints - 1), unique=True)),
        locked=draw(st.lists(st.integers(0, joints - 1), unique=True)),
    )


@settings(max_examples=50)
@given(body=bodies())
def test_a_changed_body_compiles_to_what_it_says(body: Body) -> None:
    model = build_model(body)
    np.testing.assert_allclose(model.body_mass[1:], body.link_mass, rtol=1e-12)
    assert (model.opt.density, model.opt.viscosity) == (body.density, body.viscosity)
    free = list(body.free_joints)
    assert model.nu == len(free)
    assert model.nq == 3 + len(free)
    for column, joint in enumerate(free):
        assert model.actuator_gear[column, 0] == (0.0 if joint in body.lesioned else body.gear[joint])
        assert model.dof_damping[3 + column] == body.joint_damping[joint]
        np.testing.assert_array_equal(model.jnt_range[3 + column], [-body.joint_limit[joint], body.joint_limit[joint]])
        assert model.actuator_trnid[column, 0] == 3 + column


@settings(max_examples=50)
@given(body=bodies())
def test_links_are_joined_end_to_end(body: Body) -> None:
    model = build_model(body)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    # The fronts of the links lie on a line: link k begins where the lengths of those before it add up to.
    fronts = np.concatenate([[0.0], np.cumsum(body.link_length)])
    centres = (fronts[:-1] + fronts[1:]) / 2
    np.testing.assert_allclose(data.xpos[1:, 1] - data.xanchor[0, 1], centres, rtol=1e-12, atol=1e-12)
    hinges = fronts[[1 + joint for joint in body.free_joints]]
    np.testing.assert_allclose(data.xanchor[3:, 1] - data.xanchor[0, 1], hinges, rtol=1e-12, atol=1e-12)


def test_a_longer_link_keeps_its_mass_and_changes_the_box_that_meets_the_fluid() -> None:
    model = build_model(swimmer(3, link_length=[0.1, 0.2, 0.1], link_mass=0.01))
    # A box of 0.002 x length x 0.02 m: m / 12 times the sum of the squares of the two other sides.
    for link, length in ((1, 0.1), (2, 0.2), (3, 0.1)):
        by_hand = sorted(0.01 / 12 * side for side in (length**2 + 0.02**2, 0.002**2 + 0.02**2, 0.002**2 + length**2))
        np.testing.assert_allclose(sorted(model.body_inertia[link]), by_hand, rtol=1e-9)
        assert model.body_mass[link] == pytest.approx(0.01)


def test_sensors_stand_in_the_promised_order() -> None:
    model = build_model(swimmer(2))
    names = [model.sensor(i).name for i in range(model.nsensor)]
    assert names == ["nose", "head_x", "head_y", "velocity_0", "rotation_0", "velocity_1", "rotation_1"]


def test_a_lesioned_motor_has_no_gear() -> None:
    model = build_model(swimmer(4, lesioned=[1]))
    assert model.actuator_gear[:, 0].tolist() == [5e-4, 0.0, 5e-4]
    theirs = build_model(GYMNASIUM_SWIMMER)
    assert theirs.actuator_gear[:, 0].tolist() == [150.0, 150.0]
    assert math.isclose(theirs.jnt_range[3, 1], math.radians(100.0))
