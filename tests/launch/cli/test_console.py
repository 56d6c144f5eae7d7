"""What people see: names as they are, nothing cut where it is piped, and what a run has to say in every case."""

import contextlib
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wormwood.launch.cli import console
from wormwood.launch.cli.console import note, print_table, print_text, progress_bar, training_watcher
from wormwood.launch.run.run_folder import Run
from wormwood.launch.run.service import Progress
from wormwood.launch.run.settings import RunConfig
from wormwood.launch.run.training import train

NAMES = ["runs/[/red]x", "a[bold]b", "[link=x]", "runs/:bomb:", "日本語"]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NOTE = "skipped checkpoint runs/[/red]x/" + "long-" * 60 + ": damaged"


@pytest.fixture(autouse=True)
def _as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def _be_terminal(stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(console._ERRORS, "is_interactive", True)  # rich decides that once, when it is imported


# --- tables ---


@pytest.mark.parametrize("name", NAMES)
def test_names_are_printed_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(name, [name, "n"], [(name, 1)])
    assert capsys.readouterr().out.count(name) == 3
    print_text(name)
    note(name)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{name}\n", f"{name}\n")


@pytest.mark.parametrize("length", [64, 161, 5000])
def test_nothing_is_folded_or_cut_without_a_terminal(length: int, capsys: pytest.CaptureFixture[str]) -> None:
    long, title = "runs/" + "x y " * (length // 4), "t" * length
    print_table(title, ["result", "value"], [("run", long), ("state_sha256", "0123456789abcdef" * 4)])
    lines = capsys.readouterr().out.splitlines()
    assert title in lines
    (found,) = (line for line in lines if line.strip().startswith("run "))
    assert long.rstrip() in found
    assert len(found) < len(long) + 40
    assert [line.split()[1] for line in lines if "state_sha256" in line] == ["0123456789abcdef" * 4]


def test_a_terminal_s_width_is_kept_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _be_terminal(sys.stdout, monkeypatch)
    print_table("", ["result", "value"], [("run", "x" * 150)])
    shown = ESCAPES.sub("", capsys.readouterr().out)
    assert max(map(len, shown.splitlines())) <= 60
    assert shown.count("x") == 150


def test_columns_of_numbers_and_only_they_stand_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ["steps", "change", "name", "restarts", "node"]
    rows = [("1,024", "-0.5", "6-links", "", ""), (7, "+1e-3", "12", 3, "")]
    print_table("", columns, rows)
    header, _, *lines = capsys.readouterr().out.strip("\n ").splitlines()
    header = "  " + header

    def ends(line: str, word: str) -> int:
        return line.index(word) + len(word)

    assert ends(lines[0], "1,024") == ends(lines[1], "7 ") - 1 == ends(header, "steps")
    assert ends(lines[0], "-0.5") == ends(lines[1], "+1e-3") == ends(header, "change")
    assert lines[0].index("6-links") == lines[1].index("12") == header.index("name")
    assert ends(lines[1], " 3") == ends(header, "restarts")


def test_a_table_without_rows_has_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ["name", "what it is"], [])
    assert capsys.readouterr().out.split()[:4] == ["name", "what", "it", "is"]


def test_what_moves_the_cursor_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ["name"], [("a\tb\nc\x1b[31m\udcff",)])
    assert r"a\tb\nc\x1b[31m\udcff" in capsys.readouterr().out


# --- progress ---


@pytest.mark.parametrize("quiet", [False, True])
@pytest.mark.parametrize("terminal", [False, True])
def test_notes_of_a_run_are_told_in_every_case_and_the_bar_only_on_a_terminal(
    terminal: bool, quiet: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        _be_terminal(sys.stderr, monkeypatch)
    with training_watcher(9, quiet=quiet) as watcher:
        watcher.started(Progress(4, 100, 2, notes=(NOTE, "made with another version")))
        watcher.advanced({"iteration": 5, "steps": 12345, "return_mean": 3.2})
    captured = capsys.readouterr()
    assert captured.out == ""
    shown = ESCAPES.sub("", captured.err)
    assert NOTE in shown
    assert "made with another version" in shown
    if terminal and not quiet:
        assert "12,345 steps, return 3" in shown
        assert "5/9" in shown
    else:
        assert captured.err == f"{NOTE}\nmade with another version\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_a_bar_is_shown_on_a_terminal_only(
    terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        _be_terminal(sys.stderr, monkeypatch)
    with progress_bar("measuring", 2) as show:
        show(1, "measuring: the limit")
        time.sleep(0.3)  # it is drawn ten times a second
    captured = capsys.readouterr()
    assert captured.out == ""
    assert ("measuring: the limit" in captured.err) == terminal
    assert terminal or not captured.err


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 4.0, 11.0, 12.0, 30.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(seconds))
    with training_watcher(40) as watcher:
        for iteration in (1, 2, 3, 4):
            watcher.advanced({"iteration": iteration, "steps": 1000 * iteration, "return_mean": 3.2})
    assert capsys.readouterr().err == (
        "iteration 2 of 40, 2,000 steps, return 3\niteration 4 of 40, 4,000 steps, return 3\n"
    )
    seconds = iter([0.0, 4.0, 11.0, 30.0, 0.0, *range(99)])
    with progress_bar("measuring", 8) as show:
        show(1)
        show(2)
        show(4, "drawing")
    assert capsys.readouterr().err == "measuring: 25 %\ndrawing: 50 %\n"
    with training_watcher(40, quiet=True) as watcher:
        watcher.advanced({"iteration": 5, "steps": 5})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_a_resumed_run_says_which_checkpoint_it_set_aside(
    quiet: bool,
    make_config: Callable[..., RunConfig],
    train_in: Callable[..., dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, folder = make_config("cma-es"), Path("r[bold]x")
    train_in(folder, config)
    newest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name.removeprefix("step-")))
    for file in newest.iterdir():
        file.write_bytes(file.read_bytes()[:-1])
    capsys.readouterr()
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(Run.resume(folder))
        watcher = stack.enter_context(training_watcher(config.iterations, quiet=quiet))
        train(run, config, watcher=watcher)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"skipped checkpoint {newest}: ")
    assert captured.err.count("\n") == 1
