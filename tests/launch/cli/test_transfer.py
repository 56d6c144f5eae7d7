"""The verb as users and their scripts see it."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
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
KEYS = [
    *("agent", "body", "label", "return_iqm", "return_low", "return_high", "speed_mean", "retention"),
    *("unstable", "unstable_step", "control_timestep", "trained_timestep"),
]


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


def test_agents_join_a_report_under_its_own_terms(capsys) -> None:
    first = _json(capsys, "ncap", "--seeds", "3", "--seed", "5", "--out", "r")["rows"]
    files = {file: file.read_bytes() for file in Path("r/outcomes").iterdir()}
    # Suite, starts and seed are those of the report, from any folder.
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")
    assert main(["transfer", "zero", "--out", "../r", "--resume", "--json"]) == 0
    os.chdir("..")
    both = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["agent"], row["body"]) for row in both] == [
        (agent, body) for agent in ("ncap", "zero") for body in ("swimmer-6", "swimmer-3")
    ]
    assert both[:2] == first
    assert both == _json(capsys, "ncap", "zero", "--seeds", "3", "--seed", "5", "--out", "at-once")["rows"]
    assert {file: file.read_bytes() for file in files} == files, "what was measured stays"
    described = json.loads(Path("r/results.json").read_text())
    assert set(described["returns"]) == {"ncap", "zero"}
    assert "wormwood transfer ncap zero --suite" in described["command"]
    # Whoever is named again is not there twice, and the other way round it is the same.
    assert _json(capsys, "ncap", "--out", "r", "--resume", "--seeds", "3")["rows"] == both
    assert main(["transfer", "zero", "--suite", "s.yaml", "--seeds", "3", "--seed", "5", "--out", "b", "--json"]) == 0
    capsys.readouterr()
    other_way = _json(capsys, "ncap", "--out", "b", "--resume")["rows"]
    assert [row["agent"] for row in other_way] == ["zero", "zero", "ncap", "ncap"]
    assert sorted(other_way, key=str) == sorted(both, key=str)


def _suite_of_files() -> Path:
    """Write a suite whose bodies are files beside it, in a folder with blanks in its name."""
    folder = Path("my suites").resolve()
    folder.mkdir()
    model = Path(gymnasium.__file__).parent / "envs/mujoco/assets/swimmer.xml"
    (folder / "my fish.xml").write_text(model.read_text())
    (folder / "long tail.yaml").write_text("links: 4\n")
    (folder / "s.yaml").write_text(
        "task_options: {horizon: 30}\nbodies:\n- {body: long tail.yaml, label: home}\n"
        "- {body: my fish.xml, label: extrapolation}\n"
        "- {body: {name: lame, mjcf: my fish.xml, lesioned: [0]}, label: extrapolation}\n"
    )
    return folder / "s.yaml"


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_files_of_a_suite_stand_beside_it_wherever_the_command_is_given(workers: str, capsys, monkeypatch) -> None:
    suite, here, there = _suite_of_files(), Path.cwd(), Path("else where")
    there.mkdir()
    monkeypatch.chdir(there)
    arguments = ["transfer", "ncap", "--suite", str(suite), "--seeds", "2", "--out", str(here / "r")]
    assert main([*arguments, "--workers", workers, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["rows"]
    assert [row["body"] for row in first] == ["long tail", "my fish", "lame"]
    assert all(row["return_iqm"] is not None for row in first)
    outcomes = {file: file.stat().st_mtime_ns for file in (here / "r/outcomes").iterdir()}
    monkeypatch.chdir(here)
    again = ["transfer", "ncap", "--suite", "my suites/s.yaml", "--out", "r", "--resume", "--workers", workers]
    assert main([*again, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == first
    assert {file: file.stat().st_mtime_ns for file in outcomes} == outcomes, "nothing is measured again"


def test_padding_far_beyond_home_is_marked_finite_and_equal_to_home_at_home(capsys) -> None:
    model = PPO("MlpPolicy", "Swimmer-v5", n_steps=64, batch_size=64, device="cpu", seed=0)
    model.learn(64).save("three links")
    Path("s.yaml").write_text(
        "task_options: {horizon: 200}\nbodies:\n- {body: swimmer-3, label: home}\n"
        "- {body: swimmer-2, label: extrapolation}\n- {body: swimmer-25, label: extrapolation}\n"
    )
    alone = _json(capsys, "ppo:three links.zip", "--seeds", "2", "--out", "alone")["rows"]
    padded = _json(capsys, "ppo:three links.zip", "--seeds", "2", "--out", "padded", "--adapt", "pad")["rows"]
    assert [row["return_iqm"] is None for row in alone] == [False, True, True]
    assert padded[0] == alone[0]
    with Path("padded/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["adapted"] for row in rows] == ["False", "True", "True"]
    for row in rows:
        assert all(
            math.isfinite(float(row[name])) for name in ("return_iqm", "return_low", "return_high", "speed_mean")
        )
    assert Path("padded/report.html").read_text().count(" *<small>") == 2


def test_a_standardised_observation_stays_finite_on_a_padded_body(capsys) -> None:
    small = ["--set", "task_options.horizon=60", "--set", "iterations=2", "--set", "body=swimmer-3", "--out", "r"]
    assert main(["train", "swim-mlp-ppo", *small]) == 0
    capsys.readouterr()
    Path("s.yaml").write_text(
        "task_options: {horizon: 60}\n"
        "bodies: [{body: swimmer-3, label: home}, {body: swimmer-25, label: combination}]\n"
    )
    padded = _json(capsys, "r", "--seeds", "2", "--out", "p", "--adapt", "pad")["rows"]
    assert all(0 <= row["return_iqm"] <= 60 and math.isfinite(row["speed_mean"]) for row in padded)
    assert padded[0] == _json(capsys, "r", "--seeds", "2", "--out", "a")["rows"][0]


def test_nobody_joins_a_report_under_other_terms(capsys) -> None:
    _json(capsys, "ncap", "--seeds", "2", "--out", "r")
    before = {file: file.read_bytes() for file in Path("r").rglob("*") if file.is_file()}
    own = "in transfer --resume r: expected the report's own"
    assert f"--suite {own}" in _error(capsys, "zero", "--out", "r", "--resume", "--suite", "links")
    assert f"--seeds {own} 2, got 3" in _error(capsys, "zero", "--out", "r", "--resume", "--seeds", "3")
    assert f"--seed {own} 0, got 1" in _error(capsys, "zero", "--out", "r", "--resume", "--seed", "1")
    assert f"--adapt {own} 'no', got 'pad'" in _error(capsys, "zero", "--out", "r", "--resume", "--adapt", "pad")
    Path("s.yaml").write_text(SUITE.replace("swimmer-3", "swimmer-4"))
    assert "expected the suite as it was then" in _error(capsys, "zero", "--out", "r", "--resume")
    Path("s.yaml").unlink()
    assert "unreadable suite file" in _error(capsys, "zero", "--out", "r", "--resume")
    assert before == {file: file.read_bytes() for file in Path("r").rglob("*") if file.is_file()}
    Path("s.yaml").write_text(SUITE)
    Path("r/report.json").write_text('{"members": [')
    assert "damaged report in r/report.json" in _error(capsys, "zero", "--out", "r", "--resume")
    Path("r/report.json").unlink()
    assert "a report of an earlier version" in _error(capsys, "zero", "--out", "r", "--resume")


def test_a_record_names_no_file_outside_of_the_report(capsys) -> None:
    _json(capsys, "ncap", "--seeds", "1", "--out", "r")
    record = json.loads(Path("r/report.json").read_text())
    record["members"][0]["outcomes"]["swimmer-6"] = "../../secret"
    Path("r/report.json").write_text(json.dumps(record))
    assert "damaged report" in _error(capsys, "zero", "--out", "r", "--resume")


def test_who_was_not_finished_is_named(capsys) -> None:
    _json(capsys, "ncap", "zero", "--seeds", "1", "--out", "r")
    record = json.loads(Path("r/report.json").read_text())
    lost = record["members"][0]["outcomes"]["swimmer-3"]
    (Path("r/outcomes") / f"{lost}.json").unlink()
    assert main(["transfer", "random", "--out", "r", "--resume"]) == 0
    shown = capsys.readouterr()
    assert "ncap was not finished in this report: to have it there, name it, too." in shown.err
    assert [row["agent"] for row in json.loads(Path("r/results.json").read_text())["rows"]] == 2 * ["zero"] + 2 * [
        "random"
    ]


def test_training_runs_are_one_group_with_intervals_over_runs(capsys) -> None:
    small = ["--set", "task_options.horizon=30", "--set", "iterations=1"]
    for seed in range(3):
        assert main(["train", "swim-mlp-es", *small, "--seed", str(seed), "--out", f"runs/mlp-{seed}"]) == 0
    capsys.readouterr()
    assert main(["transfer", "nets=runs/mlp-*", "runs/mlp-0", "--suite", "s.yaml", "--seeds", "2", "--out", "r"]) == 0
    shown = capsys.readouterr()
    assert "nets: intervals over 3 training runs; mlp-0: intervals over the starts of one policy" in shown.err
    described = json.loads(Path("r/results.json").read_text())
    home, far, alone = described["rows"][:3]
    returns = described["returns"]["nets"]["swimmer-6"]
    assert list(returns) == [f"nets=runs/mlp-{seed}" for seed in range(3)]
    means = [sum(each) / 2 for each in returns.values()]
    assert home["return_iqm"] == pytest.approx(sum(means) / 3)
    assert min(means) <= home["return_low"] <= home["return_iqm"] <= home["return_high"] <= max(means)
    assert (home["runs"], home["interval_over"], alone["runs"], alone["interval_over"]) == (3, "runs", 1, "starts")
    assert far["reason"] is not None
    assert described["returns"]["mlp-0"]["swimmer-6"] == returns["nets=runs/mlp-0"]
    assert "3 runs" in Path("r/report.html").read_text()
    # A run that joins its group is one of it.
    assert main(["train", "swim-mlp-es", *small, "--seed", "3", "--out", "runs/late"]) == 0
    capsys.readouterr()
    rows = _json(capsys, "nets=runs/late", "--seeds", "2", "--out", "r", "--resume")["rows"]
    assert [row["agent"] for row in rows] == ["nets", "nets", "mlp-0", "mlp-0"]
    assert json.loads(Path("r/results.json").read_text())["rows"][0]["runs"] == 4


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
    assert "retention" not in shown.out, "nothing was compared with specialists"
    assert "padded" not in shown.out
    assert main([*arguments, "--out", "p", "--adapt", "pad"]) == 0
    padded = capsys.readouterr().out
    assert "cannot act" not in padded
    marked = [line.split()[1] for line in padded.splitlines() if "padded" in line]
    assert marked == ["swimmer-3"] * 2, "only those that are padded are marked"


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
    assert "threshold in transfer: expected none without fine_tune" in _error(capsys, "ncap", "--threshold", "0.5")
    assert "specialists in transfer: expected none without retention" in _error(capsys, "ncap", "--specialists", "d")
    assert "--threshold: expected a share of at least" in _error(capsys, "ncap", "--threshold", "nan")
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
