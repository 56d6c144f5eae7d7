"""A user's MJCF swimmer: the same bits as the body it was written from, and one line for what is no swimmer."""

import pickle
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from dm_control.suite import swimmer as dm_swimmer

from wormwood.envs.bodies import (
    GYMNASIUM_SWIMMER,
    Body,
    body_fields,
    body_from_mapping,
    load_body,
    swimmer,
    told_from_swimmer,
)
from wormwood.envs.faces.dm_control import load_environment
from wormwood.envs.mjcf import read_swimmer
from wormwood.envs.models import build_model
from wormwood.envs.physics import Physics
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import Navigate, Swim
from wormwood.errors import BadInput
from wormwood.launch.cli.main import main

SWIMMER_V5 = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "swimmer.xml"

# The head looks along +x and is 0.2 m long, the other links 0.1 m; a fin of 4 g is welded to the tail.
MODEL = """
<mujoco>
  <option timestep="0.004" density="1000" viscosity="0.01"/>
  <default><motor ctrllimited="true" ctrlrange="-1 1" gear="0.001"/></default>
  <worldbody>
    <light name="sun"/>
    <body name="head" pos="3 1 2">
      <joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/><joint axis="0 0 1"/>
      <geom type="box" size="0.1 0.002 0.01" mass="0.02"/>
      <body name="middle" pos="-0.1 0 0">
        <joint name="front" axis="0 0 1" limited="true" range="-60 60" damping="1e-5"/>
        <geom type="box" size="0.05 0.002 0.01" pos="-0.05 0 0" mass="0.01"/>
        <body name="tail" pos="-0.1 0 0">
          <joint name="back" axis="0 0 1" limited="true" range="-90 90"/>
          <geom type="box" size="0.05 0.002 0.01" pos="-0.05 0 0" mass="0.01"/>
          <body name="fin" pos="-0.05 0 0"><geom type="box" size="0.01 0.001 0.02" mass="0.004"/></body>
        </body>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="first" joint="front"/><motor name="second" joint="back"/></actuator>
  <sensor><jointpos joint="front"/></sensor>
  <keyframe><key name="bent" qpos="0 0 0 1 1"/></keyframe>
</mujoco>
"""


def _body(text: str = MODEL, **changes: Any) -> Body:
    return body_from_mapping({"mjcf": text, **changes}, name="mine", where="test")


def _chain(links: int) -> str:
    """Return dm_control's swimmer as a user may write it."""
    hinge = 'pos="0 -0.05 0" axis="0 0 1"'
    shape = '<geom type="box" size="0.001 0.05 0.01" mass="0.01"/>'
    limit = 360.0 / links * (np.pi / 180.0)
    inside = ""
    for link in reversed(range(1, links)):
        joint = f'<joint name="j{link}" {hinge} range="{-limit!r} {limit!r}"/>'
        inside = f'<body pos="0 0.1 0">{joint}{shape}{inside}</body>'
    root = '<joint class="root" type="slide" axis="1 0 0"/><joint class="root" type="slide" axis="0 1 0"/>'
    root += f'<joint class="root" {hinge}/>'
    motors = "".join(f'<motor joint="j{link}" gear="5e-4" ctrlrange="-1 1"/>' for link in range(1, links))
    return f"""<mujoco><compiler angle="radian"/><option density="3000"><flag contact="disable"/></option>
    <default><joint limited="true" armature="1e-6" solreflimit="0.05 1" solimplimit="0 0.8 0.1"/>
    <default class="root"><joint limited="false" armature="0" pos="0 -0.05 0"/></default></default>
    <worldbody><body pos="0 0 0.05">{root}{shape}{inside}</body></worldbody><actuator>{motors}</actuator></mujoco>"""


