"""The verb as users and their scripts see it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stable_baselines3 import PPO

from wormwood.launch.cli.main import main

COMMAND = [sys.executable, "-m", "wormwood"]
SUITE = """
task_options: {horizon: 30}
axes: {links: 6}
bodies:
- {body: swimmer-6, label: home}
- {body: swimmer-3, label: extrapolation, axis: links, value: 3}
"""
KEYS = ["agent", "body", "label", "return_iqm", "return_low", "return_high", "speed_mean", "retention"]


@pytest.fixture(autouse=True)
def _suite() -> None:
    Path("s.yaml").write_text(SUITE)


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main(["transfer", *arguments, "--suite", "s.yaml", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out)


def _error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["transfer", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_it_prints_the_keys_that_scripts_rely_on(capsys) -> None:
    result = _json(capsys, "ncap", "zero", "--seeds", "3", "--out", "r")
    assert list(result) == ["report", "rows"]
    assert result["report"] == "r/report.html"
    assert [list(row) for row in result["rows"]] == [KEYS] * 4
    assert [(row["agent"], row["body"], row["label"]) for row in result["rows"]] == [
        ("ncap", "swimmer-6", "home"),
        ("ncap", "swimmer-3", "extrapolation"),
        ("zero", "swimmer-6", "home"),
        ("zero", "swimmer-3", "extrapolation"),
    ]
    for name in ("report.html", "results.json", "results.csv", "heat-map.png", "curves.png", "profile.png"):
        assert (Path("r") / name).is_file()
    assert "wormwood transfer ncap zero --suite s.yaml --seeds 3 --out r" in Path("r/report.html").read_text()


def test_a_finished_report_is_made_again_without_measuring_and_agents_can_join(capsys) -> None:
    first = _json(capsys, "ncap", "--seeds", "2", "--out", "r")
    files = {file: file.stat().st_mtime_ns for file in Path("r/outcomes").iterdir()}
    assert len(files) == 2
    both = _json(capsys, "ncap", "random", "--seeds", "2", "--out", "r", "--resume")
    assert both["rows"][:2] == first["rows"]
    assert {file: file.stat().st_mtime_ns for file in files} == files
    assert len(list(Path("r/outcomes").iterdir())) == 4


def test_a_report_without_a_folder_gets_a_new_one(capsys) -> None:
    reports = [_json(capsys, "zero", "--seeds", "1")["report"] for _ in range(2)]
    assert reports == ["runs/transfer-s/report.html", "runs/transfer-s-2/report.html"]


def test_for_people_there_is_a_table_and_a_reason_for_what_is_missing(capsys) -> None:
    small = ["--set", "task_options.horizon=30", "--set", "iterations=1", "--out"]
    assert main(["train", "swim-mlp-es", *small, "a/run"]) == 0
    assert main(["train", "swim-mlp-es", *small, "b/run", "--seed", "1"]) == 0
    capsys.readouterr()
    arguments = ["transfer", "a/run", "b/run", "--suite", "s.yaml", "--seeds", "1"]
    assert main([*arguments, "--out", "r"]) == 0
    shown = capsys.readouterr()
    assert "cannot act" in shown.out
    assert "report: r/report.html" in shown.out
    # Two runs of the same name are told apart by their paths.
    assert "a/run cannot act on 1 bodies" in shown.err
    assert "--adapt pad" in shown.err
    assert main([*arguments, "--out", "p", "--adapt", "pad"]) == 0
    assert "cannot act" not in capsys.readouterr().out


def test_a_zip_of_a_plain_script_is_judged_on_other_bodies_by_one_command(capsys) -> None:
    PPO("MlpPolicy", "Swimmer-v5", n_steps=64, batch_size=64, device="cpu", seed=0).learn(64).save("swimmer")
    alone = _json(capsys, "ppo:swimmer.zip", "--seeds", "1", "--out", "r")["rows"]
    assert [row["return_iqm"] is None for row in alone] == [True, False]
    padded = _json(capsys, "ppo:swimmer.zip", "--seeds", "1", "--out", "p", "--adapt", "pad")["rows"]
    assert padded[1] == alone[1], "three links fit as they are"
    assert padded[0]["return_iqm"] >= 0


def test_suites_are_listed(capsys) -> None:
    assert main(["list", "suites", "--json"]) == 0
    suites = {entry["name"]: entry["summary"] for entry in json.loads(capsys.readouterr().out)["suites"]}
    assert suites["links"] == "Swimmers of 2 to 25 links."
    assert set(suites) >= {"standard", "links", "quick"}


def test_what_is_wrong_is_said_in_one_line(capsys) -> None:
    assert "nearest: 'ncap'" in _error(capsys, "ncpa")
    assert "nearest: 'standard'" in _error(capsys, "ncap", "--suite", "standrad")
    assert "each agent once" in _error(capsys, "ncap", "zero", "ncap")
    assert "--out with the folder" in _error(capsys, "ncap", "--resume")
    assert "expected the folder of a report, got 'r'" in _error(capsys, "ncap", "--resume", "--out", "r")
    assert "at least 1" in _error(capsys, "ncap", "--seeds", "0")
    assert "expected one of no, pad" in _error(capsys, "ncap", "--adapt", "all")
    Path("full").mkdir()
    Path("full/file").touch()
    assert "is not empty and has no report" in _error(capsys, "ncap", "--suite", "s.yaml", "--out", "full")
    assert "--out full/file is not empty" in _error(capsys, "ncap", "--suite", "s.yaml", "--out", "full/file")
    assert main(["transfer", "zero", "--suite", "s.yaml", "--seeds", "1", "--out", "r", "--json"]) == 0
    capsys.readouterr()
    assert "already has a report: add --resume" in _error(capsys, "zero", "--suite", "s.yaml", "--out", "r")
    assert main(["train", "cartpole-mlp-ppo", "--set", "iterations=1", "--out", "cart"]) == 0
    capsys.readouterr()
    assert "expected an agent that swims" in _error(capsys, "cart")
    assert not Path("runs").exists(), "nothing is left of what was refused"


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 0), pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow)],
)
def test_ctrl_c_leaves_with_a_line_that_says_how_to_go_on(number: int, workers: int) -> None:
    bodies = "\n".join(f"- {{body: swimmer-{links}, label: extrapolation}}" for links in range(2, 26))
    Path("s.yaml").write_text(f"task_options: {{horizon: 200}}\nbodies:\n{bodies}\n")
    arguments = ["transfer", "ncap", "--suite", "s.yaml", "--seeds", "1", *(["--workers", "2"] if workers else [])]
    process = subprocess.Popen(
        [*COMMAND, *arguments, "--out", "r"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background lets them ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 200
        while not list(Path("r/outcomes").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, number)  # as a terminal does: the whole group gets it
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    done = len(list(Path("r/outcomes").glob("*.json")))
    again = " ".join([*arguments, "--out", "r", "--resume"])
    assert said == f"wormwood: stopped after {done} of 24; go on with: wormwood {again}\n"
