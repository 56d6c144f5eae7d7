"""Bodies: what is accepted, what is refused and with which words."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, body_from_mapping, body_names, load_body, swimmer
from wormwood.envs.models import build_model
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput

positive = st.floats(1e-3, 10.0)


@st.composite
def body_fields(draw: st.DrawFn) -> dict[str, Any]:
    """Fields of a valid body file."""
    links = draw(st.integers(2, 9))
    joints = links - 1
    fields: dict[str, Any] = {"links": links}
    for field, count in (("link_length", links), ("link_mass", links), ("joint_limit", joints)):
        fields[field] = draw(positive | st.lists(positive, min_size=count, max_size=count))
    for field in ("gear", "joint_damping"):
        fields[field] = draw(st.floats(0.0, 1.0) | st.lists(st.floats(0.0, 1.0), min_size=joints, max_size=joints))
    for field in ("density", "viscosity", "sensor_noise"):
        fields[field] = draw(st.floats(0.0, 100.0))
    for field in ("lesioned", "locked"):
        fields[field] = draw(st.lists(st.integers(0, joints - 1), unique=True))
    fields["sensor_delay"] = draw(st.integers(0, 5))
    chosen = draw(st.sets(st.sampled_from(sorted(fields))))
    return {name: value for name, value in fields.items() if name in chosen | {"links"}}


def _as_mapping(body: Body) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(body).items() if name != "model"}


def test_a_number_of_links_is_dm_controls_swimmer() -> None:
    body = load_body("swimmer-6")
    assert body == swimmer(6)
    assert (body.links, body.joints, body.name, body.control_timestep) == (6, 5, "swimmer-6", 0.03)
    assert body.link_length == (0.1,) * 6
    assert body.joint_limit == pytest.approx((math.radians(60.0),) * 5)


@given(fields=body_fields())
def test_a_body_survives_its_yaml(fields: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    body = body_from_mapping(fields, name="mine", where="test")
    path = tmp_path_factory.mktemp("bodies") / "other.yaml"
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in _as_mapping(body).items()}
    path.write_text(yaml.safe_dump(plain))
    assert load_body(path) == body


def test_a_file_without_a_name_is_named_after_itself(tmp_path: Path) -> None:
    path = tmp_path / "eel.yml"
    path.write_text("links: 12\nlink_mass: 0.02\n")
    assert load_body(str(path)) == swimmer(12, name="eel", link_mass=0.02)


def test_numbers_may_be_written_without_a_dot(tmp_path: Path) -> None:
    path = tmp_path / "weak.yaml"
    path.write_text("links: 3\ngear: 5e-5\nlink_mass: [1E-2, 1.e-2, +0.01]\n")
    assert load_body(path) == swimmer(3, name="weak", gear=5e-5)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"links": 1}, "links"),
        ({"links": 0}, "links"),
        ({"links": True}, "links"),
        ({"links": 6.0}, "links"),
        ({"links": "6"}, "links"),
        ({"links": None}, "links"),
        ({}, "missing key"),
        ({"links": 3, "link_mass": -0.01}, "link_mass .* positive number or a list of 3"),
        ({"links": 3, "link_mass": 0}, "link_mass"),
        ({"links": 3, "link_mass": [0.01, 0.01]}, "list of 3"),
        ({"links": 3, "gear": [5e-4] * 3}, "gear .* list of 2"),
        ({"links": 3, "gear": -1e16}, r"gear .* a list of 2, each from -1e\+15 to 1e\+15"),
        ({"links": 3, "link_length": math.nan}, "link_length"),
        ({"links": 3, "link_length": [0.1, math.inf, 0.1]}, "link_length"),
        ({"links": 3, "link_length": "0.1"}, "link_length"),
        ({"links": 3, "link_length": ["0.1", "0.1", "0.1"]}, "link_length"),
        ({"links": 3, "link_length": True}, "link_length"),
        ({"links": 3, "link_length": None}, "link_length"),
        ({"links": 3, "link_length": {"head": 0.1}}, "link_length"),
        ({"links": 3, "joint_limit": 0.0}, "joint_limit"),
        ({"links": 3, "density": -1.0}, "density"),
        ({"links": 3, "density": math.nan}, "density"),
        ({"links": 3, "viscosity": True}, "viscosity"),
        ({"links": 3, "viscosity": "0.1"}, "viscosity"),
        ({"links": 3, "sensor_noise": -0.1}, "sensor_noise"),
        ({"links": 3, "sensor_delay": 1.5}, "sensor_delay"),
        ({"links": 3, "sensor_delay": -1}, "sensor_delay"),
        ({"links": 3, "sensor_delay": False}, "sensor_delay"),
        ({"links": 3, "lesioned": [2]}, "lesioned .* from 0 to 1"),
        ({"links": 3, "lesioned": [0, 0]}, "different"),
        ({"links": 3, "lesioned": 0}, "lesioned"),
        ({"links": 3, "locked": [-1]}, "locked"),
        ({"links": 3, "locked": [True]}, "locked"),
        ({"links": 3, "locked": ["0"]}, "locked"),
        ({"links": 3, "locked": None}, "locked"),
        ({"links": 3, "name": 5}, "name"),
        ({"links": 3, "name": ""}, "name"),
        ({"links": 3, "name": "../elsewhere"}, "name"),
        ({"links": 3, "name": ".."}, "name"),
        ({"links": 3, "name": "two\nlines"}, "name"),
        ({"links": 3, "link_masses": 0.01}, r"unknown key .*nearest: 'link_mass'"),
        ({"links": 3, "model": "gymnasium"}, "unknown key"),
        ({"links": 3, 7: 0.01}, "unknown key"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[Any, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        body_from_mapping(fields, name="mine", where="mine.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "links: [6\n", "", "6", "links: 3\nlinkmass: 1\n", "\x00"])
def test_a_file_that_is_no_body_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"broken\.yaml"):
        load_body(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\xff\n")
    for path in (tmp_path / "missing.yaml", tmp_path / "latin.yaml"):
        with pytest.raises(BadInput, match="unreadable body file"):
            load_body(path)
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(BadInput, match="unreadable body file"):
        load_body(tmp_path / "folder.yaml")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("swimer-6", "swimmer-6"),
        ("heavyy", "heavy"),
        ("gymnasium_swimmer", "gymnasium-swimmer"),
        ("head-leson", "head-lesion"),
    ],
)
def test_an_unknown_name_brings_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(BadInput, match=f"nearest: '{nearest}'"):
        load_body(name)


def test_one_link_is_no_swimmer() -> None:
    with pytest.raises(BadInput, match="at least 2 and at most 200, got 1"):
        load_body("swimmer-1")


def test_replacing_a_field_checks_it() -> None:
    with pytest.raises(BadInput, match="link_mass"):
        dataclasses.replace(swimmer(3), link_mass=(0.01, -0.01, 0.01))
    assert dataclasses.replace(swimmer(3), viscosity=0.1).viscosity == 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"links": 4},
        {"link_length": (2.0,) * 3},
        {"link_mass": (10.0,) * 3},
        {"joint_limit": (1.0, 1.0)},
        {"locked": (0,)},
        {"model": "other"},
    ],
)
def test_what_gymnasiums_file_fixes_cannot_be_changed(change: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        dataclasses.replace(GYMNASIUM_SWIMMER, **change)


@pytest.mark.parametrize("name", body_names())
def test_every_named_body_builds_and_steps(name: str) -> None:
    body = load_body(name)
    assert body.name == name
    simulation = Simulation(body, Swim(), 2, streams=training_streams(0))
    simulation.reset()
    step = simulation.step(np.ones((2, body.joints)))
    assert np.isfinite(step.observation).all()
    assert not step.done.any()


@pytest.mark.parametrize(
    "name",
    ["swimmer-1", "swimmer-0", "swimmer-201", "swimmer-99999999999999999999", "swimmer-" + "9" * 5000, "swimmer-٦"],
)
def test_a_swimmer_has_2_to_200_links(name: str) -> None:
    with pytest.raises(BadInput, match=r"2 .*200"):
        load_body(name)
    assert load_body("swimmer-200").joints == 199


@pytest.mark.parametrize(
    "field", [field.name for field in dataclasses.fields(Body) if field.name not in ("name", "model")]
)
@pytest.mark.parametrize("value", [10**400, -(10**400), 1e300, math.inf, math.nan, [10**400] * 3, [math.nan] * 2])
def test_numbers_out_of_range_are_refused_with_the_name_of_the_file(field: str, value: Any) -> None:
    with pytest.raises(BadInput, match=rf"^{field} in my\.yaml: expected "):
        body_from_mapping({"links": 3, field: value}, name="mine", where="my.yaml")


def test_a_wrong_file_is_named_and_a_wrong_change_names_the_body(tmp_path: Path) -> None:
    path = tmp_path / "eel.yaml"
    path.write_text("links: 3\nsensor_delay: 1001\n")
    with pytest.raises(BadInput, match=r"sensor_delay in .*eel\.yaml: .* at least 0 and at most 1000, got 1001"):
        load_body(path)
    path.write_text("links: 3\nname: a/b\n")
    with pytest.raises(BadInput, match=r"name in .*eel\.yaml"):
        load_body(path)
    with pytest.raises(BadInput, match="sensor_delay in body swimmer-3"):
        dataclasses.replace(swimmer(3), sensor_delay=1001)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"link_length": 1e-9}, "too close"), ({"link_mass": 1e-9, "link_length": 1e-4}, "mjMINVAL")],
)
def test_what_mujoco_refuses_is_bad_input_with_its_reason(changes: dict[str, float], reason: str) -> None:
    with pytest.raises(BadInput, match=f"mechanics in body tiny: expected .*{reason}") as caught:
        build_model(swimmer(3, name="tiny", **changes))
    assert "\n" not in str(caught.value)


@given(data=st.data())
def test_any_numbers_make_a_model_or_bad_input(data: Any) -> None:
    names = ("link_length", "link_mass", "gear", "joint_damping", "joint_limit", "density", "viscosity")
    fields = data.draw(st.dictionaries(st.sampled_from(names), st.floats() | st.integers()))
    try:
        build_model(swimmer(3, **fields))
    except BadInput as error:
        assert "\n" not in str(error)


def test_an_unknown_body_is_not_blamed_on_an_option() -> None:
    with pytest.raises(BadInput, match=r"^unknown body in body: expected swimmer-N of 2 to 200 links, .*got 'eel'$"):
        load_body("eel")
