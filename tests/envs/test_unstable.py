"""A body that explodes is said to be unstable, with the step, everywhere; it leaves no file behind."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

import wormwood
from wormwood.envs.bodies import Body, body_from_mapping
from wormwood.launch.cli.main import main


def _exploding(**fields: object) -> Body:
    return body_from_mapping({"links": 6, **fields}, name="exploding", where="test")


@pytest.mark.parametrize("fields", [{"gear": 1e3}, {"link_mass": 1e-9}])
def test_an_evaluation_says_in_which_step_it_became_unstable(fields: dict[str, object]) -> None:
    result = wormwood.evaluate("ncap", body=_exploding(**fields), episodes=3)
    assert (result.unstable > 0).all()
    row = result.to_row()
    assert row["unstable_episodes"] == 3
    assert row["unstable_step"] == result.unstable.min()
    assert not list(Path().iterdir())
    stable = wormwood.evaluate("zero", body="swimmer-3", episodes=2)
    assert stable.to_row()["unstable_episodes"] == 0
    assert stable.to_row()["unstable_step"] is None


def test_no_reader_of_models_leaves_a_log() -> None:
    model = '<mujoco><option timestep="nan"/><worldbody/></mujoco>'
    code = f"""
import warnings
from wormwood.envs.bodies import body_from_mapping, swimmer
from wormwood.envs.families.half_cheetah import CheetahDirection
from wormwood.errors import BadInput
try:
    body_from_mapping({{"mjcf": {model!r}}}, name="mine", where="test")
except BadInput:
    pass
CheetahDirection().dynamics(2)
from wormwood.envs.faces.dm_control import load_environment  # has a handler of its own
environment = load_environment(swimmer(6, gear=1e3), "swim", seed=0)
environment.reset()
while not (step := environment.step([1.0] * 5)).last():
    pass
assert step.discount == 0.0
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert "deprecated" not in ended.stderr
    assert not list(Path().iterdir())


def test_the_commands_say_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("exploding.yaml").write_text("links: 6\ngear: 1000.0\n")
    assert main(["evaluate", "ncap", "--body", "exploding.yaml", "--episodes", "2"]) == 0
    printed = capsys.readouterr()
    assert "exploding: unstable in 2 of 2 episodes, from step 1 on" in printed.out + printed.err
    Path("suite.yaml").write_text(
        "task_options: {horizon: 30}\naxes: {links: 6}\nbodies:\n"
        "- {body: swimmer-6, label: home}\n- {body: exploding.yaml, label: extrapolation, axis: links, value: 3}\n"
    )
    assert main(["transfer", "ncap", "--suite", "suite.yaml", "--seeds", "2", "--out", "report"]) == 0
    printed = capsys.readouterr()
    assert "unstable in 2 starts, from step 1" in " ".join((printed.out + printed.err).split())
    rows = {row["body"]: row for row in csv.DictReader(Path("report/results.csv").read_text().splitlines())}
    assert (rows["exploding"]["unstable"], rows["exploding"]["unstable_step"]) == ("2", "1")
    assert (rows["swimmer-6"]["unstable"], rows["swimmer-6"]["unstable_step"]) == ("0", "")
    found = json.loads(Path("report/results.json").read_text())
    assert [row["unstable"] for row in found["rows"]] == [0, 2]
    assert "2 starts, from step 1" in Path("report/report.html").read_text()
    assert not list(Path().rglob("MUJOCO_LOG.TXT"))
