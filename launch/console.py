"""What people see in their terminal: progress and notes on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from wormwood.launch.runs import to_json
from wormwood.launch.service import Progress as RunProgress
from wormwood.launch.training import Watcher

__all__ = ["note", "print_json", "print_table", "print_text", "progress_bar", "training_watcher"]

_ERRORS = Console(stderr=True, highlight=False, soft_wrap=True)
_RESULTS = Console(highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """Tell the user something on stderr."""
    _ERRORS.print(text, markup=False)


def print_text(text: str) -> None:
    """Print a result on stdout."""
    _RESULTS.print(text, markup=False)


def print_json(value: Mapping[str, object]) -> None:
    """Print one JSON object on stdout."""
    print(json.dumps(json.loads(to_json(value))))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on stdout; columns of numbers stand to the right."""
    table = Table(title=title or None, title_justify="left", box=SIMPLE)
    shown = [[str(value) for value in row] for row in rows]
    for index, column in enumerate(columns):
        numeric = all(row[index][:1].isdigit() or row[index][:1] in "+-" for row in shown)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        table.add_row(*row)
    # A file or pipe has no width: nothing is folded there.
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


@contextmanager
def progress_bar(description: str, total: float) -> Iterator[Any]:
    """Show a bar on stderr, and give a function that sets how much is done, and what is being done if that changed."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    hidden = not _ERRORS.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=_ERRORS, transient=True, disable=hidden) as progress:
        task = progress.add_task(description, total=total)
        yield lambda done, doing=None: progress.update(task, completed=done, description=doing)


@contextmanager
def training_watcher(iterations: int) -> Iterator[Watcher]:
    """Show the iterations of a run and its last return on stderr."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("iterations"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_ERRORS) as progress:
        task = progress.add_task("starting", total=iterations)

        def started(run: RunProgress) -> None:
            for text in run.notes:
                progress.console.print(text, markup=False)
            description = f"going on from iteration {run.iteration}" if run.iteration else "training"
            progress.update(task, completed=run.iteration, description=description)

        def advanced(metrics: Mapping[str, Any]) -> None:
            shown = [f"{metrics['steps']:,} steps"]
            if "return_mean" in metrics:
                shown.append(f"return {metrics['return_mean']:.0f}")
            progress.update(task, completed=metrics["iteration"], description=", ".join(shown))

        yield Watcher(started, advanced)
