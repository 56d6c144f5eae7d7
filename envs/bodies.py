"""Swimming bodies: what a swimmer is made of, by name, from a YAML file or from an MJCF model."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wormwood.configs.yaml_files import parse_mapping, preset_names, read_preset_or_file
from wormwood.envs.mjcf import CONTROL_TIMESTEP, SHORTEST_TIMESTEP, SwimmerModel, read_swimmer
from wormwood.errors import bad_input

__all__ = [
    "CONTROL_TIMESTEP",
    "GYMNASIUM_SWIMMER",
    "LONGEST_DELAY",
    "MOST_LINKS",
    "PHYSICS_TIMESTEP",
    "Body",
    "body_fields",
    "body_from_mapping",
    "body_names",
    "count_substeps",
    "is_number",
    "load_body",
    "swimmer",
    "told_from_swimmer",
]

LINK_LENGTH = 0.1  # m, dm_control's swimmer
LINK_MASS = 0.01  # kg
GEAR = 5e-4  # N·m
DENSITY = 3000.0  # kg/m³

MOST_LINKS = 200
"""A control step of 200 links takes about 10 ms, and the time grows with the third power of their number."""
LONGEST_DELAY = 1000  # control steps, 30 s; every environment remembers as many
SMALLEST, LARGEST = 1e-9, 1e15  # of every number of a body: nothing overflows, not in float32 either

PHYSICS_TIMESTEP = 0.002  # s, dm_control's swimmer
GYMNASIUM_TIMESTEP = 0.04  # s, a control step of Swimmer-v5
LONGEST_CONTROL_TIMESTEP = 1.0  # s
MOST_SUBSTEPS = 3000  # physics steps of a control step
WHOLE = 1e-9  # by which their number may be no whole one: dm_control refuses more

PRINTED = 1e-5  # relative, of numbers that MuJoCo wrote into a file
MECHANICS = (
    *("link_length", "link_mass", "gear", "joint_damping", "joint_limit", "density", "viscosity", "control_timestep"),
)

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
    """Number of links, from 2 to 200."""
    link_length: Values
    """Length of each link in m. A longer link keeps its mass."""
    link_mass: Values
    """Mass of each link in kg."""
    gear: Values
    """Torque of each joint's motor at full action, in N·m; a motor with a negative one turns the other way."""
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
    """Control steps by which the joint angles are read late, at most 1000."""
    control_timestep: float = CONTROL_TIMESTEP
    """Seconds of one control step: a whole number of physics steps."""
    model: Literal["dm_control", "gymnasium", "mjcf"] = "dm_control"
    """Which reference swimmer the mechanics follow; ``mjcf``: a model of the user's."""
    mjcf: str | None = None
    """The text of that model. It fixes the links and the joints' limits; the other fields may differ from it."""

    def __post_init__(self) -> None:
        """Check each field, so that no wrong body reaches the physics."""
        where = f"body {self.name}"
        _check_name(self.name, where="body")
        _check_fields(vars(self), where=where)
        if self.model not in ("dm_control", "gymnasium", "mjcf") or (self.model == "mjcf") != (self.mjcf is not None):
            expected = "'dm_control' or 'gymnasium', or 'mjcf' beside the text of a model"
            raise bad_input("model", where=where, expected=expected, got=self.model)
        if self.model == "gymnasium":
            _check_fixed(self, GYMNASIUM_FIXED, owner="gymnasium's model", where=where)
        if self.model == "mjcf":
            found = self.swimmer_model
            fixed = {name: getattr(found, name) for name in ("links", "link_length", "link_mass", "joint_limit")}
            _check_fixed(self, fixed, owner="the MJCF model", where=where)

    @property
    def joints(self) -> int:
        """Number of joints, which is also the size of an action: a locked or lesioned joint keeps its place."""
        return self.links - 1

    @property
    def free_joints(self) -> tuple[int, ...]:
        """The joints that are not locked."""
        return tuple(joint for joint in range(self.joints) if joint not in self.locked)

    @property
    def swimmer_model(self) -> SwimmerModel:
        """What ``mjcf`` says.

        Raises:
            BadInput: it is not the model of a swimmer.
        """
        return read_swimmer(self.mjcf or "", where=self.name)


