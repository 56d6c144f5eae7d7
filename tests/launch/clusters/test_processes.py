"""Ending exactly what was started."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from wormwood.errors import BadInput
from wormwood.launch.clusters.processes import MARK, Process, end_processes, identify, is_alive, marked_processes

SLEEP = "import time; time.sleep(60)"
PARENT = (
    f"import os, subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], env={{}}); time.sleep(60)"
)
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def _start(processes: list[subprocess.Popen[bytes]], mark: str, script: str = SLEEP) -> Process:
    child = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, MARK: mark}, stdout=subprocess.PIPE, start_new_session=True
    )
    processes.append(child)
    found = identify(child.pid)
    assert found is not None
    return found


def _wait_for(count: int, mark: str) -> list[Process]:
    deadline = time.monotonic() + 30
    while len(found := marked_processes(mark)) != count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_only_the_processes_of_one_mark_end(started: list[subprocess.Popen[bytes]]) -> None:
    mine, other = _start(started, "test-mine.00000000/head"), _start(started, "test-mine-too.00000000/head")
    assert _wait_for(1, "test-mine.00000000") == [mine]
    assert end_processes("test-mine.00000000") == 1
    assert not is_alive(mine)
    assert is_alive(other)
    assert end_processes("test-mine.00000000") == 0


def test_one_node_of_a_cluster_ends_and_the_other_stays(started: list[subprocess.Popen[bytes]]) -> None:
    first, second = _start(started, "test-nodes.00000000/cpu-1"), _start(started, "test-nodes.00000000/cpu-10")
    _wait_for(2, "test-nodes.00000000")
    assert end_processes("test-nodes.00000000/cpu-1") == 1
    assert not is_alive(first)
    assert is_alive(second)


def test_a_descendant_that_lost_the_mark_ends_too(started: list[subprocess.Popen[bytes]]) -> None:
    _start(started, "test-parent.00000000/head", PARENT)
    _wait_for(2, "test-parent.00000000")
    assert end_processes("test-parent.00000000") == 2


def test_who_does_not_listen_is_killed(started: list[subprocess.Popen[bytes]]) -> None:
    stubborn = _start(started, "test-stubborn.00000000/head", STUBBORN)
    output = started[0].stdout
    assert output is not None and output.readline() == b"\n"
    end_processes("test-stubborn.00000000", patience=0.2)
    assert not is_alive(stubborn)


def test_a_later_process_of_the_same_number_is_another(started: list[subprocess.Popen[bytes]]) -> None:
    found = _start(started, "test-number.00000000/head")
    assert is_alive(found)
    assert not is_alive(Process(found.pid, found.started - 1))


def test_one_that_waits_to_be_buried_is_dead(started: list[subprocess.Popen[bytes]]) -> None:
    found = _start(started, "test-zombie.00000000/head")
    started[0].kill()
    os.waitid(os.P_PID, found.pid, os.WEXITED | os.WNOWAIT)
    assert identify(found.pid) is None


@pytest.mark.parametrize(
    "mark", ["", "/", "a", "/head", "local", "local.", ".00000000", "local.00000000/", "../a.00000000"]
)
def test_what_is_no_mark_selects_and_ends_nothing(mark: str) -> None:
    with pytest.raises(BadInput, match="mark in cluster: expected NAME"):
        marked_processes(mark)
    with pytest.raises(BadInput, match="mark in cluster: expected NAME"):
        end_processes(mark)
