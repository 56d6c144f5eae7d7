"""What every test of envs runs under."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # MuJoCo writes a log into the working directory when a simulation becomes unstable.
    monkeypatch.chdir(tmp_path)
