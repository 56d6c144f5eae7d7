"""Two hosts, reached by a stand-in for ssh and encrypted, whose network breaks in the middle of a training."""

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
# `ip netns` keeps its files there; a file system of our own keeps them from the machine.
NETWORK = "mkdir -p /run/netns && mount -t tmpfs none /run/netns && ip link set lo up"
TRY = (
    f"{NETWORK} && ip netns add one && ip link add a0 netns one type veth peer name b0 && "
    "nsenter --net=/run/netns/one true"
)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_training_outlives_a_partition_of_ten_seconds(
    tmp_path: Path, train_in: Any, make_tls: Any, stand_in_hosts: Any
) -> None:
    if os.geteuid() != 0:
        pytest.skip("making namespaces takes root")
    missing = [name for name in ("unshare", "ip", "nsenter", "ps") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    if subprocess.run([*NAMESPACE, "sh", "-c", TRY], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root make namespaces with a network of their own")
    stand_in_hosts({"10.8.0.1": {"network": "/run/netns/head"}, "10.8.0.2": {"network": "/run/netns/far"}})
    tls = json.dumps(make_tls(tmp_path, "10.8.0.1", "10.8.0.2", "127.0.0.1"))
    play = [sys.executable, str(Path(__file__).with_name("play_partition.py")), str(tmp_path), tls]
    command = [*NAMESPACE, "sh", "-c", f'{NETWORK} && exec "$@"', "sh", *play]
    state = {**os.environ, "WORMWOOD_STATE": str(tmp_path / "state")}
    done = subprocess.run(command, env=state, capture_output=True, text=True, timeout=850, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["nodes"] == [["head", "10.8.0.1", "alive"], ["far", "10.8.0.2", "alive"]]
    # What had arrived before may still be learned from.
    assert found["done_while_broken"] <= 1
    overrides = ["body=swimmer-4", "task_options.horizon=50", "learner.environments=8", "learner.steps=32"]
    config = load_config("swim-ncap-ppo", overrides=[*overrides, "iterations=100"])
    assert found["sha256"] == train_in(tmp_path / "alone", config)["state_sha256"]
    assert found["down"]
    assert found["left"] == []