def is_number(value: object, *, low: float, high: float) -> bool:
    """Return True for a number from ``low`` to ``high``: no boolean and no NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _check_name(name: Any, *, where: str) -> None:
    # It becomes part of file names.
    if not isinstance(name, str) or not name.isprintable() or not name.strip(". ") or "/" in name or "\\" in name:
        raise bad_input("name", where=where, expected="some printable letters without a slash", got=name)


def _check_fields(fields: Mapping[str, Any], *, where: str) -> None:
    """Check every field of a body but its name and model."""
    links = _check_whole(fields, "links", 2, MOST_LINKS, where=where)
    for field in ("link_length", "link_mass", "joint_limit"):
        _check_values(fields, field, count=links - (field == "joint_limit"), low=SMALLEST, where=where)
    for field, low in (("gear", -LARGEST), ("joint_damping", 0.0)):
        _check_values(fields, field, count=links - 1, low=low, where=where)
    for field in ("density", "viscosity", "sensor_noise"):
        if not is_number(fields[field], low=0.0, high=LARGEST):
            raise bad_input(field, where=where, expected=f"a number from 0 to {LARGEST:g}", got=fields[field])
    if not is_number(fields["control_timestep"], low=SHORTEST_TIMESTEP, high=LONGEST_CONTROL_TIMESTEP):
        expected = f"a number from {SHORTEST_TIMESTEP:g} to {LONGEST_CONTROL_TIMESTEP:g}, in s"
        raise bad_input("control_timestep", where=where, expected=expected, got=fields["control_timestep"])
    _check_whole(fields, "sensor_delay", 0, LONGEST_DELAY, where=where)
    for field in ("lesioned", "locked"):
        _check_joints(fields[field], field, joints=links - 1, where=where)


def _check_whole(fields: Mapping[str, Any], field: str, least: int, most: int, *, where: str) -> int:
    value = fields[field]
    if not isinstance(value, int) or not is_number(value, low=least, high=most):
        expected = f"a whole number of at least {least} and at most {most}"
        raise bad_input(field, where=where, expected=expected, got=value)
    return value


def _check_values(fields: Mapping[str, Any], field: str, *, count: int, low: float, where: str) -> None:
    values = fields[field]
    right = isinstance(values, tuple) and len(values) == count
    if not right or not all(is_number(value, low=low, high=LARGEST) for value in values):
        sign = "positive " if low > 0 else "non-negative " if low == 0 else ""
        expected = f"one {sign}number or a list of {count}, each from {low:g} to {LARGEST:g}"
        raise bad_input(field, where=where, expected=expected, got=values)


def count_substeps(control_timestep: float, timestep: float, *, where: str) -> int:
    """Return how many physics steps of ``timestep`` s a control step has.

    Raises:
        BadInput: that is no whole number, or more than 3000; ``where`` says whose it is.
    """
    steps = control_timestep / timestep
    if abs(steps - round(steps)) > WHOLE or not 1 <= round(steps) <= MOST_SUBSTEPS:
        expected = f"from 1 to {MOST_SUBSTEPS} physics steps of {timestep:g} s each"
        raise bad_input("control_timestep", where=where, expected=expected, got=control_timestep)
    return round(steps)


def _check_joints(chosen: Any, field: str, *, joints: int, where: str) -> None:
    whole = isinstance(chosen, tuple) and all(isinstance(j, int) and not isinstance(j, bool) for j in chosen)
    if not whole or len(set(chosen)) != len(chosen) or not all(0 <= joint < joints for joint in chosen):
        expected = f"a list of different joint numbers from 0 to {joints - 1}"
        raise bad_input(field, where=where, expected=expected, got=chosen)


GYMNASIUM_FIXED: Mapping[str, Any] = {
    "links": 3,
    "link_length": (1.0,) * 3,
    "link_mass": GYMNASIUM_LINK_MASS,
    "joint_limit": (100.0 * (math.pi / 180.0),) * 2,
    "locked": (),
    "control_timestep": GYMNASIUM_TIMESTEP,
}


def _check_fixed(body: Body, fixed: Mapping[str, Any], *, owner: str, where: str) -> None:
    # The mechanics come from a file: what it fixes cannot be changed here.
    for field, value in fixed.items():
        if getattr(body, field) != value:
            expected = f"{value}, which {owner} fixes,"
            raise bad_input(field, where=where, expected=expected, got=getattr(body, field))


def swimmer(links: int, **changes: Any) -> Body:
    """Return dm_control's swimmer of ``links`` links, with any fields changed: ``swimmer(8, gear=6e-4, locked=[3])``.

    A number for a per-link or per-joint field holds for every link or joint.
    """
    name = changes.pop("name", f"swimmer-{links}")
    return body_from_mapping({"links": links, **changes}, name=name, where=f"body {name}")


def body_fields(body: Body) -> dict[str, Any]:
    """Return the fields of a body as a body file has them: ``body_from_mapping`` reads them back."""
    fields = dataclasses.asdict(body)
    del fields["model"]
    usual = {"gymnasium": GYMNASIUM_TIMESTEP, "dm_control": CONTROL_TIMESTEP}
    if body.control_timestep == (body.swimmer_model.control_timestep if body.mjcf else usual[body.model]):
        del fields["control_timestep"]  # as in files that were written before there was such a field
    if body.mjcf is None:
        del fields["mjcf"]
    return fields


def body_from_mapping(fields: Mapping[str, Any], *, name: str, where: str, folder: Path | None = None) -> Body:
    """Build a body from a body file's fields; what is left out is as in dm_control's swimmer of that many links.

    Args:
        fields: the fields of ``Body`` but ``model``. ``links`` is required, unless there is ``mjcf``: then what is left
            out is as in that model.
        name: the body's name where the file gives none.
        where: the file, for error messages.
        folder: in which the file that ``mjcf`` names is looked for; None asks for the text of the model.

    Raises:
        BadInput: a field is unknown or wrong.
    """
    known = [field.name for field in dataclasses.fields(Body) if field.name != "model"]
    for key in fields:
        if key not in known:
            raise bad_input(
                "unknown key", where=where, expected=f"one of {', '.join(known)}", got=key, nearest_to=known
            )
    name = fields.get("name", name)
    _check_name(name, where=where)
    mjcf = None if fields.get("mjcf") is None else _model_text(fields["mjcf"], where=where, folder=folder)
    values: dict[str, Any] = {
        **{field.name: field.default for field in dataclasses.fields(Body) if field.default is not dataclasses.MISSING},
        **(_chain_mechanics(fields, where) if mjcf is None else _model_mechanics(mjcf, name)),
        **fields,
        "name": name,
        "model": "dm_control" if mjcf is None else "mjcf",
        "mjcf": mjcf,
    }
    links = _check_whole(values, "links", 2, MOST_LINKS, where=where)
    joints = links - 1
    for field in ("link_length", "link_mass"):
        values[field] = _repeated(values[field], links)
    for field in ("gear", "joint_damping", "joint_limit"):
        values[field] = _repeated(values[field], joints)
    for field in ("lesioned", "locked"):
        values[field] = _joint_numbers(values[field])
    # The body checks itself again, but does not know which file it is from.
    _check_fields(values, where=where)
    timestep = PHYSICS_TIMESTEP if mjcf is None else read_swimmer(mjcf, where=name).timestep
    count_substeps(values["control_timestep"], timestep, where=where)
    return Body(**values)


def _chain_mechanics(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the mechanics of dm_control's swimmer of as many links as the fields say."""
    if "links" not in fields:
        raise bad_input("missing key", where=where, expected="links: a whole number of at least 2", got=sorted(fields))
    return {
        "link_length": LINK_LENGTH,
        "link_mass": LINK_MASS,
        "gear": GEAR,
        "joint_damping": 0.0,
        "joint_limit": 360.0 / _check_whole(fields, "links", 2, MOST_LINKS, where=where) * (math.pi / 180.0),
    }


