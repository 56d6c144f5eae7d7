"""The command as users and their scripts see it: exit codes, one line for what is wrong, one JSON object."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import gymnasium
import pytest
import torch

from wormwood.launch.cli.main import main
from wormwood.launch.run.run_folder import read_metrics

SMALL = ["--set", "task_options.horizon=60", "--set", "iterations=2", "--set", "body=swimmer-4"]
COMMAND = [sys.executable, "-m", "wormwood"]


def _json(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def _error(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err


def test_train_prints_the_keys_that_scripts_rely_on(capsys) -> None:
    result = _json(capsys, "train", "swim-ncap-cma", *SMALL, "--seed", "3", "--out", "r")
    assert list(result)[:7] == ["run", "seed", "workers", "steps", "episodes", "seconds", "return_mean"]
    assert {"return_std", "state_sha256"} < set(result)
    # 8 candidates, 60 steps each, twice.
    assert (result["run"], result["seed"], result["workers"], result["steps"], result["episodes"]) == (
        "r",
        3,
        0,
        960,
        16,
    )
    for name in ("config.yaml", "metrics.jsonl", "summary.json", "curve.png", "agent/agent.json"):
        assert (Path("r") / name).is_file(), name


def test_a_run_can_be_evaluated_inspected_filmed_and_trained_again_from_its_own_configuration(capsys) -> None:
    first = _json(capsys, "train", "swim-ncap-cma", *SMALL, "--out", "r")
    result = _json(capsys, "evaluate", "r", "--body", "swimmer-3", "viscous", "--episodes", "2")
    rows = result["results"]
    assert [(row["agent"], row["body"], row["episodes"]) for row in rows] == [
        ("r", "swimmer-3", 2),
        ("r", "viscous", 2),
    ]
    expected = {"agent", "body", "episodes", "return_mean", "return_std", "speed_mean"}
    steps = {"unstable_episodes", "unstable_step", "control_timestep", "trained_timestep"}
    assert set(rows[0]) == expected | steps
    assert _json(capsys, "inspect", "r", "--out", "i")["period"]["steps"] > 0
    assert sorted(path.name for path in Path("i").iterdir()) == ["circuit.json", "circuit.png"]
    for name in ("v.gif", "v.mp4", "deep/v.png"):
        assert _json(capsys, "video", "r", "--out", name, "--seconds", "1")["out"] == name
        assert Path(name).stat().st_size > 1000
    again = _json(capsys, "train", "r/config.yaml", "--out", "r2")
    assert again["state_sha256"] == first["state_sha256"]


def test_runs_without_a_folder_get_new_ones(capsys) -> None:
    runs = [_json(capsys, "train", "swim-ncap-es", *SMALL)["run"] for _ in range(2)]
    assert runs == ["runs/swim-ncap-es-seed-0", "runs/swim-ncap-es-seed-0-2"]


def test_text_output_names_what_was_made(capsys) -> None:
    assert main(["train", "swim-ncap-cma", *SMALL, "--out", "r"]) == 0
    shown = capsys.readouterr().out
    assert "state_sha256" in shown
    assert "wormwood evaluate r" in shown
    assert main(["evaluate", "random", "--episodes", "1"]) == 0
    assert "random" in capsys.readouterr().out
    assert main(["inspect", "mlp"]) == 0
    assert "parameters" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["presets", "bodies", "tasks", "families", "agents"])
def test_lists_say_what_each_entry_is(what: str, capsys) -> None:
    entries = _json(capsys, "list", what)[what]
    assert len(entries) >= 4
    assert all(entry["name"] and len(entry["summary"]) > 10 for entry in entries)


def test_what_is_listed_is_whole_sentences(capsys) -> None:
    listed = {
        what: {entry["name"]: entry["summary"] for entry in _json(capsys, "list", what)[what]}
        for what in ("presets", "tasks", "families", "bodies", "suites")
    }
    assert listed["presets"]["swim-ncap-lame-cma"].endswith(
        "two bodies at once: whole, and with a dead motor at the head."
    )
    assert listed["presets"]["tabular-mdp-10-transformer"].endswith("a classic policy for them, then by itself.")
    for what in ("presets", "tasks", "families", "suites"):
        for name, summary in listed[what].items():
            assert summary.endswith((".", "!", "?")), name
            assert len(summary) < 200, name


def _table(shown: str) -> list[list[str]]:
    """Return the cells of the first table that was printed: two blanks part columns."""
    lines = [re.split(r" {2,}", line.strip()) for line in shown.splitlines() if line.strip()]
    start = next(number for number, line in enumerate(lines) if line[0] == "agent")
    return [lines[start], *(line for line in lines[start + 1 : start + 3] if len(line) > 1)]


def test_returns_have_their_interval_and_as_many_digits_as_it_leaves(capsys) -> None:
    assert (
        main(["train", "bandit-5-10-rl2", "--set", "iterations=1", "--set", "evaluation_episodes=9", "--out", "b"]) == 0
    )
    capsys.readouterr()
    (row,) = _json(capsys, "evaluate", "b", "--episodes", "400")["results"]
    assert main(["evaluate", "b", "--episodes", "400"]) == 0
    head, cells = _table(capsys.readouterr().out)[:2]
    assert head == ["agent", "environment", "episodes", "return", "95 % interval", "± over episodes"], (
        "it does not swim"
    )
    # A deviation of about 3 over 400 trials: the mean is known to 0.15, and t to 1.97.
    half = 1.966 * row["return_std"] / 399**0.5
    mean = row["return_mean"]
    assert cells[3:] == [f"{mean:.2f}", f"{mean - half:.2f} to {mean + half:.2f}", f"{row['return_std']:.2f}"]
    assert main(["evaluate", "zero", "--episodes", "2"]) == 0
    assert main(["evaluate", "ncap", "--episodes", "1"]) == 0
    zero, ncap = capsys.readouterr().out.split("task swim")[1:]
    assert _table(zero)[1][3:] == ["0.0", "0.0 to 0.0", "0.0", "0.000"]
    assert _table(ncap)[1][:3] == ["ncap", "swimmer-6", "1"]


def test_the_untrained_circuit_from_the_command_line(capsys) -> None:
    (row,) = _json(capsys, "evaluate", "ncap")["results"]
    assert (row["body"], row["episodes"]) == ("swimmer-6", 10)
    assert row["return_mean"] == pytest.approx(798, abs=10)


def test_an_evaluation_does_not_depend_on_the_number_of_episodes_or_on_other_bodies(capsys) -> None:
    small = ["--task", "swim"]
    alone = _json(capsys, "evaluate", "mlp", "--body", "swimmer-3", "--episodes", "10", *small)["results"][0]
    among = _json(capsys, "evaluate", "mlp", "--body", "swimmer-4", "swimmer-3", "--episodes", "10", *small)["results"]
    assert among[1] == alone


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "unknown verb .*nearest: 'train'"),
        ([], "required: verb"),
        (["train"], "missing preset"),
        (["train", "swim-ncap-cam"], "unknown preset .*nearest: 'swim-ncap-cma'"),
        (["train", "swim-ncap-cma", "--worker", "2"], "unknown argument .*nearest: '--workers'"),
        (["train", "swim-ncap-cma", "--workers", "two"], "--workers: expected a whole number of at least 0, got 'two'"),
        (["train", "swim-ncap-cma", "--set", "bdy=x"], "unknown key bdy .*nearest: 'body'"),
        (["train", "swim-ncap-cma", "--resume"], "expected --out with the folder of a run"),
        (["train", "--resume", "--out", "none"], "none is not a run folder"),
        (["evaluate", "nacp"], "unknown agent .*nearest: 'ncap'"),
        (["evaluate", "ncap", "--body", "swimmer6"], "unknown body .*nearest: 'swimmer-6'"),
        (["evaluate", "ncap", "--body", "swimmer-1"], "links in body swimmer-1: expected a whole number of at least 2"),
        (["evaluate", "ncap", "--task", "swin"], "unknown task .*nearest: 'swim'"),
        (["evaluate", "ncap", "--episodes", "0"], "--episodes: expected a whole number of at least 1, got '0'"),
        (["video", "ncap", "--out", "a.avi"], r"expected one that ends in \.mp4, \.gif or \.png, got 'a\.avi'"),
        (["list", "preset"], "nearest: 'presets'"),
        (["bench", "rolout"], "nearest: 'rollout'"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(arguments: list[str], message: str, capsys) -> None:
    line = _error(capsys, *arguments)
    assert line.startswith("wormwood: ")
    assert re.search(message, line), line
    assert not any(Path().iterdir()), "nothing is left behind"


def test_a_folder_in_use_or_not_writable_is_bad_input_and_keeps_what_is_in_it(capsys, tmp_path: Path) -> None:
    _json(capsys, "train", "swim-ncap-es", *SMALL, "--out", "r")
    before = {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()}
    assert "already has a run: add --resume" in _error(capsys, "train", "swim-ncap-es", *SMALL, "--out", "r")
    changed = _error(capsys, "train", "--resume", "--out", "r", "--set", "learner.sigma=0.5")
    assert "learner.sigma in train --resume r: expected the run's own 0.2" in changed
    assert before == {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()}
    Path("file").write_text("")
    assert "cannot write to the output folder file/r" in _error(capsys, "train", "swim-ncap-es", "--out", "file/r")


def test_agents_that_do_not_fit_and_damaged_ones_are_bad_input(capsys) -> None:
    _json(capsys, "train", "swim-mlp-es", *SMALL, "--set", "learner.population=4", "--out", "r")
    assert "agent does not fit the environment" in _error(capsys, "evaluate", "r", "--body", "swimmer-7")
    weights = Path("r/agent/agent.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "damaged weights" in _error(capsys, "evaluate", "r")
    weights.write_bytes(data[:10])
    assert "damaged weights" in _error(capsys, "evaluate", "r")
    weights.unlink()
    assert "damaged agent" in _error(capsys, "evaluate", "r")
    Path("r/agent/agent.json").write_text("{")
    assert "damaged agent" in _error(capsys, "evaluate", "r")


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        (signal.SIGINT, 0),
        pytest.param(signal.SIGTERM, 0, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_leaves_a_checkpoint_says_how_to_go_on_and_exits_with_130(number: int, workers: int, capsys) -> None:
    small = ["--set", "task_options.horizon=60", "--set", "body=swimmer-4"]
    whole = _json(capsys, "train", "swim-ncap-cma", *small, "--set", "iterations=60", "--out", "whole")
    many = [*small, "--set", "iterations=1000000", "--out", "parts", "--workers", str(workers)]
    process = subprocess.Popen(
        [*COMMAND, "train", "swim-ncap-cma", *many],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background lets them ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while len(read_metrics(Path("parts/metrics.jsonl"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(process.pid, number)  # as a terminal does: the whole group gets it
        _, printed = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, printed
    assert printed.strip().endswith("stopped; go on with: wormwood train --out parts --resume")
    # It is stopped long before its million iterations; 60 in all are what the uninterrupted run has.
    done = len(read_metrics(Path("parts/metrics.jsonl")))
    if done > 60:
        pytest.skip(f"the run was faster than the signal: {done} iterations")
    parts = _json(capsys, "train", "--out", "parts", "--resume", "--set", "iterations=60")
    assert parts["state_sha256"] == whole["state_sha256"]


@pytest.mark.parametrize("change", ["device=cuda", "agent.learn_period=true", "task=gymnasium-forward"])
def test_a_run_that_cannot_begin_leaves_no_folder(change: str, capsys) -> None:
    if change == "device=cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    _error(capsys, "train", "swim-ncap-ppo", "--set", change, "--out", "deep/r", "--json")
    assert not Path("deep/r").exists()


def test_a_run_goes_on_only_for_longer_and_under_the_same_settings(capsys) -> None:
    _json(capsys, "train", "swim-ncap-es", *SMALL, "--out", "r")
    config = Path("r/config.yaml").read_text()
    line = _error(capsys, "train", "--out", "r", "--resume", "--set", "iterations=1")
    assert "iterations in train --resume r: expected at least the 2 that are done, got 1" in line
    assert "task_options.horizon" in _error(
        capsys, "train", "--out", "r", "--resume", "--set", "task_options.horizon=61"
    )
    assert Path("r/config.yaml").read_text() == config


def test_a_body_from_a_file_is_part_of_the_run(capsys) -> None:
    Path("swimmer-mine.yaml").write_text("links: 4\ngear: 4e-4\n")
    small = ["--set", "task_options.horizon=60", "--set", "iterations=1", "--set", "body=swimmer-mine.yaml"]
    _json(capsys, "train", "swim-ncap-es", *small, "--out", "r")
    Path("swimmer-mine.yaml").unlink()
    assert "gear: [0.0004, 0.0004, 0.0004]" in Path("r/config.yaml").read_text()
    assert _json(capsys, "train", "--out", "r", "--resume", "--set", "iterations=2")["steps"] == 16 * 60 * 2


def test_an_mjcf_model_is_part_of_the_run_and_of_its_agent(capsys) -> None:
    model = Path(gymnasium.__file__).parent / "envs/mujoco/assets/swimmer.xml"
    Path("fish.xml").write_text(model.read_text())
    small = ["--set", "task_options.horizon=60", "--set", "iterations=1", "--set", "body=fish.xml"]
    _json(capsys, "train", "swim-ncap-es", *small, "--out", "r")
    (named,) = _json(capsys, "evaluate", "r", "--body", "fish.xml")["results"]
    Path("fish.xml").unlink()
    (kept,) = _json(capsys, "evaluate", "r")["results"]
    assert kept == named
    assert kept["body"] == "fish"
    assert _json(capsys, "train", "--out", "r", "--resume", "--set", "iterations=2")["steps"] == 16 * 60 * 2
    Path("fish.xml").write_text("<mujoco/>")
    assert "at least 2 links" in _error(capsys, "evaluate", "ncap", "--body", "fish.xml")


def test_an_agent_is_judged_on_the_task_it_was_trained_for(capsys) -> None:
    result = _json(capsys, "train", "swim-ncap-es", *SMALL, "--out", "r")
    (row,) = _json(capsys, "evaluate", "r")["results"]
    assert row["return_mean"] == result["return_mean"]


def test_status_of_a_run(capsys) -> None:
    _json(capsys, "train", "swim-ncap-cma", *SMALL, "--out", "r")
    status = _json(capsys, "status", "r")
    assert (status["state"], status["iteration"], status["iterations"], status["last_checkpoint"]) == (
        "finished",
        2,
        2,
        2,
    )
    assert status["ledger"] == "complete: 8 fragments, 960 environment steps, each used once"
    assert main(["status", "r"]) == 0
    printed = capsys.readouterr().out
    assert "finished" in printed and "training_return_mean" in printed and " return_mean" not in printed
    assert status["training_return_mean"] == status["return_mean"]
    assert "is not a run folder" in _error(capsys, "status", "none")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "ncap", "--seed", "18446744073709551616"], "--seed: expected a whole number of at most 184467"),
        (["evaluate", "ncap", "--seed", "-1"], "--seed: expected a whole number of at least 0, got '-1'"),
        (["evaluate", "ncap", "--episodes", "1000000000000"], "--episodes: expected a whole number of at most 10000"),
        (["train", "swim-ncap-cma", "--workers", "99999"], "--workers: expected a whole number of at most 1000"),
        *(
            (["video", "ncap", "--out", "a.gif", "--seconds", text], "--seconds: expected a number of seconds of at")
            for text in ("1e308", "inf", "nan", "0", "-1", "x")
        ),
        (["evaluate", "ncap", "--body", "swimmer-" + "9" * 5000], "unknown body in body: "),
        (
            ["train", "swim-ncap-cma", "--set", "seed=2020-13-45"],
            "seed in preset swim-ncap-cma: expected a valid integer",
        ),
        (["train", "swim-ncap-cma", "--set", "task_options.horizon=0"], "horizon in task swim"),
        (["evaluate", "two\nlines"], "unknown agent"),
    ],
)
def test_numbers_out_of_range_give_one_line(arguments: list[str], message: str, capsys) -> None:
    assert message in _error(capsys, *arguments)
    assert not any(Path().iterdir())


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("output", "message"), [("> /dev/full", "No space left on device"), (">&-", "standard output is closed")]
)
def test_results_that_nobody_takes_give_one_line_and_exit_code_1(output: str, message: str, unbuffered: str) -> None:
    command = f"{' '.join(COMMAND)} list bodies --json {output}"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 1
    assert re.fullmatch(rf"wormwood: \[Errno \d+\] {message}\n", done.stderr), done.stderr
