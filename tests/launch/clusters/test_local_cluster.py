"""A cluster of three nodes on this machine, from its start to its end, where nothing else can be reached or killed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wormwood.launch.run.settings import load_config

NAMESPACE = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
# A second interface, so that listening on all of them would show.
NETWORK = (
    "ip link set lo up && ip link add out0 type veth peer name out1 && ip addr add 10.9.0.1/24 dev out0 && "
    "ip link set out0 up && ip link set out1 up && ip route add default dev out0"
)


def _play(folder: Path) -> str:
    if os.geteuid() != 0:
        pytest.skip("making namespaces takes root")
    missing = [name for name in ("unshare", "ip", "ss", "curl", "ps") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if subprocess.run([*NAMESPACE, "sh", "-c", NETWORK], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root make namespaces with a network of their own")
    script = Path(__file__).with_name("play_cluster.py")
    command = [*NAMESPACE, "sh", "-c", f"{NETWORK} && cd {folder} && {sys.executable} {script} {folder}"]
    state = {**os.environ, "WORMWOOD_STATE": str(folder / "state"), "XDG_STATE_HOME": str(folder / "classes")}
    done = subprocess.run(command, env=state, capture_output=True, text=True, timeout=1400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


def _check_usage(usage: dict[str, Any]) -> None:
    """Check what a cluster does in the middle of a training on two workers, of which one may not have come yet."""
    assert 0 <= usage["learner"]["idle_share"] <= 1 and usage["learner"]["node"] in ("head", "cpu-0", "cpu-1")
    assert usage["head"]["workers"] == 0
    nodes = [usage["cpu-0"], usage["cpu-1"]]
    assert 1 <= sum(node["workers"] for node in nodes) <= 2
    assert sum(node["steps_per_second"] for node in nodes) > 0
    for node in nodes:
        assert node["idle_share"] is None or 0 <= node["idle_share"] <= 1
        assert node["restarts"] == 0
        assert node["object_store_used"] is not None


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_cluster_lives_and_ends_and_lets_nobody_in(tmp_path: Path, train_in) -> None:
    found = json.loads(_play(tmp_path))
    assert found["nodes"] == [["head", "alive"], ["cpu-0", "alive"], ["cpu-1", "alive"]]
    assert set(found["listening"]) <= {"127.0.0.1", "[::ffff:127.0.0.1]"}
    assert found["token_mode"] == "600"
    assert not found["token_in_arguments"]
    assert found["job_api"] == ["401", "403", "200"]
    for port in ("gcs", "client"):
        assert found[port][2] == "in", found[port]
        assert all(answer.startswith("refused") for answer in found[port][:2]), found[port]
    for kind in ("boosted", "memory", "own", "transfer"):
        on_the_cluster, alone = found[kind]
        assert on_the_cluster and on_the_cluster == alone, kind
    assert found["shown"] == [True] * 4
    _check_usage(found["usage"])
    assert found["killed_in_the_middle"]
    assert found["nodes_again"] == found["nodes"]
    overrides = ["body=swimmer-4", "task_options.horizon=50", "learner.environments=8", "learner.steps=32"]
    config = load_config("swim-ncap-ppo", overrides=[*overrides, "iterations=300"])
    alone = train_in(tmp_path / "alone", config)["state_sha256"]
    assert found["sha256"] == alone
    # One kept its folder on the disk, the other its folder at s3://.
    assert found["sha256_after_loss_of_the_head"] == [alone, alone]
    assert found["ledger_lines_twice"] == 0
    assert found["ended_before_the_loss"] == "SUCCEEDED"
    said, seconds = found["busy"]
    assert "ports.gcs in cluster other on 127.0.0.1: expected a port on which nothing listens yet" in said
    assert len(said.splitlines()) == 1
    assert seconds < 60  # 10 on a machine that has nothing else to do
    assert found["beside"] == "running" and found["down_beside"] > 0
    assert found["nodes_beside"] == found["nodes"]
    assert found["foreign_answers"] == "42"
    assert (found["down"], found["down_again"]) == (True, False)
    assert found["bystander_lives"]
    assert found["left"] == []
