"""How long a control step takes: a field of the body, said wherever it is not the usual one or the one trained with."""

import csv
import dataclasses
import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest

import wormwood
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, body_fields, body_from_mapping, load_body, swimmer
from wormwood.envs.faces.dm_control import load_environment
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.launch.cli.main import main

SWIMMER_V5 = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "swimmer.xml"


def test_a_body_says_how_long_its_control_step_takes() -> None:
    assert swimmer(6).control_timestep == 0.03
    assert "control_timestep" not in body_fields(swimmer(6)), "as in files from before there was such a field"
    assert "control_timestep" not in body_fields(GYMNASIUM_SWIMMER)
    slow = swimmer(6, control_timestep=0.06)
    assert body_from_mapping(body_fields(slow), name="other", where="test") == slow
    once, twice = (Simulation(body, Swim(), 2, streams=training_streams(0)) for body in (slow, swimmer(6)))
    once.reset(), twice.reset()
    action = np.random.default_rng(0).uniform(-1, 1, (2, 5))
    once.step(action), twice.step(action), twice.step(action)
    np.testing.assert_array_equal(once.physics.positions, twice.physics.positions)
    assert load_environment(slow, "swim").control_timestep() == 0.06


def test_a_users_swimmer_v5_may_act_as_often_as_gymnasiums() -> None:
    assert load_body(SWIMMER_V5).control_timestep == pytest.approx(0.03)
    Path("mine.yaml").write_text(f"mjcf: {SWIMMER_V5}\ncontrol_timestep: 0.04\n")
    mine = load_body("mine.yaml")
    first, second = (Simulation(body, Swim(), 2, streams=training_streams(0)) for body in (mine, GYMNASIUM_SWIMMER))
    first.reset(), second.reset()
    for action in np.random.default_rng(0).uniform(-1, 1, (50, 2, 2)):
        one, other = first.step(action), second.step(action)
    np.testing.assert_allclose(one.observation, other.observation, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "a number from 1e-05 to 1"),
        (-0.03, "a number from"),
        (float("nan"), "a number from"),
        ("long", "a number from"),
        (1.5, "a number from"),
        (0.031, "physics steps of 0.002 s each, got 0.031"),
        (0.001, "from 1 to 3000 physics steps"),
    ],
)
def test_a_wrong_one_is_refused(value: object, words: str) -> None:
    with pytest.raises(BadInput, match=rf"control_timestep in body swimmer-3: .*{words}"):
        swimmer(3, control_timestep=value)
    with pytest.raises(BadInput, match=r"control_timestep .* which gymnasium's model fixes"):
        dataclasses.replace(GYMNASIUM_SWIMMER, control_timestep=0.02)


def test_evaluations_and_reports_say_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("slow.yaml").write_text("links: 6\ncontrol_timestep: 0.06\n")
    settings = {"agent": {"kind": "ncap"}, "learner": {"kind": "openai-es", "population": 4, "starts": 1}}
    small = {"iterations": 1, "task_options": {"horizon": 20}, "evaluation_episodes": 1}
    wormwood.train({**settings, **small, "body": "slow.yaml"}, out="run")
    capsys.readouterr()
    assert main(["evaluate", "run", "--body", "swimmer-6", "slow.yaml", "--episodes", "1"]) == 0
    printed = " ".join("".join(capsys.readouterr()).split())
    assert "a control step takes 0.06 s on slow" in printed
    assert "run was trained with control steps of 0.06 s: they take 0.03 s on swimmer-6" in printed
    Path("suite.yaml").write_text(
        "task_options: {horizon: 30}\naxes: {links: 6}\nbodies:\n"
        "- {body: swimmer-6, label: home}\n- {body: slow.yaml, label: extrapolation, axis: links, value: 3}\n"
    )
    shared = ["--suite", "suite.yaml", "--seeds", "1", "--out", "report"]
    assert main(["transfer", "run", *shared, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["control_timestep"], row["trained_timestep"]) for row in rows] == [(0.03, 0.06), (0.06, 0.06)]
    assert {row["unstable"] for row in rows} == {0}
    assert main(["transfer", "zero", *shared, "--resume"]) == 0  # and the run, which is in the report
    capsys.readouterr()
    page = Path("report/report.html").read_text()
    assert "run was trained with control steps of 0.06 s: they take 0.03 s on swimmer-6" in page
    assert "a control step takes 0.06 s on slow" in page
    found = next(csv.DictReader(Path("report/results.csv").read_text().splitlines()))
    assert (found["control_timestep"], found["trained_timestep"]) == ("0.03", "0.06")
