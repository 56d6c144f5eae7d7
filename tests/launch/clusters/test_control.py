"""What keeps a cluster from starting is said before anything starts."""

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from wormwood.errors import BadInput
from wormwood.launch.cli.main import main
from wormwood.launch.clusters.control import (
    cluster_down,
    cluster_status,
    cluster_up,
    plan_nodes,
    require_startable,
    start_arguments,
)
from wormwood.launch.clusters.files import Cluster, LocalCluster, SshCluster, load_cluster, parse_cluster
from wormwood.launch.clusters.host_agent import answer, busy_ports, cluster_mark, free_port, logs_folder
from wormwood.launch.clusters.jobs import _records, list_jobs, stop_job
from wormwood.launch.clusters.processes import MARK
from wormwood.launch.clusters.state import ClusterState, locked, read_state
from wormwood.launch.run.loopback import is_loopback, loopback_environment
from wormwood.launch.run.ray_session import ray_session
from wormwood.launch.storage.files import write_private
from wormwood.launch.storage.versions import check_versions, format_versions, installed_versions, require_ray


@pytest.fixture(autouse=True)
def _state_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORMWOOD_STATE", str(tmp_path / "state"))


def _parse(text: str) -> Cluster:
    return parse_cluster(text, where="test")


def _nothing_is_left(tmp_path: Path, name: str) -> bool:
    return not (tmp_path / "state" / "clusters" / name).exists()


def test_a_port_that_is_taken_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert busy_ports([port, 0]) == [port]
        with pytest.raises(BadInput, match=f"ports.dashboard in cluster a on 127.0.0.1: .*got {port}"):
            cluster_up(_parse(f"{{kind: local, name: a, ports: {{dashboard: {port}}}}}"))
    assert _nothing_is_left(tmp_path, "a")
    assert free_port([]) not in range(32_768, 61_000)


def test_a_certificate_is_checked_before_anything_starts(tmp_path: Path) -> None:
    tls = f"{{certificate: {tmp_path}/a, key: {tmp_path}/b, authority: {tmp_path}/c}}"
    with pytest.raises(BadInput, match=r"tls.certificate in .*/a: expected a readable file"):
        cluster_up(_parse(f"{{kind: local, name: a, tls: {tls}}}"))
    assert _nothing_is_left(tmp_path, "a")


def test_a_host_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("needs ssh")
    with socket.socket() as unheard:  # bound, but not listening: refuses at once
        unheard.bind(("127.0.0.1", 0))
        cluster = _parse(
            f"{{kind: ssh, name: a, head: {{host: 127.0.0.1}}, options: [-p{unheard.getsockname()[1]}, -Fnone]}}"
        )
        with pytest.raises(BadInput, match=r"host in 127.0.0.1: expected a host that ssh enters .*refused"):
            cluster_up(cluster)
    assert _nothing_is_left(tmp_path, "a")


def test_what_does_not_run_has_no_status_and_is_no_error_to_end() -> None:
    with pytest.raises(BadInput, match="cluster in cluster: expected one that `wormwood cluster up` has started"):
        cluster_status(load_cluster("local"))
    assert cluster_down(load_cluster("local")) == {
        "cluster": "local", "was_running": False, "processes_ended": 0, "logs": {},
    }  # fmt: skip


def test_other_kinds_are_started_by_others() -> None:
    with pytest.raises(BadInput, match="for slurm, `wormwood cluster manifest` writes"):
        require_startable(load_cluster("slurm-example"))


def test_two_who_start_the_same_cluster_do_not_meet() -> None:
    with locked("a"), pytest.raises(BadInput, match="being started or ended by another process"), locked("a"):
        pass
    with locked("a"), locked("b"):
        pass


