"""Swimmers that users bring as MJCF: what a model must be like, and what is found in it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from wormwood.envs.mjcf_text import read_spec, refused

__all__ = ["CONTROL_TIMESTEP", "SHORTEST_TIMESTEP", "LinkFrame", "SwimmerModel", "aligned_spec", "read_swimmer"]

CONTROL_TIMESTEP = 0.03  # s
SHORTEST_TIMESTEP = 1e-5  # s; a control step then takes 3,000 physics steps
NOSE = 0.6  # link lengths from the middle of the head to the nose, as in dm_control's swimmer
TOLERANCE = 1e-6  # of directions, and of places as a share of a swimmer's length
DIGITS = 12  # to which places in a link are rounded: what should be 0 is 0
ROOT = (("slide", (1, 0, 0)), ("slide", (0, 1, 0)), ("hinge", (0, 0, 1)))
"""The joints that move the head in the plane."""

Values = tuple[float, ...]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LinkFrame:
    """Where a link's sensors sit: in its middle, with the -y axis towards the head and z upwards."""

    body: int
    """MuJoCo's number of the link."""
    position: Values
    """``[3]`` in the link's own frame, in m."""
    quaternion: Values
    """``[4]``"""


@dataclass(frozen=True)
class SwimmerModel:
    """What a compiled model says about its swimmer, head first, in the units of ``Body``."""

    links: int
    link_length: Values
    """From hinge to hinge; of the first and last link, twice the way from their hinge to their centre of mass."""
    link_mass: Values
    gear: Values
    joint_damping: Values
    joint_limit: Values
    density: float
    viscosity: float
    timestep: float
    """Seconds of a physics step."""
    control_timestep: float
    """Seconds of the whole number of physics steps that comes closest to 0.03 s."""
    frames: tuple[LinkFrame, ...]
    nose: Values
    """``[3]`` in the frame of the first link, in m."""
    joints: tuple[int, ...]
    """MuJoCo's numbers of the joints between links."""
    motors: tuple[int, ...]
    """MuJoCo's numbers of their motors."""


@functools.lru_cache(maxsize=64)
def read_swimmer(text: str, *, where: str) -> SwimmerModel:
    """Return what the MJCF model of that text is as a swimmer.

    It has to be a chain of at least two links in the x-y plane. The first one, the head, moves by a slide along x, a
    slide along y and a hinge about z; each other one hangs on the one in front by one hinge about z, with a range from
    ``-limit`` to ``limit``, and lies in line with it at angle 0. Each of these hinges has one motor with a control
    range of -1 to 1, in any order. Names do not matter, nor which way a joint looks, nor which slide comes first, and
    bodies that are welded together are one link.

    Raises:
        BadInput: the text is no such model; ``where`` says where it is from.
    """
    model = _compile(aligned_spec(text, where=where), where)
    links = _chain(model, where)
    joints = _hinges(model, links, where)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    _check_axes(data.xaxis, where)
    members = [np.flatnonzero(model.body_weldid == link) for link in links]
    masses = [float(model.body_mass[bodies].sum()) for bodies in members]
    if min(masses) <= 0:
        raise refused("mass", where, "links that weigh something", masses)
    centres = [np.average(data.xipos[bodies], axis=0, weights=model.body_mass[bodies]) for bodies in members]
    ends, forward = _spine(data.xanchor[len(ROOT) :], centres, where)
    motors = _motors(model, joints, where)
    timestep = float(model.opt.timestep)
    if not SHORTEST_TIMESTEP <= timestep <= CONTROL_TIMESTEP:
        expected = f"from {SHORTEST_TIMESTEP} s to a control step, {CONTROL_TIMESTEP} s"
        raise refused("timestep", where, expected, timestep)
    frames = [_frame(data, link, (ends[k] + ends[k + 1]) / 2, forward) for k, link in enumerate(links)]
    lengths = np.linalg.norm(np.diff(ends, axis=0), axis=1)
    nose = (ends[0] + ends[1]) / 2 + NOSE * lengths[0] * forward
    return SwimmerModel(
        links=len(links),
        link_length=_rounded(lengths),
        link_mass=_rounded(masses),
        gear=tuple(float(model.actuator_gear[motor, 0]) for motor in motors),
        joint_damping=tuple(float(model.dof_damping[model.jnt_dofadr[joint]]) for joint in joints),
        joint_limit=_limits(model, joints, where),
        density=float(model.opt.density),
        viscosity=float(model.opt.viscosity),
        timestep=timestep,
        control_timestep=round(CONTROL_TIMESTEP / timestep) * timestep,
        frames=tuple(frames),
        nose=_in_link(data, links[0], nose),
        joints=tuple(joints),
        motors=tuple(motors),
    )


