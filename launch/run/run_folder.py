"""The run folder: its configuration, metrics and summary, and the lock that gives it one writer."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from wormwood.configs.regular_files import read_regular
from wormwood.errors import BadInput, bad_input, nearest
from wormwood.launch.storage.files import (
    _path_in_errors,
    open_own,
    remove_unfinished,
    sync_file,
    to_json,
    write_text_atomic,
)
from wormwood.launch.storage.json_files import parse_json, read_json_object
from wormwood.launch.storage.mirrors import Mirror

__all__ = ["Run", "RunFolder", "read_metrics"]

LARGEST_TEXT = 16 * 2**20
"""Bytes of a configuration."""
LARGEST_LOG = 8 * 2**30
"""Bytes of metrics or of a ledger."""


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps its files. Anyone may read them, also while the run goes on."""

    path: Path

    @property
    def config(self) -> Path:
        """``config.yaml``: the complete configuration. A folder that has it is a run."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """``metrics.jsonl``: one line for each iteration."""
        return self.path / "metrics.jsonl"

    @property
    def ledger(self) -> Path:
        """``ledger.jsonl``: one line for each fragment that an update consumed."""
        return self.path / "ledger.jsonl"

    @property
    def workers(self) -> Path:
        """``workers.json``: how each worker and the learner were after the last iteration."""
        return self.path / "workers.json"

    @property
    def summary(self) -> Path:
        """``summary.json``: the results, once there are any."""
        return self.path / "summary.json"

    @property
    def checkpoints(self) -> Path:
        """``checkpoints/``: holds ``step-N/``."""
        return self.path / "checkpoints"

    @property
    def agent(self) -> Path:
        """``agent/``: the exported policy."""
        return self.path / "agent"

    @property
    def curve(self) -> Path:
        """``curve.png``: the learning curve."""
        return self.path / "curve.png"

    @property
    def lock(self) -> Path:
        """``.lock``: held by the run's writer, whose process it names."""
        return self.path / ".lock"

    def read_config(self) -> str:
        """Return the text of ``config.yaml``.

        Raises:
            BadInput: this is not a run folder, or it cannot be read.
        """
        try:
            return read_regular(self.config, largest=LARGEST_TEXT, what="configuration").decode()
        except (FileNotFoundError, NotADirectoryError):
            runs = [str(config.parent) for config in self.path.parent.glob("*/config.yaml")]
            close = nearest(str(self.path), runs)
            hint = f" (nearest: {close!r})" if close else ""
            raise BadInput(f"{self.path} is not a run folder: expected config.yaml in it{hint}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"cannot read {self.config}: {error}") from error

    def read_summary(self) -> dict[str, Any] | None:
        """Return ``summary.json``, or None before there is one."""
        try:
            return read_json_object(self.summary, what="summary")
        except FileNotFoundError:
            return None

    def read_workers(self) -> dict[str, Any]:
        """Return ``workers.json``; nothing before there is one.

        Raises:
            BadInput: it is not what a run writes.
        """
        try:
            described = read_json_object(self.workers, what="workers")
        except FileNotFoundError:
            return {}
        workers, learner = described.get("workers", []), described.get("learner", {})
        if not isinstance(learner, dict) or not isinstance(workers, list) or not all(map(_is_object, workers)):
            expected = "lists of workers, and a learner"
            raise bad_input("workers", where=str(self.workers), expected=expected, got=described)
        return {"workers": workers, "learner": learner}


@dataclass(frozen=True)
class Run(RunFolder):
    """A run folder held for writing, until ``close``, the end of a ``with`` block or the death of the process."""

    config_yaml: str
    """The text of ``config.yaml``."""
    _lock: IO[str]
    mirror: Mirror | None = None
    """Keeps the folder at a URL, too. The checkpoints are then sent there by whoever makes them, and are not here."""

    @classmethod
    def create(cls, out: Path, config_yaml: str, *, mirror: Mirror | None = None) -> Self:
        """Start a run in a new or empty folder.

        Raises:
            BadInput: the folder has files in it or cannot be written. Nothing is left behind.
        """
        folder = RunFolder(out)
        with _named(out), _removed_on_failure(out):
            _require_empty(folder)
            out.mkdir(parents=True, exist_ok=True)
            lock = _acquire(folder)
            try:
                _require_empty(folder)  # again: another process may have made its run before we held the lock
                write_text_atomic(folder.config, config_yaml)
            except BaseException:
                folder.lock.unlink()
                lock.close()
                raise
        return cls(out, config_yaml, lock, mirror)

    @classmethod
    def resume(cls, out: Path, *, mirror: Mirror | None = None) -> Self:
        """Go on with the run in ``out``.

        Raises:
            BadInput: it is not a run folder, another process writes to it, or it cannot be written.
        """
        folder = RunFolder(out)
        config_yaml = folder.read_config()
        _refuse_links(folder)
        with _named(out):
            run = cls(out, config_yaml, _acquire(folder), mirror)
            remove_unfinished(out)
        return run

    @property
    def location(self) -> str:
        """Where users find the run: its URL, or its folder."""
        return self.mirror.url if self.mirror else str(self.path)

    @property
    def checkpoints_location(self) -> Path | str:
        """Where checkpoints go: a folder, or a URL."""
        return f"{self.mirror.url}/{self.checkpoints.name}" if self.mirror else self.checkpoints

    def send(self) -> None:
        """Bring the run's URL up to date, where it has one.

        Raises:
            StorageError: it cannot be written.
        """
        if self.mirror:
            self.mirror.send()

    def replace_config(self, config_yaml: str) -> None:
        """Replace the text of ``config.yaml``, as when a run is to go on for longer."""
        self._require_open()
        if config_yaml != self.config_yaml:
            write_text_atomic(self.config, config_yaml)

    def discard(self) -> None:
        """Remove the run, unless it has learned something."""
        if not self.metrics.exists() and not self.checkpoints.exists():
            self.config.unlink(missing_ok=True)
            self.lock.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def close(self) -> None:
        """Release the folder."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def log(
        self,
        metrics: Mapping[str, object],
        *,
        ledger: Sequence[Mapping[str, object]] = (),
        workers: Sequence[Mapping[str, object]] = (),
        learner_idle_share: float = 0.0,
    ) -> None:
        """Append one line to ``metrics.jsonl`` and any to ``ledger.jsonl``, and replace ``workers.json``.

        ``iteration`` of each line counts finished iterations. Numbers that are not finite are written as null.
        """
        self._require_open()
        if not all("iteration" in line for line in (metrics, *ledger)):
            raise ValueError("metrics need an 'iteration', by which resuming finds the line to go on from")
        for path, lines in ((self.ledger, ledger), (self.metrics, [metrics])):
            if lines:
                with _path_in_errors(path), open_own(path, "a") as file:
                    file.write("".join(to_json(line) + "\n" for line in lines))
        if workers:
            described = {"workers": workers, "learner": {"idle_share": round(learner_idle_share, 3)}}
            write_text_atomic(self.workers, to_json(described) + "\n")

    def sync_logs(self) -> None:
        """Force metrics and ledger to the disk, as before a checkpoint that they lead up to."""
        self._require_open()
        for path in (self.metrics, self.ledger):
            sync_file(path)

    def truncate_logs(self, step: int) -> tuple[str, ...]:
        """Drop the lines of iterations after ``step``, and any line that was only half written.

        Returns:
            What a person should know: which lines of iterations up to ``step`` are lost.
        """
        self._require_open()
        notes = []
        for path in (self.metrics, self.ledger):
            kept = [line for line in read_metrics(path) if line["iteration"] <= step]
            lost = set(range(1, step + 1)) - {line["iteration"] for line in kept}
            if lost:
                first = min(lost)
                notes.append(
                    f"{path.name} has lost lines of {len(lost)} of {step} iterations, the first of them {first}"
                )
            if path.exists():
                write_text_atomic(path, "".join(to_json(line) + "\n" for line in kept))
        return tuple(notes)

    def write_summary(self, summary: Mapping[str, object]) -> None:
        """Replace ``summary.json``."""
        self._require_open()
        write_text_atomic(self.summary, to_json(summary, indent=2) + "\n")

    def _require_open(self) -> None:
        if self._lock.closed:
            raise RuntimeError(f"the run {self.path} is closed: another process may be writing to it")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a ``metrics.jsonl`` or ``ledger.jsonl``, none where there is no such file.

    A half-written line is left out.
    """
    try:
        return list(_complete_lines(read_regular(path, largest=LARGEST_LOG, what="log").decode(errors="replace")))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise bad_input("log", where=str(path), expected="a readable file", got=error.strerror) from error


def _complete_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n")[:-1]:
        with contextlib.suppress(ValueError):
            entry = parse_json(line)
            if isinstance(entry, dict) and _is_count(entry.get("iteration")) and _has_numbers(entry):
                yield entry


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _has_numbers(entry: Mapping[str, Any]) -> bool:
    """Return whether what a reader counts with is a number, where it is there and not null."""
    counts, amounts = (
        [entry.get(name) for name in names] for names in (("steps", "shard"), ("seconds", "return_mean"))
    )
    return all(value is None or _is_count(value) for value in counts) and all(
        value is None or isinstance(value, int | float) for value in amounts
    )


def _require_empty(folder: RunFolder) -> None:
    if folder.config.exists():
        raise BadInput(f"--out {folder.path} already has a run: add --resume or choose another --out")
    # A run that was killed while it was being created leaves no more than its lock and an unfinished configuration.
    unfinished = f".{folder.config.name}.temporary"
    entries = [entry.name for entry in folder.path.iterdir()] if folder.path.exists() else []
    if any(name != folder.lock.name and not name.startswith(unfinished) for name in entries):
        raise BadInput(f"--out {folder.path} is not empty and has no run: choose another --out")


def _refuse_links(folder: RunFolder) -> None:
    """Refuse to write to a run in which a link stands for what is written or removed.

    Raises:
        BadInput: naming the first link.
    """
    hidden = (entry for entry in folder.path.iterdir() if entry.name.startswith("."))
    named = (folder.config, folder.metrics, folder.ledger, folder.workers, folder.summary, folder.curve)
    places = [folder.checkpoints, folder.checkpoints / "segments", folder.agent, folder.path / "tensorboard"]
    inside = (Path(entry) for place in places if place.is_dir() for entry in os.scandir(place))
    for path in itertools.chain(hidden, named, places, inside):
        if path.is_symlink():
            raise bad_input("link", where=f"run {folder.path}", expected="files and folders of its own", got=str(path))


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _acquire(folder: RunFolder) -> IO[str]:
    lock = open_own(folder.lock, "a+")
    try:
        # flock, not lockf: it also keeps out a second writer in this process.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {socket.gethostname()}")
        lock.flush()
    except OSError as error:
        with lock:
            lock.seek(0)
            if isinstance(error, BlockingIOError):
                raise BadInput(f"the run {folder.path} is being written by process {lock.read()}") from None
        raise
    return lock


@contextlib.contextmanager
def _named(out: Path) -> Iterator[None]:
    """Turn what the operating system refuses into bad input that names the folder."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"cannot write to the output folder {out}: {error.strerror}; choose another --out") from error


@contextlib.contextmanager
def _removed_on_failure(out: Path) -> Iterator[None]:
    """Remove the folders that the block made, where it fails."""
    missing = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in missing:
                folder.rmdir()
        raise
