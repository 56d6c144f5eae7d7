"""Every attribute that MuJoCo knows, with extreme values: read or refused in one line, soon and in little memory."""

import random
import re
import resource
import time
from collections import defaultdict
from xml.etree import ElementTree

import mujoco
import numpy as np
import pytest

from wormwood.envs.bodies import body_from_mapping
from wormwood.envs.mjcf_text import DROPPED, ELEMENTS, ONLY_DEFAULTS, read_spec
from wormwood.envs.physics import Physics
from wormwood.errors import BadInput

VALUES = (
    *("1000000000", "-1000000000", "1e300", "1e-300", "0", "-1", "nan", "inf", "true", "x", "2147483647", "²"),
    *("1000000000 1000000000 1000000000", "9" * 5000),
)
# One of each element that a swimmer may be written with.
MODEL = """
<mujoco>
  <compiler angle="degree"/><option timestep="0.004" density="1000"><flag contact="disable"/></option>
  <size nkey="1"/><statistic extent="1"/>
  <default><motor ctrllimited="true" ctrlrange="-1 1" gear="0.001"/><position kp="1"/></default>
  <asset><texture name="t" type="2d" builtin="flat" width="9" height="9"/><material name="m" texture="t"/></asset>
  <worldbody>
    <light name="sun"/><camera name="c"/><geom name="floor" type="plane" size="1 1 1"/><site name="s0"/>
    <frame>
      <body name="head">
        <joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/><joint axis="0 0 1"/>
        <geom name="g" type="box" size="0.1 0.002 0.01" mass="0.02"/><site name="s1"/>
        <body name="tail" pos="-0.1 0 0">
          <joint name="back" axis="0 0 1" limited="true" range="-90 90"/>
          <inertial pos="-0.05 0 0" mass="0.01" diaginertia="1e-5 1e-5 1e-5"/>
          <geom type="box" size="0.05 0.002 0.01" pos="-0.05 0 0"/>
          <body name="fin" pos="-0.05 0 0"><geom type="box" size="0.01 0.001 0.02" mass="0.004"/></body>
        </body>
      </body>
    </frame>
  </worldbody>
  <contact><pair geom1="g" geom2="floor"/><exclude body1="head" body2="tail"/></contact>
  <equality><weld body1="fin" body2="tail"/></equality>
  <tendon><spatial name="x"><site site="s0"/><site site="s1"/></spatial></tendon>
  <actuator><motor name="only" joint="back"/></actuator>
  <sensor><jointpos joint="back"/></sensor>
  <keyframe><key name="bent" qpos="0 0 0 1"/></keyframe>
</mujoco>
"""


def _attributes() -> dict[str, set[str]]:
    """Return the attributes of each element in MuJoCo's own schema."""
    found: dict[str, set[str]] = defaultdict(set)
    element = ""
    for line in mujoco.mj_printSchema(False, True).splitlines():
        if begins := re.match(r" *(\S+) \(.\) *(.*)", line):
            element = begins[1].replace("(world)body", "body")
            line = begins[2]
        found[element].update(line.split())
    return found


def _changed(share: float) -> list[tuple[str, str, str, str]]:
    """Return element, attribute, value and the model's text with it, of a share of all there are."""
    root, random_numbers, attributes, found = ElementTree.fromstring(MODEL), random.Random(0), _attributes(), []
    for element in root.iter():
        for name in sorted(attributes[element.tag]):
            for value in VALUES:
                if random_numbers.random() < share:
                    kept = dict(element.attrib)
                    element.set(name, value)
                    found.append((element.tag, name, value[:20], ElementTree.tostring(root, encoding="unicode")))
                    element.attrib.clear()
                    element.attrib.update(kept)
    return found


def _check(share: float) -> None:
    cases, refusals = _changed(share), 0
    assert len(cases) > 9000 * share
    for element, name, value, text in cases:
        began = time.monotonic()
        try:
            physics = Physics(body_from_mapping({"mjcf": text}, name="mine", where="test"), 2)
            physics.step(np.ones((2, 1)))
        except BadInput as error:
            refusals += 1
            assert "\n" not in str(error)
        assert time.monotonic() - began < 5, (element, name, value)
    assert len(cases) > refusals > 0.5 * len(cases)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 3 * 2**20, "KiB"


def test_extreme_attributes_are_read_or_refused() -> None:
    _check(0.05)


@pytest.mark.slow
def test_all_extreme_attributes_are_read_or_refused() -> None:
    _check(1.0)


def test_elements_are_of_mujocos_schema() -> None:
    known = set(_attributes()) | {"frame", "worldbody"}
    assert not (ELEMENTS | ONLY_DEFAULTS | DROPPED) - known
    assert not ELEMENTS & {"attach", "composite", "extension", "flexcomp", "hfield", "mesh", "plugin", "replicate"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<camera", "<site/>" * 5000 + "<camera", r"elements .* at most 5000, 450 inside each other, got '50\d\d, 7 "),
        ("<camera", "<body>" * 600 + "</body>" * 600 + "<camera", r"450 inside each other, got '\d+, 602 inside"),
        ("<option", '<option iterations="2000000000"', "iterations of option .* at most 2000"),
        ("<actuator>", "<actuator><muscle joint='back'/>", "actuator 0 of joint back .* got 'muscle'"),
        ("<compiler", "<compiler><lengthrange timestep='1e-9'/></compiler><compiler", "element .* 'lengthrange'"),
        ("<mujoco>", '<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]><mujoco model="&a;">', "XML .* entity"),
    ],
)
def test_what_is_too_much_is_refused(old: str, new: str, words: str) -> None:
    assert old in MODEL
    with pytest.raises(BadInput, match=words):
        read_spec(MODEL.strip().replace(old, new, 1), where="test")


def test_what_says_nothing_of_the_mechanics_is_left_out() -> None:
    huge = '<sensor><user dim="1000000000"/></sensor><custom><numeric name="n" size="999999999"/></custom>'
    huge += '<keyframe><key name="k"/></keyframe><visual><quality shadowsize="2000000000"/></visual>'
    text = MODEL.strip().replace("<actuator>", huge + "<actuator>").replace('width="9"', 'width="99999"')
    model = read_spec(text, where="test").compile()
    assert (model.nsensor, model.nnumeric, model.ntex, model.nkey) == (
        0,
        0,
        0,
        1,
    )  # size says that there is room for one
