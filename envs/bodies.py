"""Swimming bodies: what a swimmer is made of, by name or from a YAML file."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wormwood.configs.yaml_files import parse_mapping, preset_names, read_preset_or_file
from wormwood.errors import bad_input

__all__ = ["GYMNASIUM_SWIMMER", "Body", "body_from_mapping", "body_names", "load_body", "swimmer"]

LINK_LENGTH = 0.1  # m, dm_control's swimmer
LINK_MASS = 0.01  # kg
GEAR = 5e-4  # N·m
DENSITY = 3000.0  # kg/m³

Values = tuple[float, ...]
GYMNASIUM_LINK_MASS: Values = (35.604716740684324,) * 3  # capsules of 0.1 m by 1 m at 1000 kg/m³


@dataclass(frozen=True)
class Body:
    """A planar chain of links in a fluid, head first. Joint ``i`` connects links ``i`` and ``i + 1``.

    Raises:
        BadInput: a field has a wrong type, length or range.
    """

    name: str
    """What results are filed under."""
    links: int
    """Number of links, at least 2."""
    link_length: Values
    """Length of each link in m. A longer link keeps its mass."""
    link_mass: Values
    """Mass of each link in kg."""
    gear: Values
    """Torque of each joint's motor at full action, in N·m."""
    joint_damping: Values
    """Damping of each joint in N·m·s/rad."""
    joint_limit: Values
    """Largest angle of each joint to either side, in rad."""
    density: float = DENSITY
    """Density of the fluid in kg/m³."""
    viscosity: float = 0.0
    """Dynamic viscosity of the fluid in Pa·s."""
    lesioned: tuple[int, ...] = ()
    """Joints whose motor is dead (gear 0), counted from 0 next to the head."""
    locked: tuple[int, ...] = ()
    """Joints that are stiff: they read 0 and ignore their action."""
    sensor_noise: float = 0.0
    """Standard deviation of the noise on each joint angle, as a share of the joint's limit."""
    sensor_delay: int = 0
    """Control steps by which the joint angles are read late."""
    model: Literal["dm_control", "gymnasium"] = "dm_control"
    """Which reference swimmer the mechanics follow."""

    def __post_init__(self) -> None:
        """Check each field, so that no wrong body reaches the physics."""
        _check_name(self)
        _check_whole(self, "links", minimum=2)
        for field, count in (
            ("link_length", self.links),
            ("link_mass", self.links),
            ("gear", self.joints),
            ("joint_damping", self.joints),
            ("joint_limit", self.joints),
        ):
            _check_values(self, field, count=count, positive=field in ("link_length", "link_mass", "joint_limit"))
        for field in ("density", "viscosity", "sensor_noise"):
            _check_number(self, field)
        _check_whole(self, "sensor_delay", minimum=0)
        for field in ("lesioned", "locked"):
            _check_joints(self, field)
        if self.model not in ("dm_control", "gymnasium"):
            raise _wrong(self, "model", "'dm_control' or 'gymnasium'")
        if self.model == "gymnasium":
            _check_gymnasium(self)

    @property
    def joints(self) -> int:
        """Number of joints, which is also the size of an action: a locked or lesioned joint keeps its place."""
        return self.links - 1

    @property
    def free_joints(self) -> tuple[int, ...]:
        """The joints that are not locked."""
        return tuple(joint for joint in range(self.joints) if joint not in self.locked)

    @property
    def control_timestep(self) -> float:
        """Seconds of one control step."""
        return 0.03 if self.model == "dm_control" else 0.04


def _wrong(body: Body, field: str, expected: str) -> Exception:
    return bad_input(field, where=f"body {body.name}", expected=expected, got=getattr(body, field))