def test_nodes_are_named_after_their_groups() -> None:
    cluster = _parse(
        "{kind: local, name: a, head: {cpus: 0, gpus: 1}, workers: {big: {count: 2, cpus: 3}, none: {count: 0}}}"
    )
    assert isinstance(cluster, LocalCluster)
    planned = plan_nodes(cluster)
    assert {name: (node.cpus, node.gpus) for name, node in planned.items()} == {
        "head": (0, 1),
        "big-0": (3, 0),
        "big-1": (3, 0),
    }
    twice = _parse("{kind: ssh, name: a, head: {host: x}, workers: {b: {host: x}}}")
    assert isinstance(twice, SshCluster)
    with pytest.raises(BadInput, match="each on its own host"):
        plan_nodes(twice)


def _state() -> ClusterState:
    cluster = _parse("{kind: local, name: a, workers: {cpu: {count: 1, cpus: 2}}}")
    assert isinstance(cluster, LocalCluster)
    ports = {"gcs": 21_000, "dashboard": 21_001, "client": 21_002}
    return ClusterState(
        "a", cluster_mark("a"), dataclasses.asdict(cluster), ports, temp="/tmp/wormwood-w", nodes=plan_nodes(cluster)
    )


def test_the_dashboard_stays_on_the_loopback_interface_and_the_token_out_of_the_arguments() -> None:
    state = _state()
    state.folder.mkdir(parents=True)
    token = state.token()
    assert len(token) == 64 and state.token_path.stat().st_mode & 0o777 == 0o600
    head = start_arguments("head", state.head, state, store_mib=100)
    worker = start_arguments("cpu-0", state.nodes["cpu-0"], state, store_mib=100)
    assert "--dashboard-host=127.0.0.1" in head
    assert {"--head", "--port=21000", "--num-cpus=0", "--object-store-memory=104857600"} <= set(head)
    assert {"--address=127.0.0.1:21000", "--num-cpus=2", "--node-name=cpu-0"} <= set(worker)
    assert not any(token in argument for argument in head + worker)


def test_a_token_that_others_can_read_is_refused() -> None:
    state = _state()
    state.folder.mkdir(parents=True)
    state.token()
    state.token_path.chmod(0o644)
    with pytest.raises(BadInput, match=r"token in .*chmod 600 .* got 'mode 644'"):
        state.token()


def test_a_private_file_is_never_open_to_others(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        write_private(tmp_path / "secret", "a")
        write_private(tmp_path / "secret", "b")
    finally:
        os.umask(old)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").read_text() == "b"


@pytest.mark.parametrize("version", ["2.53.0", "2.9.1", "1.13.0", "none"])
def test_a_ray_that_lets_strangers_in_is_refused(version: str) -> None:
    with pytest.raises(BadInput, match=r"ray in host: expected version 2.54 or newer"):
        require_ray(version, where="host")


def test_a_recent_ray_is_taken() -> None:
    require_ray("2.54.0", where="host")
    require_ray("3.0.0.dev0", where="host")


def test_versions_are_compared_and_the_difference_is_named() -> None:
    here = installed_versions()
    check_versions(here, here, where="node")
    with pytest.raises(BadInput, match=r"version of numpy in node: expected 1.0, as on the head"):
        check_versions({**here, "numpy": "1.0"}, here, where="node")
    command = [sys.executable, "-m", "wormwood.launch.storage.versions", "--expect"]
    build = here["torch"].partition("+")[0] + "+other"
    joins = subprocess.run([*command, f"torch={build}"], capture_output=True, text=True, check=False)
    assert joins.returncode == 0 and f"the head has {build}: bits may differ" in joins.stderr
    same = subprocess.run([*command, format_versions(here)], capture_output=True, text=True, check=False)
    assert (same.returncode, same.stderr) == (0, "")
    other = subprocess.run([*command, "ray=0.1"], capture_output=True, text=True, check=False)
    assert other.returncode == 2
    assert "wormwood: version of ray in" in other.stderr and len(other.stderr.splitlines()) == 1


def test_anybodys_cluster_is_refused() -> None:
    with (
        pytest.raises(BadInput, match="address in --address: expected local, or HOST:PORT"),
        ray_session(1, address="auto"),
    ):
        pass


def test_loopback_is_known() -> None:
    assert is_loopback("127.0.0.1") and is_loopback("::1") and is_loopback("localhost")
    assert not is_loopback("192.0.2.1") and not is_loopback("host.example")
    assert loopback_environment("192.0.2.1") == {}


def test_an_agent_of_a_host_answers_with_what_is_wrong() -> None:
    request = {
        "do": "inspect",
        "tls": {"certificate": "/none", "key": "", "authority": ""},
        "addresses": [],
        "ports": [],
    }
    assert "tls.certificate in /none" in answer(request)["error"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("mark", ""),
        ("mark", "/"),
        ("mark", "a"),
        ("mark", "b.00000000"),
        ("temp", "/"),
        ("temp", "/home"),
        ("temp", "/tmp/wormwood-a/../../home"),
        ("name", "b"),
        ("ports", {"gcs": 1}),
        ("nodes", {}),
        ("nodes", {"head": {"group": "head", "host": "-oProxyCommand=x", "cpus": 0, "gpus": 0}}),
        ("cluster", {"kind": "slurm"}),
        ("cluster", []),
        ("more", 1),
    ],
)
def test_a_damaged_state_is_one_line_and_ends_and_removes_nothing(key: str, value: object) -> None:
    state = _state()
    state.folder.mkdir(parents=True)
    state.write()
    assert read_state("a") == state
    path = state.folder / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    for act in (cluster_status, cluster_down, cluster_up):
        with pytest.raises(BadInput, match=f"damaged cluster state in {path}: .*; move .* away, then") as error:
            act(_parse("{kind: local, name: a}"))
        assert "\n" not in str(error.value)
    assert path.exists()