@pytest.mark.parametrize("changes", [{}, {"lesioned": [0], "locked": [2], "density": 2000.0, "sensor_delay": 2}])
@pytest.mark.parametrize("task", [Swim(horizon=40), Navigate(horizon=40)])
def test_the_built_in_body_written_as_mjcf_moves_like_it_to_the_bit(changes: dict[str, Any], task: Any) -> None:
    ours, theirs = swimmer(6, **changes), _body(_chain(6), **changes)
    simulations = [Simulation(body, task, 3, streams=training_streams(0)) for body in (ours, theirs)]
    first, second = (simulation.reset() for simulation in simulations)
    rng = np.random.default_rng(0)
    for _ in range(60):  # past the end of an episode
        np.testing.assert_array_equal(first, second)
        action = rng.uniform(-1.2, 1.2, size=(3, 5))
        one, other = (simulation.step(action) for simulation in simulations)
        np.testing.assert_array_equal(one.reward, other.reward)
        first, second = one.observation, other.observation


def test_a_swimmer_in_a_basin_stops_at_its_wall() -> None:
    wall = '<geom type="box" pos="0 -0.2 0.05" size="1 0.01 0.05"/>'
    text = _chain(6).replace('<flag contact="disable"/>', "").replace("<worldbody>", f"<worldbody>{wall}")
    body = _body(text)
    physics, model = Physics(body, 1), build_model(body)
    velocity = np.array([[0.0, -2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])  # towards the wall
    physics.place(np.array([0]), np.zeros((1, 3)), np.zeros((1, 5)), velocity)
    alone = mujoco.MjData(model)
    alone.qvel[:] = velocity[0]
    touched = False
    for _ in range(10):
        physics.step(np.zeros((1, 5)))
        for _ in range(physics.substeps):
            mujoco.mj_step(model, alone)
            touched |= alone.ncon > 0
    assert touched
    np.testing.assert_array_equal(physics.positions[0], alone.qpos)
    assert physics.positions[0, 1] > -0.2


def test_gymnasiums_file_reads_as_its_body() -> None:
    body = load_body(SWIMMER_V5)
    assert body.name == "swimmer"
    for field in ("links", "link_length", "gear", "joint_damping", "joint_limit", "density", "viscosity"):
        assert getattr(body, field) == getattr(GYMNASIUM_SWIMMER, field), field
    np.testing.assert_allclose(body.link_mass, GYMNASIUM_SWIMMER.link_mass, rtol=1e-11)
    models = build_model(body), build_model(GYMNASIUM_SWIMMER)
    readings = []
    for model in models:
        data = mujoco.MjData(model)
        data.qpos[:], data.qvel[:] = [0.3, -0.2, 0.7, 0.5, -0.9], [0.1, 0.2, -0.3, 0.4, 0.5]
        mujoco.mj_forward(model, data)
        readings.append(data.sensordata.copy())
    np.testing.assert_allclose(*readings, rtol=0, atol=1e-10)


def test_a_model_says_what_its_swimmer_is_made_of() -> None:
    body = _body()
    # The tail's centre of mass: (0.010 * 0.05 + 0.004 * 0.05) / 0.014 m behind its hinge; its length is twice that.
    assert body.link_length == (0.2, 0.1, 0.1)
    assert body.link_mass == (0.02, 0.01, 0.014)
    assert body.gear == (0.001, 0.001)
    assert body.joint_damping == (1e-5, 0.0)
    assert body.joint_limit == pytest.approx((np.pi / 3, np.pi / 2))
    assert (body.links, body.density, body.viscosity, body.model) == (3, 1000.0, 0.01, "mjcf")
    # 0.03 s are 7.5 physics steps of 0.004 s: 8 of them, as round() has it.
    assert body.control_timestep == pytest.approx(0.032)


def test_sensors_look_forward_from_the_middle_of_each_link() -> None:
    model = build_model(_body())
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.site("nose").xpos, [3.0 + 0.6 * 0.2, 1, 2], atol=1e-9)
    for link, middle in enumerate((0.0, -0.15, -0.25)):
        np.testing.assert_allclose(data.site(f"link_{link}").xpos, [3.0 + middle, 1, 2], atol=1e-9)
        np.testing.assert_allclose(-data.site(f"link_{link}").xmat.reshape(3, 3)[:, 1], [1, 0, 0], atol=1e-9)
    data.qvel[0] = 0.5  # along +x, which is forward: the second velocity reads minus that
    mujoco.mj_forward(model, data)
    np.testing.assert_allclose(data.sensor("velocity_2").data, [0, -0.5, 0], atol=1e-9)