def _model_mechanics(mjcf: str, name: str) -> dict[str, Any]:
    """Return the mechanics of the swimmer in an MJCF model."""
    found = read_swimmer(mjcf, where=name)
    return {field: value for field, value in vars(found).items() if field in Body.__dataclass_fields__}


def _model_text(mjcf: Any, *, where: str, folder: Path | None) -> str:
    """Return the text of a model that is given, or that of the file that is named."""
    if isinstance(mjcf, str) and mjcf.lstrip().startswith("<"):
        return mjcf
    if folder is None or not isinstance(mjcf, str):
        raise bad_input("mjcf", where=where, expected="the text of an MJCF model", got=mjcf)
    return _read_model(folder / mjcf)


def _read_model(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors put a mark in front
    except (OSError, ValueError) as error:
        raise bad_input("unreadable model", where=str(path), expected="an MJCF file", got=str(error)) from None


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
    control_timestep=GYMNASIUM_TIMESTEP,
    model="gymnasium",
)
"""The body of gymnasium's Swimmer-v5."""


def body_names() -> list[str]:
    """Return the names that ``load_body`` knows; ``swimmer-N`` stands for any N from 2 to 200."""
    return [*(f"swimmer-{links}" for links in range(2, 26)), GYMNASIUM_SWIMMER.name, *preset_names("bodies")]


