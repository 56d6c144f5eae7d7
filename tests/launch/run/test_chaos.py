"""Deaths of every kind in the middle of real trainings, in a namespace of processes and of the network.

Everything that Ray starts ends with the namespace, and nothing outside it can be reached or killed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NAMESPACE = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]


def _run_alone(script: str, *, timeout: float) -> str:
    """Run a shell script in a namespace that has nothing but a loopback interface."""
    if os.geteuid() != 0:
        pytest.skip("making namespaces takes root")
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs unshare of util-linux and ip of iproute2")
    if subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root make namespaces")
    command = [*NAMESPACE, "sh", "-c", f"ip link set lo up && {script}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("death", "kills", "iterations"), [("workers", 8, 150), ("service", 3, 100), ("driver", 3, 60), ("nodes", 2, 150)]
)
def test_the_final_state_and_the_ledger_survive_the_death_of(death: str, kills: int, iterations: int) -> None:
    script = f"exec {sys.executable} {ROOT}/benchmarks/chaos.py {death} --kills {kills} --iterations {iterations}"
    assert "True" in _run_alone(script, timeout=580)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["cma-es", "ppo", "cart-pole", "td3", "boosted"])
def test_the_final_state_does_not_depend_on_many_workers(kind: str, tmp_path: Path, make_config, train_in) -> None:
    config = make_config(kind, "shards=8", *(["learner.population=8"] if kind == "cma-es" else []))
    hashes = {train_in(tmp_path / str(workers), config, workers=workers)["state_sha256"] for workers in (0, 1, 2, 4, 7)}
    assert len(hashes) == 1


@pytest.mark.slow
def test_a_full_disk_stops_the_run_and_the_old_checkpoint_goes_on(tmp_path: Path, make_config) -> None:
    (tmp_path / "small.yaml").write_text(make_config("mlp-ppo", "iterations=1000", "keep_checkpoints=2").to_yaml())
    script = (
        f"mount -t tmpfs -o size=400k tmpfs {tmp_path}/disk; "
        f"W='{sys.executable} -m wormwood'; "
        f"$W train {tmp_path}/small.yaml --out {tmp_path}/disk/run; code=$?; echo code $code; "
        f"rm -f {tmp_path}/disk/filler; mount -o remount,size=8m {tmp_path}/disk; "
        f"DONE=$(ls {tmp_path}/disk/run/checkpoints | sed s/step-// | sort -n | tail -n 1); "
        f"$W train --out {tmp_path}/disk/run --resume --set iterations=$((DONE + 2)) --json"
    )
    (tmp_path / "disk").mkdir()
    shown = _run_alone(f"unshare --mount sh -c '{script.replace(chr(39), chr(34))}' 2>&1", timeout=200)
    assert "code 1" in shown
    assert "No space left on device" in shown
    assert "Traceback" not in shown
    assert '"state_sha256"' in shown
