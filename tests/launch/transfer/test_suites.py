"""Suites: what comes with the package, a suite of one's own, and one line for what is wrong in it."""

from pathlib import Path

import gymnasium
import pytest

from wormwood.envs.bodies import load_body, swimmer
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.launch.transfer.suites import LABELS, SuiteBody, load_suite, parse_suite, suite_names


def test_the_standard_suite_covers_every_axis() -> None:
    suite = load_suite("standard")
    assert len(suite.bodies) >= 40
    assert {entry.label for entry in suite.bodies} == set(LABELS)
    assert [entry.body.name for entry in suite.bodies if entry.label == "home"] == ["swimmer-6"]
    places = {name: [entry.value for entry in suite.bodies if entry.axis == name] for name, _ in suite.axes}
    assert places["links"] == [2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 15, 20, 25]
    assert places["lesioned motor"] == places["locked joint"] == [0, 1, 2, 3, 4]
    assert all(len(values) >= 3 for values in places.values())
    assert len(places) == 12
    assert len(suite.retention) == 12
    # Only combinations change several things, and so stand on no axis.
    assert {entry.label for entry in suite.bodies if entry.axis is None} == {"home", "combination"}


def test_values_say_what_the_bodies_are() -> None:
    entries = {entry.body.name: entry for entry in load_suite("standard").bodies}
    assert entries["length-1.5"].body.link_length == (0.15,) * 6
    assert entries["mass-0.25"].body.link_mass == (0.0025,) * 6
    taper = entries["taper-0.2"].body
    assert taper.link_length == pytest.approx((0.12, 0.112, 0.104, 0.096, 0.088, 0.08))
    assert sum(taper.link_mass) == pytest.approx(0.06)
    assert entries["gear-0.5"].body.gear == (2.5e-4,) * 5
    assert entries["damping-10"].body.joint_damping == (1e-4,) * 5
    assert entries["lock-3"].body.locked == (3,)
    for entry in entries.values():
        if entry.axis in ("viscosity", "density"):
            assert getattr(entry.body, entry.axis) == entry.value


@pytest.mark.parametrize("name", suite_names())
def test_every_suite_of_the_package_can_be_read(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.spec(suite.bodies[0]).body.name == "swimmer-6"


def test_a_suite_finds_mjcf_models_beside_itself(tmp_path: Path) -> None:
    model = Path(gymnasium.__file__).parent / "envs/mujoco/assets/swimmer.xml"
    (tmp_path / "fish.xml").write_text(model.read_text())
    (tmp_path / "suite.yaml").write_text("""
bodies:
- {body: fish.xml, label: home}
- {body: {name: lame, mjcf: fish.xml, lesioned: [0]}, label: extrapolation}
""")
    home, lame = (entry.body for entry in load_suite(str(tmp_path / "suite.yaml")).bodies)
    assert (home.name, home.mjcf, home.lesioned) == ("fish", model.read_text(), ())
    assert (lame.name, lame.mjcf, lame.lesioned) == ("lame", model.read_text(), (0,))


def test_units_are_of_axes_of_the_suite() -> None:
    bodies = "bodies: [{body: swimmer-5, label: home}]"
    suite = parse_suite(f"axes: {{gear: 1}}\nunits: {{gear: times home's}}\n{bodies}", name="s", where="test")
    assert suite.units == (("gear", "times home's"),)
    with pytest.raises(BadInput, match=r"unknown axis in test, units: .* got 'geer' .nearest: 'gear'"):
        parse_suite(f"axes: {{gear: 1}}\nunits: {{geer: m}}\n{bodies}", name="s", where="test")
    with pytest.raises(BadInput, match="units in test: expected a mapping"):
        parse_suite(f"units: [m]\n{bodies}", name="s", where="test")


def test_a_suite_of_ones_own_names_bodies_in_three_ways(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("links: 7")
    (tmp_path / "suite.yaml").write_text("""
task_options: {horizon: 50}
axes: {gear: 1}
bodies:
- {body: swimmer-5, label: home}
- {body: mine.yaml, label: interpolation}
- {body: {name: weak, links: 5, gear: 1.0e-4}, label: extrapolation, axis: gear, value: 0.2}
retention: [weak]
""")
    suite = load_suite(str(tmp_path / "suite.yaml"))
    assert suite.name == "suite"
    assert suite.task == Swim(horizon=50)
    assert suite.bodies == (
        SuiteBody(load_body("swimmer-5"), "home"),
        SuiteBody(swimmer(7, name="mine"), "interpolation"),
        SuiteBody(swimmer(5, gear=1e-4, name="weak"), "extrapolation", "gear", 0.2),
    )
    assert (suite.axes, suite.retention) == ((("gear", 1),), ("weak",))


HOME = "bodies: [{body: swimmer-6, label: home}]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: swim", r"bodies in test: expected a list of at least one body, got None"),
        ("bodies: [swimmer-6]", r"entry in test, body 1: .*got 'swimmer-6'"),
        (f"{HOME}\nbodys: []", r"unknown key in test: .*nearest: 'bodies'"),
        (f"{HOME}\ntask: gymnasium-forward", r"unknown task in test: expected one of swim, swim-speed, navigate"),
        (f"{HOME}\ntask_options: {{horizn: 3}}", r"unknown option in task swim: .*nearest: 'horizon'"),
        (f"{HOME}\ntask_options: 3", r"task_options in test: expected a mapping"),
        (f"{HOME}\nretention: [swimmer-7]", r"retention in test: .*nearest: 'swimmer-6'"),
        (f"{HOME}\nretention: all", r"retention in test: expected a list"),
        (f"{HOME}\naxes: [links]", r"axes in test: expected a mapping"),
        (f"{HOME}\naxes: {{links: six}}", r"axis links in test: expected a number"),
        (f"{HOME}\naxes: {{1: 6}}", r"name of an axis in test"),
        ("bodies: [{body: swimmer-6, label: hme}]", r"unknown label in test, body 1: .*nearest: 'home'"),
        ("bodies: [{body: swimmr-6, label: home}]", r"unknown body"),
        (
            "bodies: [{body: 6, label: home}]",
            r"body in test, body 1: expected a name, a YAML or MJCF file, or the fields",
        ),
        ("bodies: [{body: {links: 6}, label: home}]", r"missing key in test, body 1: expected name"),
        ("bodies: [{body: {name: x, links: 1}, label: home}]", r"links in test, body 1: .*got 1"),
        ("bodies: [{body: swimmer-6, label: home, axis: links, value: 6}]", r"unknown axis .*it has none"),
        ("axes: {links: 6}\nbodies: [{body: swimmer-6, label: home, axis: link, value: 6}]", r"nearest: 'links'"),
        ("axes: {links: 6}\nbodies: [{body: swimmer-6, label: home, axis: links}]", r"value in test, body 1"),
        ("axes: {links: 6}\nbodies: [{body: swimmer-6, label: home, axis: links, value: x}]", r"value .*got 'x'"),
        ("bodies: [{body: swimmer-6, label: home}, {body: swimmer-6, label: home}]", r"name in test, body 2"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_suite(text, name="test", where="test")
    assert "\n" not in str(caught.value)


def test_an_unknown_suite_has_a_nearest_name() -> None:
    with pytest.raises(BadInput, match=r"unknown suite in --suite: .*nearest: 'standard'"):
        load_suite("standart")
