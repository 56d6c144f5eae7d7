"""The report in files: one page for people, and the same as JSON, CSV, PNG and SVG."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from wormwood.envs.pictures.files import Picture, write_picture
from wormwood.launch.storage.files import to_json, write_text_atomic
from wormwood.launch.transfer.figures import (
    draw_curve,
    draw_curves,
    draw_film,
    draw_heat_map,
    draw_profile,
    png_bytes,
    to_png,
    to_svg,
)
from wormwood.launch.transfer.page import Illustration, write_page
from wormwood.launch.transfer.results import Results
from wormwood.launch.transfer.zero_shot import versions

__all__ = ["PAGE", "write_report"]

PAGE, JSON, CSV = "report.html", "results.json", "results.csv"
HEAT_MAP, CURVES, PROFILE = "heat-map", "curves", "profile"
"""Figures, each as .png and .svg."""


def write_report(
    results: Results,
    folder: Path,
    *,
    command: str,
    notes: Sequence[str] = (),
    progress: Callable[[float], None] = lambda share: None,
) -> Path:
    """Write the report's files to a folder that is there, and return the page.

    Args:
        results: what was measured.
        folder: where earlier files of a report are replaced.
        command: that makes the report again.
        notes: what else a reader must know.
        progress: is told which share of the pictures is drawn.
    """
    write_text_atomic(folder / JSON, to_json(_described(results, command), indent=1) + "\n")
    write_text_atomic(folder / CSV, _csv(results.rows))
    _write_figure(folder, HEAT_MAP, draw_heat_map(results))
    if (curves := draw_curves(results)) is not None:
        _write_figure(folder, CURVES, curves, dpi=100)
    profile = _write_figure(folder, PROFILE, draw_profile(results))
    page = write_page(
        results,
        command=command,
        versions=versions(),
        curves=_curves(results),
        profile=Illustration(png_bytes(profile), "Share of starts above each threshold, with the 95 % interval"),
        films=_films(results, progress),
        notes=notes,
    )
    write_text_atomic(folder / PAGE, page)
    return folder / PAGE


def _write_figure(folder: Path, name: str, figure: Figure, *, dpi: int = 130) -> Picture:
    """Write a figure as PNG and as SVG, and return its pixels."""
    picture = to_png(figure, dpi=dpi)
    write_picture(folder / f"{name}.png", picture)
    write_text_atomic(folder / f"{name}.svg", to_svg(figure))
    return picture


def _described(results: Results, command: str) -> Mapping[str, object]:
    summary = [
        {name: dataclasses.asdict(v) if dataclasses.is_dataclass(v) else v for name, v in line.items()}  # type: ignore[arg-type]
        for line in results.summary
    ]
    improvement = [{"agent": a, "over": b, **dataclasses.asdict(interval)} for a, b, interval in results.improvements]
    starts = {agent: _returns(results, agent) for agent in results.agents}
    return {
        "command": command,
        "versions": versions(),
        "suite": results.suite.name,
        "seed": results.seed,
        "rows": results.rows,
        "summary": summary,
        "probability_of_improvement": improvement,
        "tuning": [dataclasses.asdict(comparison) for comparison in results.comparisons.values()],
        "tuning_runs": [dataclasses.asdict(tuning) for tuning in results.tunings],
        "returns": starts,
    }


def _returns(results: Results, agent: str) -> Mapping[str, object]:
    """Return the returns of each start by body; of a group by body and run."""
    runs, bodies = results.runs(agent), [entry.body.name for entry in results.suite.bodies]
    if agent not in results.groups:
        return {body: results.outcomes[agent, body].returns for body in bodies}
    return {body: {run: results.outcomes[run, body].returns for run in runs} for body in bodies}


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _as_cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _as_cell(value: object) -> object:
    """Quote a text that a spreadsheet would take for a formula, as any name may be."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _curves(results: Results) -> list[Illustration]:
    along = {entry.axis for entry in results.suite.bodies}
    names = [name for name, _ in results.suite.axes if name in along]
    captions = {name: f"Return, with its 95 % interval, and speed along the axis: {name}" for name in names}
    return [Illustration(png_bytes(to_png(draw_curve(results, name))), captions[name]) for name in names]


def _films(results: Results, progress: Callable[[float], None]) -> list[Illustration]:
    """Return one strip for each body and each agent that can act on it; of a group, of its first run."""
    films = []
    for done, entry in enumerate(results.suite.bodies):
        progress(done / len(results.suite.bodies))
        for agent in results.agents:
            outcome, row = (
                results.outcomes[results.runs(agent)[0], entry.body.name],
                results.by_name[agent, entry.body.name],
            )
            if outcome.poses and row["return_iqm"] is not None:
                film = draw_film(entry, results.suite.spec(entry), outcome)
                numbers = f"return {row['return_iqm']:z.0f}, {100 * row['speed_mean']:z.1f} cm/s"
                films.append(Illustration(png_bytes(film, colours=64), f"{entry.body.name}, {agent}: {numbers}"))
    return films
