"""Links, devices, pipes and nonsense in place of a run's files: refused in one line, and nothing outside touched."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import initial_weights
from wormwood.configs.regular_files import read_regular
from wormwood.configs.yaml_files import parse_value
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.errors import BadInput
from wormwood.launch.api import train, train_run
from wormwood.launch.run.agent_files import Agent, load_agent, save_agent
from wormwood.launch.run.opening import open_run
from wormwood.launch.run.run_folder import Run, RunFolder, read_metrics
from wormwood.launch.run.settings import load_config
from wormwood.launch.run.status import run_status
from wormwood.launch.run.training import Watcher
from wormwood.launch.storage.checkpoints import load_newest, save_checkpoint
from wormwood.launch.storage.files import write_text_atomic
from wormwood.launch.storage.json_files import parse_json

PRESET: dict[str, Any] = {
    "agent": {"kind": "mlp", "hidden": [4]},
    "learner": {"kind": "openai-es", "population": 4, "starts": 1},
    "iterations": 2,
    "environment": "CartPole-v1",
    "environment_options": {"max_episode_steps": 9},
    "evaluation_episodes": 1,
}
DEEP = "[" * 100_000 + "]" * 100_000
LINKS = [
    ".lock",
    ".config.yaml.temporary",
    ".agent.draft",
    ".agent.old",
    "agent",
    "checkpoints",
    "checkpoints/step-1",
    "checkpoints/.temporary-step-3",
    "checkpoints/segments",
    "metrics.jsonl",
    "ledger.jsonl",
    "summary.json",
    "workers.json",
    "config.yaml",
    "curve.png",
    "tensorboard",
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that has finished."""
    train(PRESET, out=tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def agent(tmp_path: Path) -> Path:
    """The folder of an agent."""
    spec, config = GymnasiumSpec("CartPole-v1", {"max_episode_steps": 9}), MLPConfig(hidden=(4,))
    save_agent(tmp_path / "agent", Agent("mlp", config, initial_weights(config, spec, _generator()), spec))
    return tmp_path / "agent"


def _generator() -> Any:
    import numpy as np

    return np.random.Generator(np.random.Philox(1))


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", LINKS)
def test_a_run_with_a_link_in_it_is_not_resumed_and_nothing_outside_is_touched(run: Path, name: str) -> None:
    outside, place = run.parent / "outside", run / name
    if place.is_dir() or not place.exists():
        outside.mkdir()
        (outside / "kept").write_text("kept")
        if place.is_dir():
            place.rename(run.parent / "aside")
            for entry in (run.parent / "aside").iterdir():
                entry.rename(outside / entry.name)
        target = outside
    else:
        outside.mkdir()
        target = place.rename(outside / "file")
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(target)
    before = _tree(outside)
    with pytest.raises(BadInput, match=r"^link in run .*expected files and folders of its own|Too many levels"):
        train(None, out=run, resume=True, overrides=["iterations=3"])
    assert _tree(outside) == before


def test_a_link_in_the_place_of_a_new_runs_files_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "outside").write_text("kept")
    (tmp_path / "run/.config.yaml.temporary").symlink_to(tmp_path / "outside")
    Run.create(tmp_path / "run", "seed: 1\n").close()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/.lock").symlink_to(tmp_path / "outside")
    with pytest.raises(BadInput, match="cannot write to the output folder"):
        Run.create(tmp_path / "other", "seed: 1\n")
    assert (tmp_path / "outside").read_text() == "kept"


@pytest.mark.parametrize("draft", [".agent.draft", ".agent.old", "agent"])
def test_exporting_an_agent_follows_no_link(agent: Path, draft: str) -> None:
    saved, outside = load_agent(str(agent)), agent.parent / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    place = agent.with_name(draft)
    if place == agent:
        agent.rename(agent.parent / "aside")
    place.symlink_to(outside)
    save_agent(agent, saved)
    assert _tree(outside) == {"kept": b"kept"} and load_agent(str(agent)).weights is not None


