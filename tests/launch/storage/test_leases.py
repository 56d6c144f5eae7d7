"""Two writers at one URL: the second is refused, until the first has ended or its lease is over."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import fsspec
import pytest
from moto.server import ThreadedMotoServer

from wormwood.errors import BadInput
from wormwood.launch.api import train
from wormwood.launch.storage import leases
from wormwood.launch.storage.leases import Claim
from wormwood.launch.storage.mirrors import Mirror, StorageError

HOLD = """
import sys, time
from wormwood.launch.storage.mirrors import Mirror
mirror = Mirror(sys.argv[1])
mirror.claim()
print("held", flush=True)
time.sleep(60)
"""
PRESET = {
    "agent": {"kind": "mlp", "hidden": [4]},
    "learner": {"kind": "openai-es", "population": 4, "starts": 1},
    "iterations": 1,
    "environment": "CartPole-v1",
    "environment_options": {"max_episode_steps": 9},
    "evaluation_episodes": 1,
}


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
        boto3.client("s3").create_bucket(Bucket="claims")
        yield "s3://claims"
    server.stop()


@pytest.fixture(params=["s3", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "far" / "run").as_uri()
    return f"{request.getfixturevalue('bucket')}/{tmp_path.name}/run"


def _claim(url: str) -> Claim:
    files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    return Claim(files, root.rstrip("/"), url)


def _change(url: str, **fields: object) -> None:
    files, root = fsspec.core.url_to_fs(url)
    claim = json.loads(files.cat_file(f"{root}/.claim"))
    files.pipe_file(f"{root}/.claim", json.dumps({**claim, **fields}).encode())


def test_a_second_process_is_refused_until_the_first_was_killed(url: str) -> None:
    first = subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True)
    try:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        with pytest.raises(BadInput, match=rf"^the run {url} is being written by process {first.pid} on .*wait, or"):
            train(PRESET, out=url)
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    train(PRESET, out=url)
    train(None, out=url, resume=True, overrides=["iterations=2"])


def test_a_claim_of_another_machine_holds_until_its_lease_is_over(url: str) -> None:
    first = _claim(url)
    _change(url, machine="another", process=1, host="far")
    with pytest.raises(BadInput, match="is being written by process 1 on far"):
        _claim(url)
    _change(url, until=time.time() - 1)
    second = _claim(url)
    assert not first._is_ours() and second._is_ours()
    first.release()
    assert second._is_ours()
    second.release()
    _claim(url).release()


def test_a_claim_that_cannot_be_understood_is_nobodys(url: str) -> None:
    first = _claim(url)
    _change(url, until="soon")
    second = _claim(url)
    assert second._is_ours()
    for claim in (first, second):
        claim.release()


def test_who_was_taken_over_sends_nothing_more(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE", 0.2)
    with contextlib.closing(Mirror(url)) as first:
        first.claim()
        _change(url, holder="another")
        deadline = time.monotonic() + 5
        while not (first._claim and first._claim.lost) and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(StorageError, match="another process writes there now"):
            first.send()


def test_a_refused_start_leaves_nothing(tmp_path: Path) -> None:
    url = (tmp_path / "far").as_uri()
    with contextlib.closing(Mirror(url)) as mirror:
        mirror.claim()
        assert os.listdir(tmp_path / "far") == [".claim"]
    assert not (tmp_path / "far").exists()