@pytest.mark.parametrize("content", [b"", b"[" * 10_000, b"[]", b"\xff", b'{"name": ' + b"9" * 5_000 + b"}", b"null"])
def test_a_state_that_is_no_object_is_one_line(content: bytes) -> None:
    state = _state()
    state.folder.mkdir(parents=True)
    (state.folder / "state.json").write_bytes(content)
    with pytest.raises(BadInput, match="damaged cluster state") as error:
        read_state("a")
    assert "\n" not in str(error.value)


class _OneJob:
    """A head that knows one job and notes what it is told."""

    def __init__(self, status: str) -> None:
        self.status, self.told = status, []  # type: ignore[var-annotated]

    def get(self, path: str) -> dict[str, str]:
        return {"status": self.status}

    def post(self, path: str, body: object) -> None:
        self.told.append(path)


@pytest.mark.parametrize(
    ("status", "said"), [("RUNNING", "STOPPING"), ("SUCCEEDED", "SUCCEEDED"), ("FAILED", "FAILED")]
)
def test_a_job_that_has_ended_is_not_said_to_stop(status: str, said: str) -> None:
    head = _OneJob(status)
    assert stop_job(cast(Any, head), "train-1") == said
    assert head.told == (["/api/jobs/train-1/stop"] if status == "RUNNING" else [])


@pytest.mark.parametrize("words", [["trian", "swim-ncap-ppo"], ["local", "trian", "swim-ncap-ppo"]])
def test_a_misspelt_verb_is_what_is_complained_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "submit", *words]) == 2
    assert "got 'trian' (nearest: 'train')" in capsys.readouterr().err


def test_only_folders_that_are_made_for_ray_are_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert answer({"do": "stop", "marks": [cluster_mark("a")], "remove": [str(tmp_path / "mine")]}) == {
        "ended": 0, "logs": None,
    }  # fmt: skip
    assert (tmp_path / "mine").is_dir()