def told_from_swimmer(body: Body) -> str | None:
    """Return a line about a user's model that is dm_control's swimmer but for the digits that it was written with."""
    if body.mjcf is None:
        return None
    known = swimmer(body.links)
    pairs = {name: (getattr(body, name), getattr(known, name)) for name in MECHANICS}
    other = [name for name, (one, two) in pairs.items() if one != two]
    if not other or not all(np.allclose(*pairs[name], rtol=PRINTED, atol=0) for name in other):
        return None
    one, two = (np.ravel(values)[0].item() for values in pairs[other[0]])
    told = f"{body.name} is {known.name} to the digits that it was written with, not to the bit"
    return f"{told}: {other[0]} {one}, not {two}"


def load_body(name_or_path: str | Path) -> Body:
    """Return the body of a name such as ``swimmer-N``, of a YAML file with the fields of ``Body``, or of an MJCF file.

    Raises:
        BadInput: there is no such name or file, or the file is not a body.
    """
    text = str(name_or_path)
    if match := re.fullmatch(r"swimmer-([0-9]{1,9})", text):
        return swimmer(int(match[1]))
    if text == GYMNASIUM_SWIMMER.name:
        return GYMNASIUM_SWIMMER
    path = Path(text)
    if path.suffix.lower() == ".xml":
        return body_from_mapping({"mjcf": _read_model(path)}, name=path.stem, where=text)
    known = body_names()
    if text not in known and path.suffix not in (".yaml", ".yml"):
        expected = f"swimmer-N of 2 to {MOST_LINKS} links, a name of `wormwood list bodies`, or a .yaml or .xml file"
        raise bad_input("unknown body", where="body", expected=expected, got=text, nearest_to=known)
    content, where = read_preset_or_file("bodies", text, what="body", where="body")
    return body_from_mapping(parse_mapping(content, where=where), name=path.stem, where=where, folder=path.parent)


def _repeated(value: Any, count: int) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_as_float(entry) for entry in value)
    return (_as_float(value),) * count if isinstance(value, int | float) else value


def _as_float(value: Any) -> Any:
    # What is no number of a body stays as it is, for the error message.
    return float(value) if is_number(value, low=-LARGEST, high=LARGEST) else value


def _joint_numbers(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
