"""gbrl and XGBoost in a Python of their own, which plays the slices that it is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from wormwood.errors import BadInput, bad_input
from wormwood.launch.benchmarks import trees_peer_script
from wormwood.launch.benchmarks.rounds import Contestant

__all__ = ["HOW_TO_GET_PEERS", "PeerError", "Peers", "running_peers"]

HOW_TO_GET_PEERS = "python -m venv peers && peers/bin/pip install gbrl==1.1.9 xgboost==3.2.0 torch"


PATIENCE = 5.0  # s


class PeerError(RuntimeError):
    """The peers' process has ended before its time."""


class Peers:
    """The process of both peers. It works only while it is asked for a slice."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Wait until the process is ready.

        Raises:
            PeerError: it ended instead.
        """
        self._process = process
        self._said: deque[str] = deque(maxlen=20)
        assert process.stderr is not None
        self._listener = threading.Thread(target=_listen, args=(process.stderr, self._said), daemon=True)
        self._listener.start()
        self.versions: Mapping[str, str] = self._answer()
        """Of gbrl and XGBoost."""

    def play(self, peer: str, play: str, **arguments: object) -> float:
        """Return the speed of one slice, in calls per CPU second.

        Args:
            peer: ``gbrl``, ``gbrl_oblivious`` or ``xgboost``.
            play: the name of one of its methods.
            arguments: of the method.

        Raises:
            PeerError: the process ended instead.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps({"peer": peer, "play": play, **arguments}), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._ended() from None
        return float(self._answer()["speed"])

    def contestant(self, peer: str, play: str, **arguments: object) -> Contestant:
        """Return what plays such a slice."""
        return lambda: self.play(peer, play, **arguments)

    def _answer(self) -> Mapping[str, str]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer: Mapping[str, str] = json.loads(line)
        except json.JSONDecodeError:
            raise self._ended() from None
        return answer

    def _ended(self) -> PeerError:
        _hang_up(self._process)
        code = self._process.wait()
        self._listener.join(timeout=5)
        return PeerError(f"the peers ended: {self._said[-1] if self._said else f'exit code {code}'}")


@contextmanager
def running_peers(python: str) -> Iterator[Peers]:
    """Start the peers with a Python that has both, and end them afterwards.

    Raises:
        BadInput: it is no Python, or one of them is missing in it.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # Isolated: neither this folder's modules nor this project's packages must come before the peers' own.
    command = [python, "-I", str(Path(trees_peer_script.__file__))]
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise _no_peers(python, str(error.strerror)) from error
    with process:
        try:
            yield _ready(process, python)
        finally:
            _hang_up(process)


def _ready(process: subprocess.Popen[str], python: str) -> Peers:
    try:
        return Peers(process)
    except PeerError as error:
        raise _no_peers(python, str(error)) from error


def _no_peers(python: str, problem: str) -> BadInput:
    expected = f"a Python that has gbrl and xgboost, such as peers/bin/python after `{HOW_TO_GET_PEERS}`"
    return bad_input("no peers", where=f"--peers {python}", expected=expected, got=problem)


def _hang_up(process: subprocess.Popen[str]) -> None:
    """Let the process end by itself, which has nothing more to read, or else kill it."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # of a request that it did not live to read
        process.stdin.close()
    try:
        process.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()


def _listen(stream: IO[str], said: deque[str]) -> None:
    """Keep the last lines of the process, so that it never waits for a reader."""
    with stream:
        said.extend(line.strip() for line in stream if line.strip())
