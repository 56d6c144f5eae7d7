"""A run's metrics as TensorBoard shows them: event files in the run's folder, made from ``metrics.jsonl``."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from wormwood.errors import bad_input
from wormwood.launch.run.run_folder import RunFolder, read_metrics
from wormwood.launch.run.service import Progress
from wormwood.launch.run.training import Watcher

__all__ = ["FOLDER", "EventWriter", "scalars", "tensorboard_watcher"]

FOLDER = "tensorboard"
"""Of the event files, in a run's folder."""


def scalars(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a line of ``metrics.jsonl`` by name; keys inside of keys are joined by ``/``.

    Booleans count as 0 and 1. Text, lists and null, which stands for what is not finite, are left out, and so is
    ``steps``, against which all others are drawn.
    """
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from scalars(value, f"{name}/")
        elif isinstance(value, (bool, int, float, np.number, np.bool_)) and name != "steps":
            yield name, float(value)


class EventWriter:
    """Writes a run's event file anew, and then appends a record at a time, until ``close`` or the end of a ``with``.

    TensorBoard joins all event files of a folder. Older ones are therefore removed first: after a resume, they would
    hold points of iterations that are run again.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Replace the run's event files by one with the lines of ``metrics.jsonl`` as it is now.

        Args:
            folder: a run that this process holds for writing. A resumed run has truncated its metrics before.

        Raises:
            BadInput: TensorBoard is not installed, or the files cannot be written.
        """
        make_writer = _import_writer()
        metrics = read_metrics(folder.metrics)
        path = folder.path / FOLDER
        # The metrics say seconds of training, and not when: the last line counts as written just now.
        self._began = time.time() - (metrics[-1].get("seconds") or 0.0 if metrics else 0.0)
        with _named(path):
            if path.exists():
                shutil.rmtree(path)
            self._writer = make_writer(str(path))
            for record in metrics:
                self._add(record)
            self._writer.flush()

    def append(self, record: Mapping[str, Any]) -> None:
        """Write the scalars of one line of metrics, at its number of environment steps."""
        self._add(record)
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, record: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars(record)]
        if values and "steps" in record:
            when = self._began + (record.get("seconds") or 0.0)
            self._writer.add_event(Event(wall_time=when, step=int(record["steps"]), summary=Summary(value=values)))


@contextlib.contextmanager
def tensorboard_watcher(folder: RunFolder, watcher: Watcher) -> Iterator[Watcher]:
    """Write a run's event file while it goes on, and tell ``watcher`` as well.

    Raises:
        BadInput: TensorBoard is not installed, or the files cannot be written.
    """
    writer = EventWriter(folder)  # what is missing is said before anything runs

    def started(progress: Progress) -> None:
        nonlocal writer
        writer.close()
        writer = EventWriter(folder)  # the metrics have been truncated to the checkpoint
        watcher.started(progress)

    def advanced(metrics: Mapping[str, Any]) -> None:
        writer.append(metrics)
        watcher.advanced(metrics)

    try:
        yield Watcher(started, advanced)
    finally:
        writer.close()


def _import_writer() -> Any:
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        expected = 'the package tensorboard: pip install "wormwood[tensorboard]"'
        raise bad_input("missing package", where="tensorboard", expected=expected, got=str(error)) from None
    return EventFileWriter


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise bad_input(
            "event files", where=str(path), expected="a writable folder", got=str(error.strerror)
        ) from error
