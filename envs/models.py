"""MuJoCo models of bodies, compiled from a specification built in memory."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import mujoco
import numpy as np

from wormwood.envs.bodies import PHYSICS_TIMESTEP, Body
from wormwood.envs.mjcf import aligned_spec
from wormwood.envs.profiling import keep_no_log
from wormwood.errors import bad_input

__all__ = ["build_model"]

HEAD_HEIGHT = 0.05  # m above the ground plane
LINK_THICKNESS = (0.001, 0.01)  # m, half extents of the inertia box across and in height
QUARTER_TURN = (np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5))  # quaternion: +90 degrees about z


def build_model(body: Body) -> mujoco.MjModel:
    """Compile the body. For unchanged bodies the physics equals the reference's to the bit.

    Sensors, in order: position of the nose, x and y axis of the head, then the velocimeter and the gyroscope of each
    link, in frames whose -y axis points forward.

    Raises:
        BadInput: MuJoCo refuses the body, as where a link is too light or too short.
    """
    keep_no_log()
    spec = {"dm_control": _chain_spec, "gymnasium": _gymnasium_spec, "mjcf": _users_spec}[body.model](body)
    try:
        return spec.compile()
    except ValueError as error:
        reason = str(error).splitlines()[0].removeprefix("Error: ")
        expected = "lengths and masses that MuJoCo can simulate"
        raise bad_input("mechanics", where=f"body {body.name}", expected=expected, got=reason) from None


def _chain_spec(body: Body) -> mujoco.MjSpec:
    """Build dm_control's swimmer: hinges at the front of each link, which extends along +y."""
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = PHYSICS_TIMESTEP
    spec.option.density = body.density
    spec.option.viscosity = body.viscosity
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
    spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1], rgba=[0.7, 0.85, 0.9, 1])
    parent = spec.worldbody
    for link, length in enumerate(body.link_length):
        if link == 0:
            position = [0.0, 0.0, HEAD_HEIGHT]
        else:
            position = [0.0, (body.link_length[link - 1] + length) / 2, 0.0]
        parent = parent.add_body(name=f"link_{link}", pos=position)
        _add_link_shape(parent, length=length, mass=body.link_mass[link], radius=0.01 if link else 0.014)
        hinge = [0.0, -length / 2, 0.0]
        if link == 0:
            _add_root(parent, hinge)
            parent.add_site(name="nose", pos=[0.0, -0.6 * length, 0.0])
        elif link - 1 not in body.locked:
            _add_joint(spec, parent, body, link - 1, hinge)
        parent.add_site(name=f"link_{link}")
    _add_sensors(spec, body, head="link_0")
    return spec


def _add_link_shape(link: mujoco.MjsBody, *, length: float, mass: float, radius: float) -> None:
    # Mass and fluid forces come from the box alone; the capsule is for viewers.
    across, height = LINK_THICKNESS
    link.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[across, length / 2, height], mass=mass, rgba=[0, 0, 0, 0])
    link.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CAPSULE,
        fromto=[0, -length / 2, 0, 0, length / 2, 0],
        size=[radius, 0, 0],
        mass=0,
        rgba=[0.9, 0.55, 0.3, 1],
    )


def _add_root(head: mujoco.MjsBody, hinge: list[float]) -> None:
    for name, kind, axis in (
        ("root_x", mujoco.mjtJoint.mjJNT_SLIDE, [1, 0, 0]),
        ("root_y", mujoco.mjtJoint.mjJNT_SLIDE, [0, 1, 0]),
        ("root_z", mujoco.mjtJoint.mjJNT_HINGE, [0, 0, 1]),
    ):
        head.add_joint(name=name, type=kind, axis=axis, pos=hinge)


