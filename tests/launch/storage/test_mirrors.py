"""Runs at a URL: on a real server that speaks S3, and in a folder by its file:// name."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from wormwood.errors import BadInput
from wormwood.launch.cli import main as command_line
from wormwood.launch.storage import mirrors
from wormwood.launch.storage.checkpoints import load_newest, save_checkpoint
from wormwood.launch.storage.mirrors import Mirror, StorageError, check_out, has_run, is_url

PRESET = """
agent: {kind: ncap}
learner: {kind: cma-es, population: 4}
iterations: 4
task_options: {horizon: 40}
shards: 2
checkpoint_every: 1
evaluation_episodes: 2
"""


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "worm")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "wood")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="runs")
        yield "s3://runs"
    server.stop()


@pytest.fixture(params=["s3", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "far" / "run").as_uri()
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}/run"


@pytest.fixture
def preset(tmp_path: Path) -> str:
    (tmp_path / "preset.yaml").write_text(PRESET)
    return str(tmp_path / "preset.yaml")


def _texts(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_paths_are_no_urls() -> None:
    assert is_url("s3://bucket/run")
    assert not any(is_url(path) for path in ("runs/a", "/runs/a", "C:/runs", "sac:/zip", "a//b"))


def test_a_run_does_not_go_to_a_folder_that_was_meant_to_be_a_url(
    preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(preset, "--out", "s3:/bucket/run") == 2
    expected = "--out in train: expected two slashes behind the protocol, or a folder, got 's3:/bucket/run'"
    assert expected in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["preset.yaml"]


def test_a_folder_comes_back_as_it_was_sent(url: str) -> None:
    with contextlib.closing(Mirror(url)) as here:
        for name in ("config.yaml", "checkpoints/step-1/MANIFEST.json", "agent/agent.json", ".lock", "a/.draft/b"):
            (here.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (here.folder / name).write_text(name)
        here.send()
        (here.folder / "config.yaml").write_text("changed")
        (here.folder / "agent" / "agent.json").unlink()
        here.send(prune=True)
    assert has_run(url)
    assert not here.folder.exists()
    with contextlib.closing(Mirror(url)) as there:
        there.fetch()
        expected = {"config.yaml": "changed", "checkpoints/step-1/MANIFEST.json": "checkpoints/step-1/MANIFEST.json"}
        assert _texts(there.folder) == expected
        assert there.read_text("config.yaml") == "changed"
        assert not there.read_text("nothing.jsonl")


def test_only_what_has_changed_is_sent(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    put = Mirror._put
    monkeypatch.setattr(Mirror, "_put", lambda self, path, target: sent.append(path.name) or put(self, path, target))
    with contextlib.closing(Mirror(url)) as here:
        for name in ("large", "small"):
            (here.folder / name).write_text(name)
        here.send()
        (here.folder / "small").write_text("another")
        here.send()
    with contextlib.closing(Mirror(url)) as there:
        there.fetch()
        (there.folder / "new").write_text("new")
        there.send()
    assert sent == ["large", "small", "small", "new"]


class _PulledTheCable(BaseException):
    """Ends a writer as the death of its process does: nothing is tidied up."""


def test_whenever_a_writer_is_ended_a_whole_checkpoint_is_there(url: str) -> None:
    """Each call that changes the URL is the last one once."""
    states = [{"large": np.arange(k + 1.0), "k": np.array(k)} for k in range(2)]
    calls = complete = 0
    while complete < len(states):
        place, complete = f"{url}-{calls}", 0
        here = Mirror(place)
        _pull_the_cable_after(calls, here)
        with contextlib.suppress(_PulledTheCable):
            for step, state in enumerate(states, start=1):
                save_checkpoint(here.folder, step, state, {}, keep=1)
                here.send(prune=True)
                complete = step
        skipped: list[str] = []
        with contextlib.closing(Mirror(place)) as there:
            there.fetch()
            found = load_newest(there.folder, on_skip=lambda path, reason, skipped=skipped: skipped.append(reason))
        assert not skipped
        assert (found.step if found else 0) in {complete, complete + 1}
        if found:
            np.testing.assert_array_equal(found.state["large"], states[found.step - 1]["large"])
        calls += 1
    assert calls > 2 * len(states)  # each sends a manifest and the state that it names


def _pull_the_cable_after(calls: int, mirror: Mirror) -> None:
    left = calls

    def counted(action: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise _PulledTheCable
        return action(*arguments, **options)

    for name in ("put_file", "mv", "rm_file"):
        setattr(mirror._files, name, partial(counted, getattr(mirror._files, name)))


def _train(*arguments: str) -> int:
    return command_line.main(["train", *arguments])


def test_a_run_goes_on_elsewhere_after_its_process_was_killed(
    url: str, preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-m", "wormwood", "train", preset, "--out", url]
    with subprocess.Popen([*command, "--set", "iterations=100000"]) as process, contextlib.closing(Mirror(url)) as look:
        while len(look.read_text("metrics.jsonl").splitlines()) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    with contextlib.closing(Mirror(url)) as look:
        done = len(look.read_text("metrics.jsonl").splitlines())
    iterations = ["--set", f"iterations={max(4, done)}"]
    assert _train("--out", url, "--resume", "--json", *iterations) == 0
    resumed = json.loads(capsys.readouterr().out)
    assert _train(preset, "--out", str(tmp_path / "alone"), "--json", *iterations) == 0
    assert resumed["state_sha256"] == json.loads(capsys.readouterr().out)["state_sha256"]
    assert resumed["run"] == url
    assert _train(preset, "--out", url) == 2
    assert f"--out {url} already has a run: add --resume" in capsys.readouterr().err
    assert command_line.main(["evaluate", url, "--episodes", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["agent"] == "run"
    assert command_line.main(["status", url, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["run"], status["state"], status["iteration"]) == (url, "finished", max(4, done))
    assert status["ledger"].startswith("complete")


@pytest.mark.slow
def test_the_service_sends_checkpoints_from_where_it_is(
    bucket: str, preset: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shas = []
    for out, words in ((str(tmp_path / "alone"), []), (f"{bucket}/ray", ["--workers", "2"])):
        assert _train(preset, "--out", out, "--json", *words) == 0
        shas.append(json.loads(capsys.readouterr().out)["state_sha256"])
    assert shas[0] == shas[1]


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s4://runs/a", "unknown protocol in s4://runs/a: expected a protocol of fsspec.*nearest: 's3'"),
        ("s3://nobodys/a", "cannot reach s3://nobodys/a: there is no such bucket"),
        ("gs://runs/a", "gs://runs/a needs a package that is not installed: Please install gcsfs"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_runs(
    place: str, message: str, bucket: str, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(preset, "--out", place) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)


def test_who_does_not_answer_is_given_up_soon(
    bucket: str, preset: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{_closed_port()}")
    assert _train(preset, "--out", f"{bucket}/unreachable") == 2
    error = capsys.readouterr().err
    assert "cannot reach s3://runs/unreachable: Could not connect to the endpoint" in error
    assert error.count("\n") == 1


def test_who_listens_and_never_answers_is_given_up_soon(
    bucket: str, preset: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "CONTACT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert _train(preset, "--out", f"{bucket}/silent") == 2
    assert capsys.readouterr().err == "wormwood: cannot reach s3://runs/silent: no answer within 1 s\n"


def test_a_password_in_a_url_is_refused_and_not_shown(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _train(preset, "--out", "ftp://worm:secret@127.0.0.1/run") == 2
    error = capsys.readouterr().err
    assert "a URL with a password in it" in error and "secret" not in error


def test_what_another_writer_has_added_is_not_removed(url: str) -> None:
    with contextlib.closing(Mirror(url)) as outlived, contextlib.closing(Mirror(url)) as successor:
        for mirror, steps in ((outlived, (1, 2)), (successor, (2, 3))):
            for step in steps:
                save_checkpoint(mirror.folder, step, {"step": np.array(step)}, {}, keep=1)
            mirror.send(prune=True)
        outlived.send(prune=True)
        with contextlib.closing(Mirror(url)) as there:
            there.fetch()
            found = load_newest(there.folder, on_skip=lambda path, reason: pytest.fail(reason))
    assert found and found.step == 3


def test_nothing_to_go_on_with(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _train("--out", url, "--resume") == 2
    assert f"{url} is not a run folder: expected config.yaml in it" in capsys.readouterr().err
    for command in ("evaluate", "status"):
        assert command_line.main([command, url]) == 2
        assert capsys.readouterr().err == f"wormwood: there is nothing at {url}: expected a run or an exported agent\n"


def test_a_server_that_goes_away_ends_the_run_with_a_line(
    preset: str, bucket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "PAUSES", (0.0, 0.01))
    put = Mirror._put

    def refused(self: Mirror, path: Path, target: str) -> None:
        if "step-2" in target:
            raise ConnectionError("the server has gone")
        put(self, path, target)

    monkeypatch.setattr(Mirror, "_put", refused)
    url = f"{bucket}/gone"
    assert _train(preset, "--out", url) == 1
    assert f"wormwood: {url}/checkpoints: the server has gone" in capsys.readouterr().err
    monkeypatch.undo()
    assert _train("--out", url, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4 * 4 * 40
    # The logs had been sent up to the second iteration, the checkpoints up to the first.
    assert command_line.main(["status", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ledger"].startswith("complete")


def test_what_a_server_refuses_is_not_tried_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "PAUSES", (0.0, 60.0))
    with contextlib.closing(Mirror(url)) as here:
        (here.folder / "a").write_text("a")

        def refused(path: str, target: str) -> None:
            raise PermissionError("Access Denied")

        monkeypatch.setattr(here._files, "put_file", refused)
        with pytest.raises(StorageError, match=f"{url}: Access Denied"):
            here.send()


@pytest.mark.parametrize("name", ["/tmp/planted", "../planted", "agent/../../planted"])
def test_a_name_that_leads_out_of_the_folder_is_not_followed(name: str, bucket: str, tmp_path: Path) -> None:
    place = f"{bucket}/{tmp_path.name}"
    for key in ("config.yaml", name):
        boto3.client("s3").put_object(Bucket="runs", Key=f"{tmp_path.name}/{key}", Body=b"planted")
    with contextlib.closing(Mirror(place)) as there:
        with pytest.raises(StorageError, match=f"{name!r} there would lead out of the folder; nothing was fetched"):
            there.fetch()
        assert not list(there.folder.iterdir())


@pytest.mark.parametrize("place", ["s3://runs/..", "file:///"])
def test_a_url_that_names_no_run(place: str, preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _train(preset, "--out", place) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/run", "HTTPS://127.0.0.1:1/run"])
def test_a_url_that_cannot_be_written_is_refused_before_training(url: str) -> None:
    with pytest.raises(BadInput, match="--out in train: expected a folder, or a URL that can be written, such as s3:"):
        check_out(url)
