import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from wormwood.errors import BadInput
from wormwood.launch.run.run_folder import Run, RunFolder, read_metrics
from wormwood.launch.storage.files import to_json, write_text_atomic

HOLD = """
import sys, time
from pathlib import Path
from wormwood.launch.run.run_folder import Run
run = Run.resume(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """A folder that this process may not write to, even where the tests run as root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o555)
        if user := os.geteuid():
            yield Path(folder)
        else:
            os.seteuid(65534)
            try:
                yield Path(folder)
            finally:
                os.seteuid(user)


def _make_run(folder: Path) -> Path:
    with Run.create(folder, "seed: 1\n") as run:
        for iteration in (1, 2, 3):
            run.log({"iteration": iteration, "return_mean": iteration / 3})
    return folder


def test_create_writes_the_configuration_and_resume_reads_it(tmp_path: Path) -> None:
    text = "name: Schwimmer Ä\n"
    with Run.create(tmp_path / "runs" / "one", text) as run:
        assert run.config.read_text(encoding="utf-8") == run.config_yaml == text
        assert sorted(path.name for path in run.path.iterdir()) == [".lock", "config.yaml"]
        assert (run.checkpoints.name, run.agent.name, run.summary.name) == ("checkpoints", "agent", "summary.json")
    with Run.resume(tmp_path / "runs" / "one") as run:
        assert run.config_yaml == text


def test_create_accepts_an_empty_folder_and_one_of_a_creation_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("1 on elsewhere")
    (tmp_path / ".config.yaml.temporary").write_text("se")
    Run.create(tmp_path, "seed: 1\n").close()
    assert RunFolder(tmp_path).read_config() == "seed: 1\n"


def test_create_refuses_a_run_and_leaves_it_alone(tmp_path: Path) -> None:
    folder = _make_run(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BadInput, match=r"run already has a run: add --resume or choose another --out$"):
        Run.create(folder, "seed: 2\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_create_refuses_somebody_elses_folder_and_leaves_it_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(BadInput, match=r"not empty and has no run: choose another --out$"):
        Run.create(tmp_path, "seed: 2\n")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_create_refuses_a_folder_it_cannot_write(read_only_folder: Path) -> None:
    for out in (read_only_folder, read_only_folder / "new" / "run"):
        with pytest.raises(BadInput, match=f"cannot write to the output folder {out}: Permission denied"):
            Run.create(out, "seed: 1\n")
    assert list(read_only_folder.iterdir()) == []


def test_create_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(BadInput, match=f"cannot write to the output folder {out}: "):
            Run.create(out, "seed: 1\n")


def test_create_that_fails_halfway_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(BadInput, match="File too large"):
            Run.create(tmp_path / "new" / "run", "#" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_resume_refuses_what_is_not_a_run_and_names_the_nearest(tmp_path: Path) -> None:
    _make_run(tmp_path / "swim-ncap-1")
    with pytest.raises(BadInput, match=r"swim-ncap-l is not a run folder: .*\(nearest: '.*/swim-ncap-1'\)$"):
        Run.resume(tmp_path / "swim-ncap-l")
    assert not (tmp_path / "swim-ncap-l").exists()


def test_resume_refuses_a_configuration_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match=r"cannot read .*config\.yaml"):
        Run.resume(tmp_path)


def test_one_writer_and_the_second_is_told_which_process_is_the_first(tmp_path: Path) -> None:
    folder = _make_run(tmp_path / "run")
    with Run.resume(folder), pytest.raises(BadInput, match=rf"is being written by process {os.getpid()} on "):
        Run.resume(folder)
    Run.resume(folder).close()


def test_a_killed_process_releases_the_lock(tmp_path: Path) -> None:
    folder = _make_run(tmp_path / "run")
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BadInput, match=f"process {holder.pid} on "):
            Run.resume(folder)
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    Run.resume(folder).close()


def test_what_killed_writers_left_goes_when_the_run_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with Run.create(out, "a: 1\n"):
        pass
    script = f"""
import os, signal
from pathlib import Path
from wormwood.launch.storage import files
files.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
files.write_text_atomic(Path({str(out / "summary.json")!r}), "half")
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    (left,) = out.glob(".summary.json.temporary-*")
    mine = out / ".my.temporary-file"
    mine.write_text("of the user's own")
    with Run.resume(out):
        assert not left.exists() and mine.exists()


def test_a_closed_run_does_not_write(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", "") as run:
        pass
    for write in (lambda: run.log({"iteration": 1}), lambda: run.truncate_logs(0), lambda: run.write_summary({})):
        with pytest.raises(RuntimeError, match="closed"):
            write()


def test_metrics_are_on_file_at_once_and_read_back(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", "") as run:
        assert read_metrics(run.metrics) == []
        run.log({"iteration": 1, "return_mean": np.float32(0.5), "shares": np.array([1, 2]), "loss": float("nan")})
        assert run.metrics.read_text() == '{"iteration": 1, "return_mean": 0.5, "shares": [1, 2], "loss": null}\n'
        assert read_metrics(run.metrics) == [{"iteration": 1, "return_mean": 0.5, "shares": [1, 2], "loss": None}]
        with pytest.raises(ValueError, match="iteration"):
            run.log({"return_mean": 1.0})


@pytest.mark.parametrize(
    "rest",
    ["", '{"iteration": 4, "return_me', '{"iteration": 4}', '{"iteration": 1\0\0\n', '{"iteration": "1"}\n', "[1]\n"],
)
def test_truncation_drops_later_and_half_written_lines(tmp_path: Path, rest: str) -> None:
    folder = _make_run(tmp_path / "run")
    with RunFolder(folder).metrics.open("a") as file:
        file.write(rest)
    assert [line["iteration"] for line in read_metrics(folder / "metrics.jsonl")] == [1, 2, 3]
    kept = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)[:2]
    with Run.resume(folder) as run:
        run.truncate_logs(2)
        assert run.metrics.read_text() == "".join(kept)
        run.log({"iteration": 3})
        assert read_metrics(run.metrics)[1:] == [{"iteration": 2, "return_mean": 2 / 3}, {"iteration": 3}]


def test_truncation_without_metrics_does_nothing(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", "") as run:
        run.truncate_logs(3)
        assert not run.metrics.exists()


def test_summary_is_none_until_written_and_replaced_as_a_whole(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", "") as run:
        assert run.read_summary() is None
        run.write_summary({"return_mean": 1.0})
        run.write_summary({"return_mean": np.float64(2.0), "return_std": np.inf})
    assert RunFolder(tmp_path / "run").read_summary() == {"return_mean": 2.0, "return_std": None}
    (tmp_path / "run" / "summary.json").write_text("{")
    with pytest.raises(BadInput, match=r"summary\.json: expected JSON"):
        RunFolder(tmp_path / "run").read_summary()


def test_atomic_write_keeps_the_old_text_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_text_atomic(target, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{target}'"):
        write_text_atomic(target, "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]


def test_json_is_strict_and_plain() -> None:
    value = {1: (np.int64(2), np.bool_(True)), "x": [float("inf"), {"y": np.float32("nan")}], "z": None}
    assert json.loads(to_json(value)) == {"1": [2, True], "x": [None, {"y": None}], "z": None}
