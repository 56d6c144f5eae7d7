"""What the text of a user's MJCF may hold: checked before MuJoCo reads it, so that no model fills the memory."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import mujoco

from wormwood.envs.profiling import keep_no_log
from wormwood.errors import BadInput, bad_input

__all__ = ["read_spec", "refused"]

LONGEST_TEXT = 1_000_000  # characters
MOST_ELEMENTS = 5000  # 25 for each link of the longest swimmer
DEEPEST = 450  # elements inside each other; MuJoCo reads 500
COUNT = "-?(1?[0-9]{1,3}|2000)"
MEMORY = "-1|[0-9]{1,7}|[0-9]{1,4}[Kk]|([0-9]|1[0-6])[Mm]"  # of a simulation's stack and contacts
ONE_FILE = "a model in one file, as mujoco.mj_saveLastXML(FILE, mujoco.MjModel.from_xml_path(PATH)) writes it"

DROPPED = {"custom", "keyframe", "layer", "sensor", "texture", "visual"}
"""Elements that say nothing of the mechanics."""
ELEMENTS = {
    *("actuator", "asset", "body", "camera", "compiler", "connect", "contact", "default", "equality", "exclude"),
    *("fixed", "flag", "frame", "freejoint", "general", "geom", "inertial", "joint", "light", "material"),
    *("motor", "option", "pair", "pulley", "site", "size", "spatial", "statistic", "tendon", "weld"),
    "worldbody",
}
"""What a swimmer is written with. Each stands for one part: none of them makes more of it, as replicate does."""
ONLY_DEFAULTS = {
    *("adhesion", "cylinder", "damper", "dcmotor", "intvelocity", "mesh", "muscle", "orientation", "pid", "position"),
    "velocity",
}
"""What may have defaults, as they do nothing where there is none of it."""
COUNTS = {"actdim", "nsample"}
"""Attributes that say how much of something there is, beside those of ``size`` and the iterations of ``option``."""


def refused(what: str, where: str, expected: str, got: object) -> BadInput:
    """Build the error for what is wrong in a user's model."""
    return bad_input(what, where=f"MJCF swimmer {where}", expected=expected, got=got)


def read_spec(text: str, *, where: str) -> mujoco.MjSpec:
    """Return the model of that text, without what says nothing of its mechanics: sensors, keyframes and pictures.

    It stands on its own, because it travels to other processes and machines as its text alone.

    Raises:
        BadInput: it is no MJCF, needs other files, or asks for more than a swimmer needs.
    """
    if len(text) > LONGEST_TEXT:
        raise refused("size", where, f"at most {LONGEST_TEXT} characters", len(text))
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise refused("XML", where, "an MJCF model", str(error)) from None
    if root.tag != "mujoco":
        raise refused("XML", where, "an element mujoco around all", root.tag)
    for element in root.iter():
        files = [value for name, value in element.attrib.items() if name.startswith("file")]
        if element.tag == "include" or files:
            raise refused(element.tag, where, ONE_FILE, (files or ["include"])[0])
    _drop(root)
    _check_elements(root, where)
    keep_no_log()
    try:
        return mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding="unicode"))
    except ValueError as error:
        raise refused("model", where, "one that MuJoCo reads", " ".join(str(error).split())) from None


def _drop(root: ElementTree.Element) -> None:
    """Leave out what says nothing of the mechanics: sensors, keyframes, pictures and what users keep with a model."""
    for parent in [*root.iter()]:
        parent.attrib.pop("texture", None)
        for element in [child for child in parent if child.tag in DROPPED]:
            parent.remove(element)


def _check_elements(root: ElementTree.Element, where: str) -> None:
    elements, depth = _elements(root)
    if len(elements) > MOST_ELEMENTS or depth > DEEPEST:
        expected = f"at most {MOST_ELEMENTS}, {DEEPEST} inside each other"
        raise refused("elements", where, expected, f"{len(elements)}, {depth} inside each other")
    for number, actuator in enumerate(element for section in root.findall("actuator") for element in section):
        if actuator.tag not in ("motor", "general"):
            name = f"actuator {number} {actuator.get('name', '')}".strip()
            what = f"{name} of joint {actuator.get('joint', 'none')}"
            raise refused(what, where, "an element motor with a control range of -1 to 1", actuator.tag)
    for parent in elements:
        _check_counts(parent, where)
        for element in parent:
            if element.tag not in ELEMENTS and not (parent.tag == "default" and element.tag in ONLY_DEFAULTS):
                raise refused(f"element in {parent.tag}", where, "links, joints and motors alone", element.tag)


def _elements(root: ElementTree.Element) -> tuple[list[ElementTree.Element], int]:
    """Return all elements, and how many are inside each other."""
    found, layer, depth = [root], [root], 1
    while layer := [child for parent in layer for child in parent]:
        found.extend(layer)
        depth += 1
    return found, depth


def _check_counts(element: ElementTree.Element, where: str) -> None:
    """Refuse numbers that make a model large, or slow, with few words."""
    for name, value in element.attrib.items():
        if (element.tag, name) == ("size", "memory"):
            fits, most = re.fullmatch(MEMORY, value), "16M"
        elif name in COUNTS or element.tag == "size" or name.endswith("iterations"):
            fits, most = re.fullmatch(COUNT, value.strip()), "2000"
        else:
            continue
        if not fits:
            raise refused(f"{name} of {element.tag}", where, f"at most {most}", value)