def test_text_is_written_aside_under_a_new_name(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept")
    (tmp_path / ".a.temporary").symlink_to(tmp_path / "outside")
    write_text_atomic(tmp_path / "a", "new")
    assert (tmp_path / "outside").read_text() == "kept" and (tmp_path / "a").read_text() == "new"


@pytest.mark.parametrize(
    "content",
    ["[", DEEP, "3", '{"workers": 5}', '{"workers": [1]}', '{"learner": []}', "\udcff"],
)
def test_status_says_in_one_line_that_workers_are_not_what_a_run_writes(run: Path, content: str) -> None:
    (run / "workers.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(BadInput, match=r"^workers in .*workers\.json: expected") as error:
        run_status(RunFolder(run))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", ["[", DEEP, "3", "NaN", '{"a": 1e999}', '{"a": ' + "9" * 5000 + "}", "\udcff"])
def test_a_summary_that_is_not_one_is_one_line(run: Path, content: str) -> None:
    (run / "summary.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(BadInput, match=r"^summary in .*summary\.json: expected"):
        run_status(RunFolder(run))


@pytest.mark.parametrize(
    "line", [DEEP, '{"iteration": 1e999}', '{"iteration": 2, "steps": "a"}', '{"iteration": true}']
)
@pytest.mark.parametrize("name", ["metrics.jsonl", "ledger.jsonl"])
def test_nonsense_in_a_log_is_no_line_of_it(run: Path, name: str, line: str) -> None:
    before = read_metrics(run / name)
    with (run / name).open("a") as file:
        file.write(line + "\n")
    assert read_metrics(run / name) == before
    assert run_status(RunFolder(run))["state"] == "finished"


def test_metrics_without_seconds_go_on(run: Path) -> None:
    lines = [
        {key: value for key, value in line.items() if key != "seconds"} for line in read_metrics(run / "metrics.jsonl")
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run_status(RunFolder(run))["steps_per_second"] is None
    assert train(None, out=run, resume=True, overrides=["iterations=3"])


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/zero"), os.mkfifo, Path.mkdir])
@pytest.mark.parametrize("name", ["agent.json", "agent.safetensors"])
def test_an_agent_is_regular_files(agent: Path, name: str, make: Callable[[Path], None]) -> None:
    (agent / name).unlink()
    make(agent / name)
    with pytest.raises(BadInput, match=r"regular file|unknown agent|Is a directory"):
        load_agent(str(agent))


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/dev/zero"), os.mkfifo, Path.mkdir])
def test_a_configuration_is_a_regular_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "preset.yaml")
    with pytest.raises(BadInput, match=r"regular file|Is a directory"):
        load_config(str(tmp_path / "preset.yaml"))


def test_a_file_larger_than_its_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BadInput, match="at most 10 bytes, got 1099511627776"):
        read_regular(tmp_path / "sparse", largest=10)


def test_aliases_of_aliases_are_counted_before_they_are_made() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 30)]
    began = time.monotonic()
    with pytest.raises(BadInput, match="more than 1048576 values"):
        parse_value("body:\n  " + "\n  ".join(levels), where="bomb")
    assert time.monotonic() - began < 2.0
    assert parse_value("a: &a [1, 2]\nb: *a", where="test") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("text", ["NaN", "1e999", "[-Infinity]", DEEP, "[" * 70 + "]" * 70, "9" * 301, b"\xff"])
def test_json_is_strict(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_each_bit_of_an_agents_description_is_checked(agent: Path) -> None:
    content = (agent / "agent.json").read_bytes()
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 1
        (agent / "agent.json").write_bytes(changed)
        with pytest.raises(BadInput):
            load_agent(str(agent))


def test_an_agent_of_an_earlier_version_has_no_checksum_and_loads(agent: Path) -> None:
    described = json.loads((agent / "agent.json").read_text())
    del described["checksum"]
    described["schema"] = 1
    (agent / "agent.json").write_text(json.dumps(described))
    assert load_agent(str(agent)).name == "mlp"


def test_thousands_of_empty_newer_checkpoints_are_set_aside_at_once(tmp_path: Path) -> None:
    import numpy as np

    save_checkpoint(tmp_path, 1, {"a": np.arange(3)}, {})
    for step in range(2, 10_002):
        (tmp_path / f"step-{step}").mkdir()
    began, skipped = time.monotonic(), list[Path]()
    found = load_newest(tmp_path, on_skip=lambda path, reason: skipped.append(path))
    assert found is not None and found.step == 1 and len(skipped) == 10_000
    assert time.monotonic() - began < 30.0  # it was hours


def test_a_folder_too_long_for_rays_sockets_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # other tests may have left a connection
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("x" * 90)))
    with pytest.raises(
        BadInput, match=r"^RAY_TMPDIR in environment: expected a folder whose path has at most \d+ bytes"
    ):
        train(PRESET, out=tmp_path / "run", workers=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["iterations", "evaluation_episodes", "shards", "keep_checkpoints"])
def test_counts_have_a_limit(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=rf"{name} .*expected less than or equal to 1000000000, got 2147483647"):
        train({**PRESET, name: 2**31 - 1}, out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["metrics.jsonl", "ledger.jsonl"])
@pytest.mark.parametrize("kept", [0, 1])
def test_lines_that_a_log_has_lost_are_said(run: Path, name: str, kept: int) -> None:
    lines = read_metrics(run / name)
    (run / name).write_text("".join(json.dumps(line) + "\n" for line in lines if line["iteration"] <= kept))
    said: list[str] = []
    watcher = Watcher(started=lambda progress: said.extend(progress.notes))
    with open_run(None, out=str(run), resume=True) as (opened, config):
        train_run(opened, config, watcher=watcher)
    assert said == [f"{name} has lost lines of {2 - kept} of 2 iterations, the first of them {kept + 1}"]


def test_a_home_without_place_for_rays_token_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("HOME", "/proc/nohome")
    with pytest.raises(BadInput, match=r"^home folder in environment: expected one that can be written"):
        train(PRESET, out=tmp_path / "run", workers=1)
    assert not list(tmp_path.iterdir())
