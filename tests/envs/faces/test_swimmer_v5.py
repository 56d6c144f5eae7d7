"""The table between Swimmer-v5 and our swim observation, checked on the same mechanics."""

import mujoco
import numpy as np
import pytest
from numpy.typing import NDArray

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, swimmer
from wormwood.envs.faces.swimmer_v5 import (
    JOINTS,
    action_from_swimmer_v5,
    action_to_swimmer_v5,
    from_swimmer_v5,
    to_swimmer_v5,
)
from wormwood.envs.models import build_model
from wormwood.envs.physics import Physics
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import GymnasiumForward, Swim
from wormwood.errors import BadInput

Floats = NDArray[np.float64]


def _both(count: int = 4) -> tuple[Simulation, Simulation]:
    """Swimmer-v5 and our swim task in the same states."""
    forward = Simulation(GYMNASIUM_SWIMMER, GymnasiumForward(), count, streams=training_streams(0))
    swim = Simulation(GYMNASIUM_SWIMMER, Swim(), count, streams=training_streams(0))
    forward.reset()
    swim.reset()
    swim.physics.restore(forward.physics.state)
    return forward, swim


def test_the_same_states_convert_both_ways() -> None:
    forward, swim = _both()
    rng = np.random.default_rng(0)
    for _ in range(200):
        action = np.sign(rng.uniform(-1, 1, (4, 2)))
        theirs, ours = forward.step(action_to_swimmer_v5(action)), swim.step(action)
        converted = from_swimmer_v5(theirs.observation, steps=swim.steps)
        np.testing.assert_allclose(converted, ours.observation, atol=1e-12)
        back = to_swimmer_v5(ours.observation, heading=theirs.observation[:, 0])
        np.testing.assert_allclose(back, theirs.observation, atol=1e-12)
    assert np.abs(theirs.observation[:, 1:3]).max() > 1.0, "the joints must bend"
    assert np.abs(theirs.observation[:, 0]).max() > 0.5, "the head must turn"


def test_by_hand_a_straight_body_that_moves_along_its_line() -> None:
    # Looking along world +y at 2 m/s: forward in every link, which is -y of its frame.
    theirs = np.array([np.pi / 2, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0])
    ours = from_swimmer_v5(theirs, steps=7)
    np.testing.assert_allclose(ours, [0, 0, 0, -2, 0, 0, -2, 0, 0, -2, 0, 7], atol=1e-15)
    np.testing.assert_allclose(to_swimmer_v5(ours, heading=np.pi / 2), theirs, atol=1e-15)


def test_by_hand_a_straight_body_that_turns_about_its_root() -> None:
    # The root is 1 m behind the head's centre, at the middle link's centre, and 1 m before the tail link's: at 3 rad/s
    # the head moves to its left (+x of its frame) at 3 m/s, the tail link to its right.
    theirs = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0])
    expected = [0, 0, 3, 0, 3, 0, 0, 3, -3, 0, 3, 0]
    np.testing.assert_allclose(from_swimmer_v5(theirs, steps=0), expected, atol=1e-15)


def test_by_hand_a_bent_tail() -> None:
    # The tail link hangs at a right angle behind the middle one and turns at 4 rad/s: its centre is half a metre from
    # the joint and moves to its own left or right, here its right (-x), as everything behind a joint does.
    theirs = np.array([0.0, 0.0, np.pi / 2, 0.0, 0.0, 0.0, 0.0, 4.0])
    expected = [0, np.pi / 2, 0, 0, 0, 0, 0, 0, -2, 0, 4, 0]
    np.testing.assert_allclose(from_swimmer_v5(theirs, steps=0), expected, atol=1e-15)


@pytest.mark.parametrize("body", [swimmer(3), GYMNASIUM_SWIMMER])
@pytest.mark.parametrize("joint", [0, 1])
def test_the_signs_mean_the_same_in_both_layouts(body: Body, joint: int) -> None:
    physics = Physics(body, 1)
    # A positive angle puts what is behind the joint to the right of the head's line: counter-clockwise from above.
    bent = np.zeros((1, 2))
    bent[0, joint] = 0.5
    physics.place(np.arange(1), np.zeros((1, 3)), bent, np.zeros((1, 5)))
    distances = _right_of_head(physics)
    assert (distances[joint + 1 :] > 0.01 * body.link_length[0]).all()
    np.testing.assert_allclose(distances[: joint + 1], 0.0, atol=1e-12)
    # A positive action pushes it there.
    physics.place(np.arange(1), np.zeros((1, 3)), np.zeros((1, 2)), np.zeros((1, 5)))
    for _ in range(5):
        physics.step(np.eye(2)[[joint]])
    assert physics.readings.joint_angles[0, joint] > 0.01


def _right_of_head(physics: Physics) -> Floats:
    """Distance (m) of each link's centre to the right of the head's line."""
    data = mujoco.MjData(physics.model)
    data.qpos[:] = physics.positions[0]
    mujoco.mj_forward(physics.model, data)
    sites = [data.site(f"link_{link}") for link in range(3)]
    forward = -sites[0].xmat.reshape(3, 3)[:, 1]
    right = np.cross(forward, [0.0, 0.0, 1.0])
    return np.array([(site.xpos - sites[0].xpos) @ right for site in sites])


def test_the_table_names_the_joints_of_swimmer_v5() -> None:
    model = build_model(GYMNASIUM_SWIMMER)
    for row in JOINTS:
        assert model.joint(row.name).qposadr[0] == 3 + row.swimmer_v5
        assert model.actuator(row.swimmer_v5).trnid[0] == model.joint(row.name).id
        assert row.ours == row.swimmer_v5


def test_actions_convert_back() -> None:
    action = np.random.default_rng(0).uniform(-1, 1, (5, 2))
    np.testing.assert_array_equal(action_from_swimmer_v5(action_to_swimmer_v5(action)), action)


def test_another_size_is_refused() -> None:
    with pytest.raises(BadInput, match="8 numbers"):
        from_swimmer_v5(np.zeros(12), steps=0)
    with pytest.raises(BadInput, match="12 numbers"):
        to_swimmer_v5(np.zeros((3, 8)), heading=0.0)
    with pytest.raises(BadInput, match="2 numbers"):
        action_to_swimmer_v5(np.zeros(3))
