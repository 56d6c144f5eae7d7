"""The report in files: one page for people, and the same as JSON, CSV and PNG."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wormwood.envs.pictures.files import write_picture
from wormwood.launch.storage.files import to_json, write_text_atomic
from wormwood.launch.transfer.figures import (
    draw_curve,
    draw_curves,
    draw_film,
    draw_heat_map,
    draw_profile,
    png_bytes,
    to_png,
)
from wormwood.launch.transfer.page import Illustration, write_page
from wormwood.launch.transfer.results import Results
from wormwood.launch.transfer.zero_shot import versions

__all__ = ["PAGE", "write_report"]

PAGE, JSON, CSV = "report.html", "results.json", "results.csv"
HEAT_MAP, CURVES, PROFILE = "heat-map.png", "curves.png", "profile.png"


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
    write_picture(folder / HEAT_MAP, to_png(draw_heat_map(results)))
    if (curves := draw_curves(results)) is not None:
        write_picture(folder / CURVES, to_png(curves, dpi=100))
    profile = to_png(draw_profile(results))
    write_picture(folder / PROFILE, profile)
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
        "tuning": [
            {**dataclasses.asdict(tuning), "retention": tuning.retention, "jumpstart": tuning.jumpstart}
            for tuning in results.tunings
        ],
        "returns": starts,
    }


def _returns(results: Results, agent: str) -> Mapping[str, Sequence[float]]:
    return {entry.body.name: results.outcomes[agent, entry.body.name].returns for entry in results.suite.bodies}


def _csv(rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _curves(results: Results) -> list[Illustration]:
    along = {entry.axis for entry in results.suite.bodies}
    names = [name for name, _ in results.suite.axes if name in along]
    captions = {name: f"Return, with its 95 % interval, and speed along the axis: {name}" for name in names}
    return [Illustration(png_bytes(to_png(draw_curve(results, name))), captions[name]) for name in names]


def _films(results: Results, progress: Callable[[float], None]) -> list[Illustration]:
    """Return one strip for each body, of the first agent that can act on it."""
    films = []
    for done, entry in enumerate(results.suite.bodies):
        progress(done / len(results.suite.bodies))
        agents = [agent for agent in results.agents if results.outcomes[agent, entry.body.name].poses]
        if agents:
            outcome = results.outcomes[agents[0], entry.body.name]
            film = draw_film(entry, results.suite.spec(entry), outcome)
            row = results.by_name[agents[0], entry.body.name]
            numbers = f"return {row['return_iqm']:.0f}, {100 * row['speed_mean']:.1f} cm/s"
            films.append(Illustration(png_bytes(film, colours=64), f"{entry.body.name}, {agents[0]}: {numbers}"))
    return films