def test_processes_are_found_by_the_name_of_their_cluster_once_its_state_was_deleted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = "import time; time.sleep(60)"
    started = {
        name: subprocess.Popen([sys.executable, "-c", script], env={**os.environ, MARK: mark}, start_new_session=True)
        for name, mark in [
            ("head", f"{cluster_mark('a')}/head"),
            ("cpu-0", f"{cluster_mark('a')}/cpu-0"),
            ("elsewhere", "a.00000000/head"),
            ("other", f"{cluster_mark('b')}/head"),
        ]
    }
    try:
        cluster = _parse("{kind: local, name: a}")
        with pytest.raises(BadInput, match=r"cluster a in 127.0.0.1: expected no process of it .* got 2"):
            cluster_up(cluster)
        assert cluster_down(cluster) == {"cluster": "a", "was_running": True, "processes_ended": 2, "logs": {}}
        assert {name for name, process in started.items() if process.poll() is None} == {"elsewhere", "other"}
        assert cluster_down(cluster) == {"cluster": "a", "was_running": False, "processes_ended": 0, "logs": {}}
    finally:
        for process in started.values():
            process.kill()
            process.wait()
    assert main(["cluster", "down"]) == 0
    assert "does not run: it has no state, and no process carries its name" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "{kind: local, name: a, head: {cpus: .inf}}",
        "a: &a [*a]",
        "{kind: local, workers: " + "[" * 400 + "]" * 400 + "}",
    ],
)
def test_an_odd_cluster_file_is_one_line(text: str) -> None:
    with pytest.raises(BadInput) as error:
        _parse(text)
    assert "\n" not in str(error.value)


def test_logs_of_nodes_and_jobs_are_kept_when_a_cluster_ends(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "clusters" / "a"
    for number in range(7):
        temp = Path(answer({"do": "temp"})["path"])
        session = temp / "ray" / f"session_{number}"
        (session / "logs").mkdir(parents=True)
        (session / "logs" / "job-driver-train-1.log").write_text(f"it learned {number}")
        (temp / "ray" / "session_latest").symlink_to(session)
        (session / "sockets").mkdir()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "head.log").write_text("started")
        (folder / "token").write_text("secret")
        given = answer({"do": "stop", "marks": [], "remove": [str(temp)], "name": "a"})
        kept = Path(given["logs"])
        kept.rename(kept.with_name(f"2026-{number}"))  # the clock goes on
        assert not temp.exists()
    runs = sorted(path.name for path in logs_folder("a").iterdir())
    assert runs == [f"2026-{number}" for number in range(2, 7)]
    last = logs_folder("a") / "2026-6"
    assert {path.relative_to(last).as_posix() for path in last.rglob("*") if path.is_file()} == {
        "head.log",
        "session_6/job-driver-train-1.log",
    }
    assert (last.stat().st_mode & 0o777) == 0o700 and (folder / "token").exists()
    assert answer({"do": "stop", "marks": [], "remove": [], "name": "a"}) == {"ended": 0, "logs": None}


def test_a_job_that_had_ended_is_not_lost_with_the_head(tmp_path: Path) -> None:
    state = ClusterState("a", "a.00000000", {}, {}, "", {})
    (state.folder / "jobs").mkdir(parents=True)
    request = {"entrypoint": "x", "runtime_env": {}, "metadata": {"verb": "train", "run": ""}}
    old = {"ended": True, "package": False, "code": []}  # as earlier versions noted it
    for name in ("done", "failed", "runs", "old"):
        record = {"request": {**request, "submission_id": name}, **old, "ended": name == "old"}
        write_private(state.folder / "jobs" / f"{name}.json", json.dumps(record))
    known = {"done": "SUCCEEDED", "failed": "FAILED", "runs": "RUNNING"}

    class Before:
        def get(self, path: str) -> list[dict[str, str]]:
            return [{"submission_id": name, "status": status} for name, status in known.items()]

    class Lost:
        def get(self, path: str) -> list[dict[str, str]]:
            return []

    def shown(head: Any) -> dict[str, str]:
        return {job["job"]: job["status"] for job in list_jobs(head, state)}

    assert shown(Before()) == {**known, "old": "LOST"}
    assert shown(Lost()) == {"done": "SUCCEEDED", "failed": "FAILED", "runs": "LOST", "old": "LOST"}
    assert [path.stem for path, record in _records(state) if not record["ended"]] == ["runs"]