def test_fields_beside_a_model_change_it_where_it_allows_that() -> None:
    changes = {"gear": 2e-3, "joint_damping": 1e-4, "density": 500.0, "viscosity": 0.3, "lesioned": [1]}
    model = build_model(_body(**changes))
    assert model.actuator_gear[:, 0].tolist() == [2e-3, 0.0]
    assert model.dof_damping[3:].tolist() == [1e-4, 1e-4]
    assert (model.opt.density, model.opt.viscosity) == (500.0, 0.3)
    assert build_model(_body(locked=[0])).nu == 1
    for field, value in (("link_length", 0.3), ("link_mass", 1.0), ("joint_limit", 0.5)):
        with pytest.raises(BadInput, match=field):
            _body(**{field: value})


def test_a_body_survives_a_file_and_a_process_with_the_text_of_its_model(tmp_path: Path) -> None:
    (tmp_path / "fish.xml").write_text("\ufeff" + MODEL, encoding="utf-8")
    body = load_body(tmp_path / "fish.xml")
    (tmp_path / "weak.yaml").write_text("mjcf: fish.xml\ngear: 1e-4\n")
    weak = load_body(tmp_path / "weak.yaml")
    assert (weak.name, weak.gear, weak.mjcf) == ("weak", (1e-4, 1e-4), MODEL)
    (tmp_path / "fish.xml").unlink()
    for kept in (body, weak):
        assert pickle.loads(pickle.dumps(kept)) == kept
        assert body_from_mapping(body_fields(kept), name="other", where="test") == kept
        build_model(kept)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("</mujoco>", "", "XML .* an MJCF model"),
        ("mujoco>", "robot>", "element mujoco"),
        ('<light name="sun"/>', '<include file="other.xml"/>', "include .* one file"),
        ('<light name="sun"/>', "<lamp/>", "element in worldbody .* got 'lamp'"),
        ('axis="1 0 0"', 'axis="0 1 0"', "axes .* along x and y"),
        ('axis="1 0 0"', 'axis="1 1 0"', "axes .* along x and y"),
        ('type="slide" axis="1 0 0"', 'axis="0 0 1"', "joints .* two slides and a hinge"),
        ('<joint name="front" axis="0 0 1"', '<joint name="front" type="slide"', "joints .* of middle, one hinge"),
        ('name="back" axis="0 0 1"', 'name="back" axis="0 0 1" ref="5"', "reference angle, got 'back'"),
        ('range="-60 60"', 'range="-60 50"', "range of front .* -limit to limit"),
        ('limited="true" range="-60 60"', "", "range of front .* got 'no limit'"),
        ('<motor name="second" joint="back"/>', "", "motors .* each of the 2 hinges .* got '1 motors, of front'"),
        ('name="second" joint="back"', 'joint="front"', "motors .* got '2 motors, of front, front'"),
        ('<motor name="second"', '<position name="second"', "actuator 1 second of joint back .* got 'position'"),
        (
            '<motor name="second"', '<general name="second" dyntype="integrator"',
            "actuator 1 second of joint back .* got 'an actuator with dyn integrator",
        ),
        (
            '<motor name="second"', '<motor name="second" ctrlrange="-2 2"',
            "actuator 1 second of joint back .* control range",
        ),
        ('name="tail" pos="-0.1 0 0"', 'name="tail" pos="-0.1 0.05 0"', "pose .* one line"),
        ('timestep="0.004"', 'timestep="0.05"', "timestep .* to a control step"),
        ('name="fin" pos="-0.05 0 0">', 'name="fin"><freejoint/>', "model|joints"),
        ('name="fin" pos="-0.05 0 0">', 'name="fin"><joint axis="0 0 1" limited="true" range="-9 9"/>', "pose"),
        ('<light name="sun"/>', '<body name="ball"><freejoint/><geom size="0.1"/></body>', "chain|joints"),
    ],
)  # fmt: skip
def test_what_is_no_swimmer_is_told_in_one_line(old: str, new: str, words: str) -> None:
    assert MODEL.count(old) >= 1
    with pytest.raises(BadInput, match=words) as raised:
        _body(MODEL.replace(old, new))
    assert len(str(raised.value).splitlines()) == 1


