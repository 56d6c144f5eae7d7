"""What people see in their terminal: progress and notes on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from wormwood.launch.run.old_names import OldName
from wormwood.launch.run.service import Progress as RunProgress
from wormwood.launch.run.training import Watcher
from wormwood.launch.storage.files import to_json

__all__ = [
    "as_text",
    "note",
    "notes_of_old_names",
    "print_json",
    "print_table",
    "print_text",
    "progress_bar",
    "training_watcher",
]

# Names of runs are printed as they are: without markup, and without emoji for what stands between colons.
_ERRORS = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)
_RESULTS = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)

_UNLIMITED = 10**6  # characters


def note(text: str) -> None:
    """Tell the user something on stderr."""
    _ERRORS.print(text)


@contextmanager
def notes_of_old_names() -> Iterator[None]:
    """Tell the user of each old name of a setting, once and in one line."""
    told = set[str]()

    def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if category is not OldName:
            others(message, category, *place)
        elif str(message) not in told:
            told.add(str(message))
            note(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", OldName)
        others, warnings.showwarning = warnings.showwarning, show  # type: ignore[assignment] # more than it needs
        yield


def print_text(text: str) -> None:
    """Print a result on stdout."""
    _RESULTS.print(text)


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(json.loads(to_json(value))))


def as_text(value: object) -> str:
    """Return a value as it stands in a table."""
    return f"{value:.3f}" if isinstance(value, float) else value if isinstance(value, str) else to_json(value)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout; columns of numbers stand to the right."""
    cells = [[_printable(str(value)) for value in row] for row in rows]
    table = Table(box=SIMPLE)
    for index, column in enumerate(columns):
        numeric = _are_numbers([row[index] for row in cells])
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    if title:
        print_text(title)
    # A file or pipe has no width: nothing is folded there, however long it is.
    Console(highlight=False, width=None if sys.stdout.isatty() else _UNLIMITED).print(table)


def _printable(text: str) -> str:
    """Escape what would move the cursor or cannot be encoded, as names of files may hold it."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _are_numbers(cells: Sequence[str]) -> bool:
    """Tell whether all cells that are not empty are numbers, and there are any."""
    try:
        return len([float(cell.replace(",", "")) for cell in cells if cell]) > 0
    except ValueError:
        return False


PAUSE = 10.0
"""Seconds between two lines about progress, where there is no terminal that could show a bar."""


class _Lines:
    """Says on stderr how far something is, now and then."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def say(self, text: str) -> None:
        """Print a line, unless the last one, or the beginning, was a moment ago."""
        now = time.monotonic()
        if now - self._said >= PAUSE:
            self._said = now
            note(text)


@contextmanager
def progress_bar(description: str, total: float) -> Iterator[Any]:
    """Show a bar on stderr, and give a function that sets how much is done, and what is being done if that changed.

    Where stderr is no terminal, there is a line now and then.
    """
    if not _ERRORS.is_terminal:
        lines, current = _Lines(), description

        def say(done: float, doing: str | None = None) -> None:
            nonlocal current
            current = doing or current
            lines.say(f"{current}: {100 * done / total:.0f} %")

        yield say
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=_ERRORS, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done, doing=None: progress.update(task, completed=done, description=doing)


@contextmanager
def training_watcher(iterations: int, *, quiet: bool = False) -> Iterator[Watcher]:
    """Show on stderr what a run has to say, its iterations and last return, unless ``quiet``.

    A terminal has a bar, and anything else a line now and then.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("iterations"),
        TimeRemainingColumn(),
    )
    lines, has_bar = _Lines(), _ERRORS.is_terminal and not quiet
    with Progress(*columns, console=_ERRORS, disable=not has_bar) as progress:
        task = progress.add_task("starting", total=iterations)

        def started(run: RunProgress) -> None:
            for text in run.notes:
                note(text)
            description = f"going on from iteration {run.iteration}" if run.iteration else "training"
            progress.update(task, completed=run.iteration, description=description)

        def advanced(metrics: Mapping[str, Any]) -> None:
            shown = [f"{metrics['steps']:,} steps"]
            if "return_mean" in metrics:
                shown.append(f"return {metrics['return_mean']:z.0f}")
            progress.update(task, completed=metrics["iteration"], description=", ".join(shown))
            if not has_bar and not quiet:
                lines.say(f"iteration {metrics['iteration']} of {iterations}, {', '.join(shown)}")

        yield Watcher(started, advanced)