def _add_joint(spec: mujoco.MjSpec, link: mujoco.MjsBody, body: Body, joint: int, hinge: list[float]) -> None:
    limit = body.joint_limit[joint]
    link.add_joint(
        name=f"joint_{joint}",
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=[0, 0, 1],
        pos=hinge,
        limited=True,
        range=[-limit, limit],
        damping=body.joint_damping[joint],
        armature=1e-6,
        solref_limit=[0.05, 1],
        solimp_limit=[0, 0.8, 0.1, 0.5, 2],
    )
    motor = spec.add_actuator(name=f"motor_{joint}", target=f"joint_{joint}", trntype=mujoco.mjtTrn.mjTRN_JOINT)
    motor.set_to_motor()
    motor.gear = [0.0 if joint in body.lesioned else body.gear[joint], 0, 0, 0, 0, 0]
    motor.ctrllimited = True
    motor.ctrlrange = [-1, 1]


def _add_sensors(spec: mujoco.MjSpec, body: Body, *, head: str) -> None:
    sensor, site, frame = mujoco.mjtSensor, mujoco.mjtObj.mjOBJ_SITE, mujoco.mjtObj.mjOBJ_XBODY
    spec.add_sensor(name="nose", type=sensor.mjSENS_FRAMEPOS, objtype=site, objname="nose")
    head_type, head_name = (frame, head) if body.model == "dm_control" else (site, "link_0")
    spec.add_sensor(name="head_x", type=sensor.mjSENS_FRAMEXAXIS, objtype=head_type, objname=head_name)
    spec.add_sensor(name="head_y", type=sensor.mjSENS_FRAMEYAXIS, objtype=head_type, objname=head_name)
    for link in range(body.links):
        for name, kind in (("velocity", sensor.mjSENS_VELOCIMETER), ("rotation", sensor.mjSENS_GYRO)):
            spec.add_sensor(name=f"{name}_{link}", type=kind, objtype=site, objname=f"link_{link}")


def _gymnasium_spec(body: Body) -> mujoco.MjSpec:
    """Load gymnasium's Swimmer-v5, whose links extend along -x, and add the sensors."""
    path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "swimmer.xml"
    spec = mujoco.MjSpec.from_file(str(path))
    spec.option.density = body.density
    spec.option.viscosity = body.viscosity
    for link, (name, centre) in enumerate((("torso", 1.0), ("mid", -0.5), ("back", -0.5))):
        spec.body(name).add_site(name=f"link_{link}", pos=[centre, 0, 0], quat=QUARTER_TURN)
    spec.body("torso").add_site(name="nose", pos=[1.6, 0, 0])
    for joint in range(body.joints):
        spec.joint(f"motor{joint + 1}_rot").damping = [body.joint_damping[joint], 0, 0]
        gear = 0.0 if joint in body.lesioned else body.gear[joint]
        spec.actuators[joint].gear = [gear, 0, 0, 0, 0, 0]
    _add_sensors(spec, body, head="torso")
    return spec


def _users_spec(body: Body) -> mujoco.MjSpec:
    """Load a user's model, put our sensors in, and change what the body says."""
    found = body.swimmer_model
    spec = aligned_spec(body.mjcf or "", where=body.name)
    spec.option.density = body.density
    spec.option.viscosity = body.viscosity
    ours = {"nose", *(f"link_{link}" for link in range(body.links))}
    for old in [site for site in spec.sites if site.name in ours]:
        spec.delete(old)
    spec.compile()  # numbers its parts
    links, joints, motors = ({part.id: part for part in parts} for parts in (spec.bodies, spec.joints, spec.actuators))
    for link, frame in enumerate(found.frames):
        links[frame.body].add_site(name=f"link_{link}", pos=frame.position, quat=frame.quaternion)
    links[found.frames[0].body].add_site(name="nose", pos=found.nose)
    for joint, (number, motor) in enumerate(zip(found.joints, found.motors, strict=True)):
        if joint in body.locked:
            spec.delete(motors[motor])
            spec.delete(joints[number])
            continue
        joints[number].damping = [body.joint_damping[joint], *joints[number].damping[1:]]
        motors[motor].gear = [0.0 if joint in body.lesioned else body.gear[joint], 0, 0, 0, 0, 0]
    _add_sensors(spec, body, head="link_0")
    return spec