def _check_name(body: Body) -> None:
    # It becomes part of file names.
    name = body.name
    if not isinstance(name, str) or not name.isprintable() or not name.strip(". ") or "/" in name or "\\" in name:
        raise bad_input("name", where="body", expected="some printable letters without a slash", got=name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_whole(body: Body, field: str, *, minimum: int) -> None:
    value = getattr(body, field)
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise _wrong(body, field, f"a whole number of at least {minimum}")


def _check_number(body: Body, field: str) -> None:
    value = getattr(body, field)
    if not _is_number(value) or value < 0:
        raise _wrong(body, field, "a number of at least 0")


def _check_values(body: Body, field: str, *, count: int, positive: bool) -> None:
    values = getattr(body, field)
    sign = "positive" if positive else "non-negative"
    expected = f"one {sign} number or a list of {count}"
    if not isinstance(values, tuple) or len(values) != count:
        raise _wrong(body, field, expected)
    if not all(_is_number(v) and (v > 0 if positive else v >= 0) for v in values):
        raise _wrong(body, field, expected)


def _check_joints(body: Body, field: str) -> None:
    joints = getattr(body, field)
    whole = isinstance(joints, tuple) and all(isinstance(j, int) and not isinstance(j, bool) for j in joints)
    if not whole or len(set(joints)) != len(joints) or not all(0 <= joint < body.joints for joint in joints):
        raise _wrong(body, field, f"a list of different joint numbers from 0 to {body.joints - 1}")


def _check_gymnasium(body: Body) -> None:
    # The mechanics come from gymnasium's own file: what that file fixes cannot be changed here.
    fixed = {
        "links": 3,
        "link_length": (1.0,) * 3,
        "link_mass": GYMNASIUM_LINK_MASS,
        "joint_limit": (100.0 * (math.pi / 180.0),) * 2,
        "locked": (),
    }
    for field, value in fixed.items():
        if getattr(body, field) != value:
            raise _wrong(body, field, f"{value}, which gymnasium's model fixes,")


def swimmer(links: int, **changes: Any) -> Body:
    """Return dm_control's swimmer of ``links`` links, with any fields changed.

    A number for a per-link or per-joint field holds for every link or joint.
    """
    name = changes.pop("name", f"swimmer-{links}")
    return body_from_mapping({"links": links, **changes}, name=name, where=f"body {name}")


def body_from_mapping(fields: Mapping[str, Any], *, name: str, where: str) -> Body:
    """Build a body from a body file's fields; what is left out is as in dm_control's swimmer of that many links.

    Args:
        fields: the fields of ``Body`` but ``name`` and ``model``; ``links`` is required.
        name: the body's name where the file gives none.
        where: the file, for error messages.

    Raises:
        BadInput: a field is unknown or wrong.
    """
    known = [field.name for field in dataclasses.fields(Body) if field.name != "model"]
    for key in fields:
        if key not in known:
            raise bad_input(
                "unknown key", where=where, expected=f"one of {', '.join(known)}", got=key, nearest_to=known
            )
    if "links" not in fields:
        raise bad_input("missing key", where=where, expected="links: a whole number of at least 2", got=sorted(fields))
    links = fields["links"]
    if isinstance(links, bool) or not isinstance(links, int) or links < 2:
        raise bad_input("links", where=where, expected="a whole number of at least 2", got=links)
    joints = links - 1
    values: dict[str, Any] = {
        "link_length": LINK_LENGTH,
        "link_mass": LINK_MASS,
        "gear": GEAR,
        "joint_damping": 0.0,
        "joint_limit": 360.0 / links * (math.pi / 180.0),
        "name": name,
        **fields,
    }
    for field in ("link_length", "link_mass"):
        values[field] = _repeated(values[field], links)
    for field in ("gear", "joint_damping", "joint_limit"):
        values[field] = _repeated(values[field], joints)
    for field in ("lesioned", "locked"):
        values[field] = _joint_numbers(values.get(field, ()))
    return Body(**values)


GYMNASIUM_SWIMMER = Body(
    name="gymnasium-swimmer",
    links=3,
    link_length=(1.0,) * 3,
    link_mass=GYMNASIUM_LINK_MASS,
    gear=(150.0,) * 2,
    joint_damping=(0.0,) * 2,
    joint_limit=(100.0 * (math.pi / 180.0),) * 2,
    density=4000.0,
    viscosity=0.1,
    model="gymnasium",
)
"""The body of gymnasium's Swimmer-v5."""


def body_names() -> list[str]:
    """Return the names that ``load_body`` knows; ``swimmer-N`` stands for any N of at least 2."""
    return [*(f"swimmer-{links}" for links in range(2, 26)), GYMNASIUM_SWIMMER.name, *preset_names("bodies")]


def load_body(name_or_path: str | Path) -> Body:
    """Return the body of a name, ``swimmer-N`` among them, or of a YAML file with the fields of ``Body``.

    Raises:
        BadInput: there is no such name or file, or the file is not a body.
    """
    text = str(name_or_path)
    if match := re.fullmatch(r"swimmer-(\d+)", text):
        return swimmer(int(match[1]))
    if text == GYMNASIUM_SWIMMER.name:
        return GYMNASIUM_SWIMMER
    known = body_names()
    if text not in known and Path(text).suffix not in (".yaml", ".yml"):
        expected = "swimmer-N, a name of `wormwood list bodies`, or a .yaml file"
        raise bad_input("unknown body", where="--body", expected=expected, got=text, nearest_to=known)
    content, where = read_preset_or_file("bodies", text, what="body", where="--body")
    return body_from_mapping(parse_mapping(content, where=where), name=Path(text).stem, where=where)


def _repeated(value: Any, count: int) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (float(value),) * count
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(float(v) if isinstance(v, int) and not isinstance(v, bool) else v for v in value)
    return value


def _joint_numbers(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