def test_a_branch_is_no_chain() -> None:
    branch = '<body name="leg"><joint axis="0 0 1" limited="true" range="-9 9"/><geom size="0.01"/></body></body>'
    with pytest.raises(BadInput, match="a chain, each link on the one before, got 'leg on head'"):
        _body(MODEL.replace("</body>\n  </worldbody>", branch + "\n  </worldbody>"))


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"unreadable model .*none\.xml"):
        load_body(tmp_path / "none.xml")
    with pytest.raises(BadInput, match=r"mjcf .* the text of an MJCF model"):
        body_from_mapping({"mjcf": "fish.xml"}, name="mine", where="test")
    with pytest.raises(BadInput, match="size"):
        read_swimmer(" " * 1_000_001, where="test")
    with pytest.raises(BadInput, match="model"):
        Body(**{**vars(swimmer(3)), "mjcf": MODEL})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "<worldbody>",
            '<size nuserdata="1000000000"/><worldbody>',
            "nuserdata of size .*at most 2000, got '1000000000'",
        ),
        ("<worldbody>", '<size memory="100G"/><worldbody>', "memory of size .*at most 16M, got '100G'"),
        (
            "<worldbody>",
            '<asset><hfield name="h" nrow="9" ncol="9" size="1 1 1 1"/></asset><worldbody>',
            "element in asset .*'hfield'",
        ),
        (
            "<light name",
            '<replicate count="1000000" euler="0 0 1"><light/></replicate><light name',
            "element .*'replicate'",
        ),
        ("<light name", '<flexcomp name="f" type="grid" count="999 999 9"/><light name', "element .*'flexcomp'"),
        ("<worldbody>", '<extension><plugin plugin="x"/></extension><worldbody>', "element .*'extension'"),
        ('timestep="0.004"', 'timestep="1e-9"', "timestep .*from 1e-05 s to a control step, 0.03 s, got 1e-09"),
        ('timestep="0.004"', 'timestep="0"', "timestep|model"),
        ('timestep="0.004"', 'timestep="-0.01"', "timestep|model"),
    ],
)
def test_what_would_fill_the_memory_or_never_end_is_refused_before_it_is_compiled(
    old: str, new: str, words: str
) -> None:
    assert old in MODEL
    with pytest.raises(BadInput, match=words) as caught:
        read_swimmer(MODEL.replace(old, new, 1), where="m.xml")
    assert "\n" not in str(caught.value)


def test_an_actuator_that_is_no_motor_is_named_by_number_joint_and_kind() -> None:
    muscles = MODEL.replace('<motor name="first" joint="front"/>', '<muscle joint="front" lengthrange="0.1 1"/>')
    with pytest.raises(BadInput, match=r"actuator 0 of joint front in MJCF swimmer m\.xml: .* got 'muscle'"):
        read_swimmer(muscles, where="m.xml")


def test_dm_controls_flattened_swimmer_is_ours_to_the_digits_that_it_was_written_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = Path(dm_swimmer.__file__).parent
    with pytest.raises(BadInput, match=r"include in MJCF swimmer swimmer: expected .*mujoco\.mj_saveLastXML\(FILE"):
        load_body(folder / "swimmer.xml")
    text, assets = dm_swimmer.get_model_and_assets(6)
    mujoco.mj_saveLastXML("flat.xml", mujoco.MjModel.from_xml_string(text.decode(), assets))
    flat = load_body("flat.xml")
    assert flat.joint_limit == (1.0472,) * 5
    line = (
        "flat is swimmer-6 to the digits that it was written with, not to the bit: joint_limit 1.0472, not 1.04719755"
    )
    assert (told_from_swimmer(flat) or "").startswith(line)
    assert told_from_swimmer(swimmer(6, joint_limit=1.0472)) is None, "as asked for"
    assert told_from_swimmer(_body(_chain(6))) is None, "it is the same to the bit"
    assert told_from_swimmer(_body()) is None
    assert main(["evaluate", "zero", "--body", "flat.xml", "--episodes", "1"]) == 0
    assert line in " ".join("".join(capsys.readouterr()).split())


