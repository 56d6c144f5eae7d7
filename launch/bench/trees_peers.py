"""Peers in a Python of their own, which plays the slices that it is asked for: gbrl and XGBoost, or RLlib."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import IO

from wormwood.errors import BadInput, bad_input
from wormwood.launch.bench import trees_peer_script
from wormwood.launch.bench.rounds import Contestant

__all__ = ["HOW_TO_GET_PEERS", "PeerError", "Peers", "running_peers"]

HOW_TO_GET_PEERS = "python -m venv peers && peers/bin/pip install gbrl==1.1.9 xgboost==3.2.0 torch"


PATIENCE = 5.0  # s


class PeerError(RuntimeError):
    """The peers' process has ended before its time."""


class Peers:
    """The process of the peers. It works only while it is asked for a slice."""

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
        """Of each peer."""

    def play(self, peer: str, play: str, **arguments: object) -> float:
        """Return the speed of one slice, in the script's own unit.

        Args:
            peer: as the script calls it, such as ``gbrl``, ``gbrl_oblivious`` or ``xgboost``.
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
def running_peers(
    python: str,
    *,
    script: ModuleType = trees_peer_script,
    wanted: str = "gbrl and xgboost",
    how_to_get_them: str = HOW_TO_GET_PEERS,
    patience: float = PATIENCE,
) -> Iterator[Peers]:
    """Start the peers with a Python that has them, and end them afterwards.

    Args:
        python: the Python.
        script: what it runs: it answers as ``trees_peer_script`` does.
        wanted: the peers, for messages.
        how_to_get_them: the command, for messages.
        patience: seconds to wait for the script's end, before it is killed.

    Raises:
        BadInput: it is no Python, or one of them is missing in it.
    """

    def no_peers(problem: str) -> BadInput:
        expected = f"a Python that has {wanted}, such as peers/bin/python after `{how_to_get_them}`"
        return bad_input("no peers", where=f"--peers {python}", expected=expected, got=problem)

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # Isolated: neither this folder's modules nor this project's packages must come before the peers' own.
    command = [python, "-I", str(script.__file__)]
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
    except OSError as error:
        raise no_peers(str(error.strerror)) from error
    with process:
        try:
            try:
                peers = Peers(process)
            except PeerError as error:
                raise no_peers(str(error)) from error
            yield peers
        finally:
            _hang_up(process, patience)


def _hang_up(process: subprocess.Popen[str], patience: float = PATIENCE) -> None:
    """Let the process end by itself, which has nothing more to read, or else kill it."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # of a request that it did not live to read
        process.stdin.close()
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()


def _listen(stream: IO[str], said: deque[str]) -> None:
    """Keep the last lines of the process, so that it never waits for a reader."""
    with stream:
        said.extend(line.strip() for line in stream if line.strip())