def aligned_spec(text: str, *, where: str) -> mujoco.MjSpec:
    """Return the model with its head's slides along +x and +y, in this order, and all its hinges about +z.

    Joints that look the other way are turned, with their ranges, springs and motors: the same mechanism, told as ours.

    Raises:
        BadInput: the text is no chain of links in the plane.
    """
    spec = read_spec(text, where=where)
    model = _compile(spec, where)
    _hinges(model, _chain(model, where), where)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    axes = data.xaxis.copy()
    swapped = np.allclose(np.abs(axes[:2]), [(0, 1, 0), (1, 0, 0)], atol=TOLERANCE)
    if swapped:
        _check_alike(model, where)
        axes[:2] = axes[[1, 0]]
    turned = [joint for joint, axis in enumerate(axes) if axis.sum() < 0]
    if swapped or turned:
        _check_free(model, where)
    joints, motors = ({part.id: part for part in parts} for parts in (spec.joints, spec.actuators))
    if swapped:
        joints[0].axis, joints[1].axis = joints[1].axis.copy(), joints[0].axis.copy()
    for joint in turned:
        _turn(joints[joint])
        for motor in np.flatnonzero(model.actuator_trnid[:, 0] == joint):
            motors[int(motor)].gear = -motors[int(motor)].gear
    return spec


def _compile(spec: mujoco.MjSpec, where: str) -> mujoco.MjModel:
    """Compile a model, and turn what MuJoCo finds wrong into one line."""
    try:
        return spec.compile()
    except ValueError as error:
        raise refused("model", where, "one that MuJoCo compiles", " ".join(str(error).split())) from None


def _check_alike(model: mujoco.MjModel, where: str) -> None:
    """Refuse slides y before x unless they differ in nothing but their axes."""
    columns = ("stiffness", "range", "limited", "margin", "solref", "solimp", "actfrclimited", "actfrcrange")
    arrays = [getattr(model, f"jnt_{name}")[:2] for name in columns] + [model.qpos0[:2], model.qpos_spring[:2]]
    arrays += [
        getattr(model, f"dof_{name}")[:2] for name in ("damping", "armature", "frictionloss", "solref", "solimp")
    ]
    if any((array[0] != array[1]).any() for array in map(np.atleast_1d, arrays)):
        raise refused("joints", where, "of the head, a slide along x before one along y", "y before x, and not alike")


def _check_free(model: mujoco.MjModel, where: str) -> None:
    """Refuse to turn joints that something else than a motor counts on."""
    held = (model.wrap_type == mujoco.mjtWrap.mjWRAP_JOINT).any() or (model.eq_type == mujoco.mjtEq.mjEQ_JOINT).any()
    curved = any(getattr(model, name, np.zeros(1)).any() for name in ("dof_dampingpoly", "jnt_stiffnesspoly"))
    if held or curved:
        expected = (
            "the slides along x and y, in this order, and all hinges about +z, beside what counts on joint angles"
        )
        raise refused("axes", where, expected, "joints that look the other way")


def _turn(joint: mujoco.MjsJoint) -> None:
    """Let a joint count the other way round."""
    joint.axis = -joint.axis
    joint.range, joint.actfrcrange = -joint.range[::-1], -joint.actfrcrange[::-1]
    joint.ref, joint.springref = -joint.ref, -joint.springref


def _chain(model: mujoco.MjModel, where: str) -> list[int]:
    """Return MuJoCo's numbers of the links, head first: each moving body, with what is welded to it."""
    links = sorted({int(link) for link in model.body_weldid if link})
    if len(links) < 2:
        raise refused("bodies", where, "at least 2 links that move", len(links))
    for previous, link in zip([0, *links], links, strict=False):
        parent = int(model.body_weldid[model.body_parentid[link]])
        if parent != previous:
            names = f"{_name(model, link)} on {_name(model, parent)}"
            raise refused("bodies", where, "a chain, each link on the one before", names)
    return links


def _name(model: mujoco.MjModel, body: int) -> str:
    return str(model.body(body).name) or f"body {body}"


def _hinges(model: mujoco.MjModel, links: list[int], where: str) -> list[int]:
    """Return MuJoCo's numbers of the joints between links."""
    kinds = {int(kind): kind.name.removeprefix("mjJNT_").lower() for kind in map(mujoco.mjtJoint, range(4))}
    owned = {link: [kinds[kind] for kind in model.jnt_type[model.jnt_bodyid == link].tolist()] for link in links}
    if owned[links[0]] != [kind for kind, _ in ROOT]:
        expected = "of the head, two slides and a hinge in this order"
        raise refused("joints", where, expected, owned[links[0]])
    for link in links[1:]:
        if owned[link] != ["hinge"]:
            raise refused("joints", where, f"of {_name(model, link)}, one hinge", owned[link])
    joints = list(range(len(ROOT), model.njnt))
    for joint in joints:
        if model.qpos0[model.jnt_qposadr[joint]] != 0:
            raise refused("joints", where, "hinges without a reference angle", f"{model.joint(joint).name}")
    return joints


