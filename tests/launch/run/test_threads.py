"""One thread where it counts, and an environment that is left alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from wormwood.launch.run.threads import ONE_THREAD, environment, one_thread, usable_processors
from wormwood.launch.run.training import Watcher

IMPORTED = """
import json, os
before = dict(os.environ)
import wormwood, wormwood.launch.run.training, wormwood.launch.cli.main
print(json.dumps({name: value for name, value in os.environ.items() if before.get(name) != value}))
"""
COMMAND = """
import os, runpy, sys
sys.argv = ["wormwood", "list", "presets"]
try:
    runpy.run_module("wormwood", run_name="__main__")
finally:
    print(os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"], file=sys.stderr)
"""


def _python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    others = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    return subprocess.run(
        [sys.executable, "-c", code], env={**others, **environment}, capture_output=True, text=True, check=True
    )


def _blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_an_import_sets_no_environment_variable() -> None:
    others = {"PYGAME_HIDE_SUPPORT_PROMPT", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"}  # gymnasium's, scikit-learn's
    assert json.loads(_python(IMPORTED, {}).stdout).keys() <= others


def test_the_command_computes_on_one_thread_unless_it_is_told() -> None:
    assert _python(COMMAND, {"OMP_NUM_THREADS": "2"}).stderr == "2 1\n"


def test_a_training_computes_on_one_thread_and_learns_the_same(make_config, tmp_path, train_in) -> None:
    config, seen = make_config("mlp-ppo", "iterations=1"), []
    alone = train_in(tmp_path / "alone", config)
    with threadpool_limits(2, user_api="blas"):
        watcher = Watcher(advanced=lambda metrics: seen.append(_blas_threads()))
        summary = train_in(tmp_path / "two", config, watcher=watcher)
        assert _blas_threads() == {2}
    assert seen == [{1}]
    assert summary["state_sha256"] == alone["state_sha256"]


def test_the_last_to_leave_puts_the_threads_back() -> None:
    with threadpool_limits(2, user_api="blas"):
        one_thread.__enter__()
        with one_thread:
            one_thread.__exit__()
            assert _blas_threads() == {1}
        assert _blas_threads() == {2}


def test_variables_are_put_back(monkeypatch) -> None:
    monkeypatch.setenv("FIRST", "old")
    monkeypatch.delenv("SECOND", raising=False)
    with environment(FIRST="new", SECOND="new"):
        assert (os.environ["FIRST"], os.environ["SECOND"]) == ("new", "new")
    assert os.environ["FIRST"] == "old"
    assert "SECOND" not in os.environ


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/a/b", {}, 16),
        ("0::/a/b", {"a/b/cpu.max": "max 100000"}, 16),
        ("0::/a/b", {"a/b/cpu.max": "200000 100000"}, 2),
        ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 2),
        ("0::/", {"cpu.max": "10000 100000"}, 1),
        ("0::/a/b", {"cpu.max": "300000 100000"}, 3),
        ("0::/../a", {"cpu.max": "300000 100000"}, 3),
        (
            "4:cpu,cpuacct:/a",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "400000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            4,
        ),
        ("4:cpu,cpuacct:/a", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        ("4:memory:/a", {"memory/cpu.max": "1 1"}, 16),
        ("0::/a", {"a/cpu.max": "odd"}, 16),
        ("odd", {}, 16),
    ],
)
def test_processors_are_those_of_the_affinity_and_of_the_quota(
    groups: str, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)))
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text + "\n")
    (tmp_path / "own").write_text(groups + "\n")
    assert usable_processors(own=tmp_path / "own", cgroups=tmp_path / "groups") == expected
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    assert usable_processors(own=tmp_path / "none", cgroups=tmp_path) == 1
