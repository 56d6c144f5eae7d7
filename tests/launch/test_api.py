"""What Python users call does what the command line does, with the same files and the same bits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wormwood.configs.yaml_files import parse_mapping
from wormwood.envs.bodies import load_body
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.launch.api import evaluate, train, transfer
from wormwood.launch.cli.main import main
from wormwood.launch.run.agent_files import load_agent
from wormwood.launch.run.training import Interrupted, Watcher

PRESET = """
agent: {kind: ncap}
learner: {kind: cma-es, population: 4, starts: 2}
iterations: 2
body: swimmer-4
task_options: {horizon: 60}
"""
SUITE = """
task_options: {horizon: 30}
axes: {links: 6}
bodies:
- {body: swimmer-6, label: home}
- {body: swimmer-3, label: extrapolation, axis: links, value: 3}
"""


@pytest.fixture(autouse=True)
def _files() -> None:
    Path("preset.yaml").write_text(PRESET)
    Path("suite.yaml").write_text(SUITE)


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def _files_of(folder: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


# --- train ---


def test_a_training_is_that_of_the_command_line_whether_it_is_named_or_written_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = _json(capsys, "train", "preset.yaml", "--seed", "3", "--out", "told")
    by_file = train(Path("preset.yaml"), out=Path("by-file"), seed=3)
    mapping = {**parse_mapping(PRESET, where="test"), "seed": np.int64(3)}
    by_mapping = train(mapping, out="by-mapping")
    assert {by_file["state_sha256"], by_mapping["state_sha256"]} == {told["state_sha256"]}
    assert by_file | {"run": 0, "seconds": 0} == told | {"run": 0, "seconds": 0}
    assert _files_of("by-file") == _files_of("by-mapping") == _files_of("told")
    configs = {Path(run, "config.yaml").read_text() for run in ("told", "by-file", "by-mapping")}
    assert len(configs) == 1
    assert mapping["seed"] == 3, "what was given is left as it was"


def test_a_training_goes_on_and_tells_a_watcher() -> None:
    seen: list[int] = []
    watcher = Watcher(advanced=lambda metrics: seen.append(metrics["iteration"]))
    first = train("preset.yaml", overrides=["iterations=1"], watcher=watcher)
    assert first["run"] == "runs/preset-seed-0"
    assert train(parse_mapping(PRESET, where="test"))["run"] == "runs/run-seed-0"
    again = train(out=first["run"], resume=True, overrides=["iterations=2"], watcher=watcher)
    assert seen == [1, 2]
    assert again["state_sha256"] == train("preset.yaml", out="whole")["state_sha256"]


def test_a_training_that_is_stopped_says_how_to_go_on() -> None:
    def stop(metrics: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="stopped; go on with: wormwood train --out r --resume"):
        train("preset.yaml", out="r", watcher=Watcher(advanced=stop))


@pytest.mark.parametrize(
    ("preset", "options", "message"),
    [
        (None, {}, "missing preset in train"),
        ("swim-ncap-cam", {}, "nearest: 'swim-ncap-cma'"),
        ({"agent": {"kind": "nacp"}}, {}, "agent.kind in configuration: .*nearest: 'ncap'"),
        ({**parse_mapping(PRESET, where="test"), "bdy": 1}, {}, "unknown key bdy in configuration: .*nearest: 'body'"),
        ({"body": Swim()}, {}, "value in configuration: expected plain values"),
        (None, {"resume": True}, "--out with the folder of a run"),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_line(preset: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as error:
        train(preset, **options)
    assert "\n" not in str(error.value)
    assert not Path("runs").exists()


# --- evaluate ---


def test_an_evaluation_takes_names_and_objects_and_is_that_of_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (row,) = _json(capsys, "evaluate", "ncap", "--body", "swimmer-3", "--episodes", "2", "--seed", "5")["results"]
    by_name = evaluate("ncap", body="swimmer-3", task="swim", episodes=2, seed=5)
    by_object = evaluate(load_agent("ncap"), body=load_body("swimmer-3"), task=Swim(), episodes=2, seed=5)
    assert by_name.to_row() == by_object.to_row() == row
    assert evaluate("zero", task=Swim(horizon=20), episodes=1).label == "swimmer-6"


def test_a_trained_agent_is_evaluated_where_it_was_trained_unless_told_otherwise() -> None:
    summary = train("preset.yaml", out="r")
    assert evaluate("r").returns.mean() == summary["return_mean"]
    assert evaluate(Path("r/agent"), body="swimmer-6", episodes=1).label == "swimmer-6"


def test_what_cannot_be_evaluated_is_said_in_one_line() -> None:
    for arguments, message in (
        ({"agent": "nacp"}, "nearest: 'ncap'"),
        ({"agent": "ncap", "body": "swimmer6"}, "nearest: 'swimmer-6'"),
        ({"agent": "ncap", "task": "swin"}, "nearest: 'swim'"),
        ({"agent": "ncap", "episodes": 0}, "episodes in evaluate: expected a whole number of at least 1, got 0"),
    ):
        with pytest.raises(BadInput, match=message):
            evaluate(**arguments)


# --- transfer ---


def test_a_report_is_that_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    told = _json(capsys, "transfer", "ncap", "zero", "--suite", "suite.yaml", "--seeds", "2", "--out", "told")
    report = transfer(["ncap", load_agent("zero")], suite=Path("suite.yaml"), seeds=2, out="r")
    assert report.page == Path("r/report.html")
    assert [{name: row[name] for name in told["rows"][0]} for row in report.results.rows] == told["rows"]
    assert _files_of("r") == _files_of("told")
    again = transfer("random", out="r", resume=True)
    assert [row["agent"] for row in again.results.rows][::2] == ["ncap", "zero", "random"]


def test_what_cannot_be_reported_is_said_in_one_line() -> None:
    with pytest.raises(BadInput, match="each agent once"):
        transfer(["ncap", "ncap"], suite="suite.yaml")
    with pytest.raises(BadInput, match="nearest: 'quick'"):
        transfer("ncap", suite="quik")
    with pytest.raises(BadInput, match=r"unknown option in transfer: .*nearest: 'retention'"):
        transfer("ncap", suite="suite.yaml", retentoin=True)
    with pytest.raises(BadInput, match="adapt in transfer: expected no or pad, got True"):
        transfer("ncap", suite="suite.yaml", adapt=True)
    with pytest.raises(BadInput, match="share in transfer: expected a number from"):
        transfer("ncap", suite="suite.yaml", fine_tune=[-1.0])
    assert not Path("runs").exists()


EVALUATE: Any = evaluate
TRAIN: Any = train
TRANSFER: Any = transfer


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: EVALUATE("ncap", episodes=2.5),
            "episodes in evaluate: expected a whole number of at least 1, got 2.5",
        ),
        (lambda: EVALUATE("ncap", episodes=True), "episodes in evaluate: .* got True"),
        (lambda: EVALUATE("ncap", seed=-1), "seed in evaluate: expected a whole number of at least 0, got -1"),
        (lambda: EVALUATE("ncap", seed=1.5), "seed in evaluate: .* got 1.5"),
        (lambda: EVALUATE(None), "agent in evaluate: expected a name or a path, got None"),
        (lambda: EVALUATE("ncap", body=5), "body in environment: expected a Body, its name or its file, got 5"),
        (lambda: EVALUATE("ncap", task=5), "task in environment: expected a name or a Task, got 5"),
        (lambda: TRAIN("preset.yaml", workers=-1), "workers in train: expected a whole number of at least 0, got -1"),
        (lambda: TRAIN("preset.yaml", workers="2"), "workers in train: .* got '2'"),
        (lambda: TRAIN("preset.yaml", seed="1"), "seed in train: .* got '1'"),
        (lambda: TRAIN("preset.yaml", overrides="body=swimmer-3"), "overrides in train: expected a list such as"),
        (lambda: TRAIN(3), "preset in train: expected a name or a path, got 3"),
        (lambda: TRANSFER("ncap", suite="suite.yaml", seeds=0), "seeds in transfer: .* at least 1, got 0"),
        (lambda: TRANSFER("ncap", suite=5), "suite in transfer: expected a name or a path, got 5"),
    ],
)
def test_arguments_of_the_wrong_kind_are_one_line_before_anything_is_made(call: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        call()
    assert not Path("runs").exists()