def _check_axes(axes: Floats, where: str) -> None:
    wanted = [axis for _, axis in ROOT] + [(0, 0, 1)] * (len(axes) - len(ROOT))
    for axis, right in zip(axes, wanted, strict=True):
        if not np.allclose(axis, right, atol=TOLERANCE):
            expected = "the slides along x and y, and all hinges about +z"
            raise refused("axes", where, expected, np.round(axis, 6).tolist())


def _spine(anchors: Floats, centres: list[Floats], where: str) -> tuple[Floats, Floats]:
    """Return the ends of all links ``[L + 1, 3]`` at angles 0, head first, and the direction ``[3]`` of the head."""
    # A hinge may sit at any height: only the plane counts.
    hinges = np.column_stack([anchors[:, :2], np.zeros(len(anchors))])
    head, tail = (np.append(centre[:2], 0.0) for centre in (centres[0], centres[-1]))
    ends = np.concatenate([[2 * head - hinges[0]], hinges, [2 * tail - hinges[-1]]])
    steps = np.diff(ends, axis=0)
    length = float(np.linalg.norm(steps, axis=1).sum())
    forward = -steps[0] / max(float(np.linalg.norm(steps[0])), 1e-300)
    along, across = -steps @ forward, steps - np.outer(steps @ forward, forward)
    if not (along > TOLERANCE * length).all() or np.abs(across).max() > TOLERANCE * length:
        expected = "links that lie on one line at angles 0, one behind the other"
        raise refused("pose", where, expected, np.round(ends[:, :2], 4).tolist())
    return ends, forward


def _frame(data: mujoco.MjData, link: int, middle: Floats, forward: Floats) -> LinkFrame:
    axes = np.stack([np.array([-forward[1], forward[0], 0.0]), -forward, np.array([0.0, 0.0, 1.0])], axis=1)
    local, quaternion = data.xmat[link].reshape(3, 3).T @ axes, np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, local.ravel())
    return LinkFrame(link, _in_link(data, link, middle), tuple(np.round(quaternion, DIGITS).tolist()))


def _in_link(data: mujoco.MjData, link: int, place: Floats) -> Values:
    """Return a place in a link's own frame, at the height of its origin."""
    offset = place - data.xpos[link] * [1.0, 1.0, 0.0]
    return tuple(np.round(data.xmat[link].reshape(3, 3).T @ offset, DIGITS).tolist())


def _rounded(values: Any) -> Values:
    # The same on every processor: the last bits of what was added up may not be.
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)


def _limits(model: mujoco.MjModel, joints: list[int], where: str) -> Values:
    for joint in joints:
        low, high = model.jnt_range[joint].tolist()
        if not model.jnt_limited[joint] or low != -high:
            got = [low, high] if model.jnt_limited[joint] else "no limit"
            raise refused(f"range of {model.joint(joint).name}", where, "from -limit to limit", got)
    return tuple(float(model.jnt_range[joint, 1]) for joint in joints)


def _kind(model: mujoco.MjModel, motor: int) -> str:
    """Return what makes an actuator none of a motor's kind, such as a muscle's dynamics."""
    kinds = (
        (mujoco.mjtDyn, model.actuator_dyntype),
        (mujoco.mjtGain, model.actuator_gaintype),
        (mujoco.mjtBias, model.actuator_biastype),
    )
    return ", ".join(
        kind(int(values[motor])).name.removeprefix("mj").lower().replace("_", " ") for kind, values in kinds
    )


def _motors(model: mujoco.MjModel, joints: list[int], where: str) -> list[int]:
    """Return MuJoCo's numbers of the motors, in the order of the joints that they drive."""
    driven = [int(joint) for joint in model.actuator_trnid[:, 0]]
    if (model.actuator_trntype != mujoco.mjtTrn.mjTRN_JOINT).any() or sorted(driven) != joints:
        names = [str(model.joint(joint).name) or f"joint {joint}" for joint in driven]
        expected = f"one motor for each of the {len(joints)} hinges between links"
        raise refused("motors", where, expected, f"{model.nu} motors, of {', '.join(names) or 'none'}")
    for motor, joint in enumerate(driven):
        plain = (
            model.actuator_gaintype[motor] == mujoco.mjtGain.mjGAIN_FIXED
            and model.actuator_biastype[motor] == mujoco.mjtBias.mjBIAS_NONE
            and model.actuator_dyntype[motor] == mujoco.mjtDyn.mjDYN_NONE
            and model.actuator_gainprm[motor, 0] == 1
        )
        limits = model.actuator_ctrlrange[motor].tolist() if model.actuator_ctrllimited[motor] else "no limit"
        if not plain or limits != [-1.0, 1.0]:
            found = f"control range {limits}" if plain else f"an actuator with {_kind(model, motor)}"
            expected = "an element motor with a control range of -1 to 1"
            name = f"actuator {motor} {model.actuator(motor).name}".strip()
            raise refused(f"{name} of joint {model.joint(joint).name}", where, expected, found)
    return [driven.index(joint) for joint in joints]