REORDERED = (
    '<motor name="first" joint="front"/><motor name="second" joint="back"/>',
    '<motor joint="back"/><motor joint="front"/>',
)
SLIDES = (
    '<joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 1 0"/><joint axis="0 0 1"/>',
    '<joint type="slide" axis="0 -1 0"/><joint type="slide" axis="1 0 0"/><joint axis="0 0 -1"/>',
)
TURNED = ('name="back" axis="0 0 1"', 'name="back" axis="0 0 -1"')
PULLING = ('name="second" joint="back"', 'name="second" joint="back" gear="-0.001"')


def _trajectory(text: str, **changes: Any) -> Any:
    simulation = Simulation(_body(text, **changes), Swim(horizon=40), 3, streams=training_streams(0))
    simulation.reset()
    rng = np.random.default_rng(0)
    return np.stack([simulation.step(rng.uniform(-1.2, 1.2, (3, 2))).observation for _ in range(30)])


@pytest.mark.parametrize(
    "edits", [(REORDERED,), (SLIDES,), (TURNED, PULLING), (REORDERED, SLIDES)], ids=["order", "slides", "signs", "both"]
)
@pytest.mark.parametrize("changes", [{}, {"lesioned": [0]}, {"locked": [0], "joint_damping": 1e-5}])
def test_the_same_mechanism_told_in_another_way_moves_as_it(
    edits: tuple[tuple[str, str], ...], changes: dict[str, Any]
) -> None:
    text = MODEL
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    body, plain = _body(text, **changes), _body(**changes)
    assert (body.gear, body.joint_limit) == (plain.gear, plain.joint_limit)
    np.testing.assert_array_equal(_trajectory(text, **changes), _trajectory(MODEL, **changes))


def test_springs_turn_with_their_joint() -> None:
    sprung = MODEL.replace('name="back"', 'name="back" stiffness="1e-4" springref="9"', 1)
    turned = MODEL.replace(TURNED[0], TURNED[1] + ' stiffness="1e-4" springref="-9"').replace(*PULLING)
    assert not np.array_equal(_trajectory(sprung), _trajectory(MODEL))
    np.testing.assert_array_equal(_trajectory(turned), _trajectory(sprung))


def test_a_motor_that_turns_the_other_way_is_part_of_the_body() -> None:
    text = MODEL.replace(*PULLING)
    assert _body(text).gear == (0.001, -0.001)
    assert swimmer(3, gear=[5e-4, -5e-4]).gear == (5e-4, -5e-4)
    np.testing.assert_array_equal(_trajectory(text), _trajectory(MODEL, gear=[0.001, -0.001]))
    environment, simulation = (
        load_environment(_body(text.replace(*TURNED), gear=[0.001, 0.002]), "swim", seed=0, horizon=30),
        Simulation(_body(gear=[0.001, 0.002]), Swim(horizon=30), 1, streams=training_streams(0)),
    )
    environment.reset(), simulation.reset()
    for action in np.random.default_rng(0).uniform(-1, 1, (20, 2)):
        observation = np.concatenate([*environment.step(action).observation.values()])
        np.testing.assert_array_equal(observation, simulation.step(action[None]).observation[0])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("<actuator>", '<equality><joint joint1="back" polycoef="0 1"/></equality><actuator>', "axes .* other way"),
        (
            "<actuator>",
            '<tendon><fixed><joint joint="back" coef="1"/></fixed></tendon><actuator>',
            "axes .* what counts on joint angles",
        ),
        ('type="slide" axis="0 -1 0"', 'type="slide" damping="1" axis="0 -1 0"', "joints .* x before one along y"),
        ('name="back" axis', 'name="back" damping="1e-5 1e-5" axis', "axes .* other way"),
    ],
)
def test_what_turning_would_change_is_refused(old: str, new: str, words: str) -> None:
    text = MODEL.replace(*SLIDES).replace(*TURNED)
    assert old in text
    with pytest.raises(BadInput, match=words):
        _body(text.replace(old, new))


def test_suffixes_are_compared_without_case(tmp_path: Path) -> None:
    (tmp_path / "T.XML").write_text(MODEL)
    assert load_body(tmp_path / "T.XML").links == 3
