"""Conversion between gymnasium's Swimmer-v5 and our swim task on the body ``gymnasium-swimmer``, by joint name.

Both describe the same mechanics, so a policy for one can act in the other.

=============================  ======================================  =======================================
quantity                       Swimmer-v5                              swim, body ``gymnasium-swimmer``
=============================  ======================================  =======================================
joint behind the head          observation 1, action 0: ``motor1_rot``  observation 0, action 0: joint 0, sign +1
joint next to the tail         observation 2, action 1: ``motor2_rot``  observation 1, action 1: joint 1, sign +1
heading                        observation 0, 0 = looking along +x      not observed
velocity of the root           observations 3, 4, 5: world frame        not observed
velocities of the joints       observations 6, 7                        not observed
velocities of the links        not observed                             observations 2 to 10: each link's frame
control steps since reset      not observed                             observation 11
=============================  ======================================  =======================================

In both, a positive angle turns the part behind the joint counter-clockwise seen from above, and a positive action
pushes it that way: hence the signs. In Swimmer-v5 the head looks along its link's +x axis; in our link frames
forward is -y, so that our x axis is the link's y axis and our y axis its -x axis. A link's velocity is that of its
centre; the root of Swimmer-v5 is a point of the head's line 1 m behind the head's centre.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wormwood.envs.physics import Floats
from wormwood.errors import bad_input

__all__ = ["JOINTS", "JointRow", "action_from_swimmer_v5", "action_to_swimmer_v5", "from_swimmer_v5", "to_swimmer_v5"]

SWIMMER_V5_SIZE, SWIM_SIZE, LINKS = 8, 12, 3
ROOT_TO_CENTRE = 1.0  # m along the head from the root joint to the head's centre
LINK_LENGTH = 1.0  # m


class JointRow(NamedTuple):
    """One row of the table: a joint's name and index in Swimmer-v5, and its index and sign in ours."""

    name: str
    swimmer_v5: int
    ours: int
    sign: float


JOINTS = (JointRow("motor1_rot", 0, 0, 1.0), JointRow("motor2_rot", 1, 1, 1.0))
"""The joints of Swimmer-v5 and of ``gymnasium-swimmer``, head to tail."""

_SWIMMER_V5 = np.array([row.swimmer_v5 for row in JOINTS])
_OURS = np.array([row.ours for row in JOINTS])
_SIGNS = np.array([row.sign for row in JOINTS])


def action_to_swimmer_v5(action: ArrayLike) -> Floats:
    """Turn our action ``[..., 2]`` into Swimmer-v5's."""
    return _moved(_columns(action, 2, "action"), _OURS, _SWIMMER_V5)


def action_from_swimmer_v5(action: ArrayLike) -> Floats:
    """Turn Swimmer-v5's action ``[..., 2]`` into ours."""
    return _moved(_columns(action, 2, "action"), _SWIMMER_V5, _OURS)


def from_swimmer_v5(observation: ArrayLike, *, steps: ArrayLike) -> Floats:
    """Turn Swimmer-v5's observation ``[..., 8]`` into our swim observation ``[..., 12]``.

    Args:
        observation: heading, joint angles, and velocities of root and joints, in rad, m/s and rad/s.
        steps: ``[...]`` control steps since reset, which Swimmer-v5 does not tell.

    Raises:
        BadInput: the observation is not ``[..., 8]``.
    """
    theirs = _columns(observation, SWIMMER_V5_SIZE, "observation of Swimmer-v5")
    joints, rates = _moved(theirs[..., 1:3], _SWIMMER_V5, _OURS), _moved(theirs[..., 6:8], _SWIMMER_V5, _OURS)
    ours = np.empty((*theirs.shape[:-1], SWIM_SIZE))
    ours[..., :2] = joints
    angle, rate, velocity = theirs[..., 0], theirs[..., 5], theirs[..., 3:5]
    velocity = velocity + _turning(angle, rate, ROOT_TO_CENTRE)
    for link in range(LINKS):
        if link:
            # Half a link back to the joint, and from there half a link back to the next centre.
            velocity = velocity + _turning(angle, rate, -LINK_LENGTH / 2)
            angle, rate = angle + joints[..., link - 1], rate + rates[..., link - 1]
            velocity = velocity + _turning(angle, rate, -LINK_LENGTH / 2)
        ours[..., 2 + 3 * link : 4 + 3 * link] = _in_link_frame(velocity, angle)
        ours[..., 4 + 3 * link] = rate
    ours[..., 11] = steps
    return ours


def to_swimmer_v5(observation: ArrayLike, *, heading: ArrayLike) -> Floats:
    """Turn our swim observation ``[..., 12]`` into Swimmer-v5's ``[..., 8]``.

    Args:
        observation: joint angles, velocities of the links in their frames, and control steps.
        heading: ``[...]`` of the head in rad, which swim does not tell: 0 = looking along +x.

    Raises:
        BadInput: the observation is not ``[..., 12]``.
    """
    ours = _columns(observation, SWIM_SIZE, "swim observation of gymnasium-swimmer")
    rates = ours[..., [4, 7, 10]]
    theirs = np.empty((*ours.shape[:-1], SWIMMER_V5_SIZE))
    theirs[..., 0] = heading
    theirs[..., 1:3] = _moved(ours[..., :2], _OURS, _SWIMMER_V5)
    angle = theirs[..., 0]
    centre = _in_world_frame(ours[..., 2:4], angle)
    theirs[..., 3:5] = centre - _turning(angle, rates[..., 0], ROOT_TO_CENTRE)
    theirs[..., 5] = rates[..., 0]
    theirs[..., 6:8] = _moved(np.diff(rates, axis=-1), _OURS, _SWIMMER_V5)
    return theirs


def _columns(values: ArrayLike, size: int, what: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or array.shape[-1] != size:
        raise bad_input(what, where="conversion", expected=f"{size} numbers in the last axis", got=array.shape)
    return array


def _moved(values: Floats, source: NDArray[np.intp], target: NDArray[np.intp]) -> Floats:
    moved = np.empty_like(values)
    moved[..., target] = _SIGNS * values[..., source]
    return moved


def _turning(angle: Floats, rate: Floats, distance: float) -> Floats:
    """Velocity ``[..., 2]``, beyond its origin's, of a point at ``distance`` along a line that turns at ``rate``."""
    velocity: Floats = (rate * distance)[..., None] * np.stack([-np.sin(angle), np.cos(angle)], axis=-1)
    return velocity


def _in_link_frame(velocity: Floats, angle: Floats) -> Floats:
    x, y = velocity[..., 0], velocity[..., 1]
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    return np.stack([across, -along], axis=-1)


def _in_world_frame(velocity: Floats, angle: Floats) -> Floats:
    across, along = velocity[..., 0], -velocity[..., 1]
    return np.stack(
        [np.cos(angle) * along - np.sin(angle) * across, np.sin(angle) * along + np.cos(angle) * across], axis=-1
    )
