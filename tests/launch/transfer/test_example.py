"""The example runs as it is written."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[3] / "examples/transfer_own_suite.py"


def test_the_example_of_a_suite_writes_a_report(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(EXAMPLE)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "weak-and-stiff" in done.stdout
    assert (tmp_path / "my-suite/report/report.html").is_file()
