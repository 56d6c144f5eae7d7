"""The examples run as they are written."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def _run(name: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_suite_of_ones_own(tmp_path: Path) -> None:
    assert "weak-and-stiff" in _run("transfer_own_suite.py", cwd=tmp_path)
    assert (tmp_path / "my-suite/report/report.html").is_file()


def test_a_swimmer_of_ones_own(tmp_path: Path) -> None:
    assert "thick-water" in _run("transfer_own_mjcf.py", cwd=tmp_path)
    assert (tmp_path / "my-swimmer/report/report.html").is_file()


@pytest.mark.slow
def test_a_zip_of_stable_baselines3(tmp_path: Path) -> None:
    shown = _run("transfer_sb3_zip.py", "--steps", "2048", cwd=tmp_path)
    assert [line.split()[:2] for line in shown.splitlines() if "extrapolation" in line] == [
        ["swimmer", "swimmer-3"],
        ["swimmer", "swimmer-4"],
        ["swimmer", "swimmer-6"],
    ]
