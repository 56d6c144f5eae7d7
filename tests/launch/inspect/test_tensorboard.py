"""Event files hold the numbers of metrics.jsonl and no others, as TensorBoard itself reads them."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from wormwood.errors import BadInput
from wormwood.launch.inspect.tensorboard import EventWriter, scalars, tensorboard_watcher
from wormwood.launch.run.run_folder import Run, RunFolder
from wormwood.launch.run.training import Interrupted, Watcher, train


def _record(iteration: int) -> dict[str, Any]:
    return {"iteration": iteration, "steps": 100 * iteration, "return_mean": iteration / 4, "seconds": 2.0 * iteration}


def _make_run(folder: Path, iterations: int) -> Path:
    with Run.create(folder, "") as run:
        for iteration in range(1, iterations + 1):
            run.log(_record(iteration))
    return folder


def _read(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return step and value of every point by tag."""
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_numbers_are_named_by_their_path_and_nothing_else_is_taken() -> None:
    record = {
        "iteration": 3,
        "steps": 300,
        "loss": {"value": 0.5, "policy": {"clip": np.float32(0.25)}},
        "diverged": False,
        "none": None,
        "name": "swim",
        "shares": [1, 2],
    }
    expected = {"iteration": 3.0, "loss/value": 0.5, "loss/policy/clip": 0.25, "diverged": 0.0}
    assert dict(scalars(record)) == expected
    assert dict(scalars({})) == {}


def test_the_events_of_a_run_are_its_metrics_against_environment_steps(tmp_path: Path) -> None:
    run = _make_run(tmp_path / "run", 3)
    EventWriter(RunFolder(run)).close()
    assert _read(run) == {
        "iteration": [(100, 1.0), (200, 2.0), (300, 3.0)],
        "return_mean": [(100, 0.25), (200, 0.5), (300, 0.75)],
        "seconds": [(100, 2.0), (200, 4.0), (300, 6.0)],
    }
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    times = [event.wall_time for event in events.Scalars("seconds")]
    np.testing.assert_allclose(np.diff(times), 2.0, atol=1e-3)
    assert abs(times[-1] - time.time()) < 60


def test_records_are_there_as_soon_as_they_come_and_a_resume_leaves_no_stale_points(tmp_path: Path) -> None:
    folder = _make_run(tmp_path / "run", 2)
    with Run.resume(folder) as run, EventWriter(run) as writer:
        for iteration in (3, 4):
            run.log(_record(iteration))
            writer.append(_record(iteration))
            assert _read(folder)["return_mean"][-1] == (100 * iteration, iteration / 4)
    with Run.resume(folder) as run:
        run.truncate_logs(1)
        with EventWriter(run) as writer:
            writer.append(_record(2) | {"return_mean": 9.0})
    assert _read(folder)["return_mean"] == [(100, 0.25), (200, 9.0)]
    assert len(list((folder / "tensorboard").iterdir())) == 1


def test_a_run_without_metrics_has_no_points(tmp_path: Path) -> None:
    run = _make_run(tmp_path / "run", 0)
    EventWriter(RunFolder(run)).close()
    assert _read(run) == {}


def test_a_run_that_is_interrupted_and_resumed_has_each_point_once(tmp_path: Path, make_config) -> None:
    config, seen = make_config("cma-es", "checkpoint_every=2"), []

    def stop(metrics: Any) -> None:
        seen.append(metrics["iteration"])
        if len(seen) == 1:
            raise KeyboardInterrupt

    with (
        Run.create(tmp_path / "run", config.to_yaml()) as run,
        pytest.raises(Interrupted),
        tensorboard_watcher(run, Watcher(advanced=stop)) as watcher,
    ):
        train(run, config, watcher=watcher)
    assert [value for _, value in _read(tmp_path / "run")["iteration"]] == [1]
    with Run.resume(tmp_path / "run") as run, tensorboard_watcher(run, Watcher(advanced=stop)) as watcher:
        train(run, config, watcher=watcher)
    points = _read(tmp_path / "run")
    assert [value for _, value in points["iteration"]] == [1, 2, 3]
    assert {"return_mean", "return_best", "episodes", "seconds"} <= points.keys()
    assert seen == [1, 2, 3]


def test_without_the_package_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _make_run(tmp_path / "run", 1)
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(BadInput, match=r'pip install "wormwood\[tensorboard\]"') as caught:
        EventWriter(RunFolder(run)).close()
    assert "\n" not in str(caught.value)
    assert not (run / "tensorboard").exists()


def test_a_folder_that_cannot_be_written_is_bad_input(tmp_path: Path) -> None:
    run = _make_run(tmp_path / "run", 1)
    (run / "tensorboard").write_text("a file")
    with pytest.raises(BadInput, match=r"event files in .*tensorboard: expected a writable folder"):
        EventWriter(RunFolder(run)).close()


def test_neither_torch_nor_tensorflow_is_loaded(tmp_path: Path) -> None:
    run = _make_run(tmp_path / "run", 1)
    script = (
        "import sys; from pathlib import Path; from wormwood.launch.run.run_folder import RunFolder; "
        "from wormwood.launch.inspect.tensorboard import EventWriter; "
        "assert not any(name.startswith('tensorboard') for name in sys.modules), 'loaded before it was needed'; "
        f"EventWriter(RunFolder(Path({str(run)!r}))).close(); print({{'torch', 'tensorflow'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("set()\n", 0), done.stderr
