"""The figures of a transfer report. They need no colour: lines differ in markers and dashes, and cells hold values."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image

from wormwood.agents.policies.interfaces import Floats
from wormwood.envs.pictures.files import Picture, figure_pixels
from wormwood.envs.pictures.rendering import draw_strip
from wormwood.envs.specs import SwimmerSpec
from wormwood.launch.transfer.results import THRESHOLDS, Results
from wormwood.launch.transfer.suites import SuiteBody
from wormwood.launch.transfer.zero_shot import Outcome

__all__ = [
    "cell_colours",
    "draw_curve",
    "draw_curves",
    "draw_film",
    "draw_heat_map",
    "draw_profile",
    "png_bytes",
    "to_png",
    "to_svg",
]

# Okabe and Ito's colours, which all kinds of colour vision tell apart, without yellow, which is faint on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES = ("-", "--", "-.", ":")
LONGEST = 28  # characters of a name in a legend
MAP = "cividis"
DARK, LIGHT = "#000000", "#ffffff"
FILM_WIDTH = 640  # pixels


def to_png(figure: Figure, *, dpi: int = 130) -> Picture:
    """Return the pixels ``[height, width, 3]`` of a figure."""
    figure.set_dpi(dpi)
    return figure_pixels(figure)


def to_svg(figure: Figure) -> str:
    """Return a figure as SVG, the same text every time."""
    text = io.StringIO()
    with rc_context({"svg.hashsalt": "wormwood"}):  # of the names that its parts have
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def png_bytes(picture: Picture, *, colours: int = 128) -> bytes:
    """Return a picture as a PNG of few colours, so that a page of many stays small."""
    data = io.BytesIO()
    Image.fromarray(picture).quantize(colours).save(data, "PNG", optimize=True)
    return data.getvalue()


def cell_colours(share: float) -> tuple[str, str]:
    """Return the colours of a cell and of the text in it, for a value as a share of the largest."""
    red, green, blue, _ = colormaps[MAP](float(np.clip(share, 0.0, 1.0)))
    # Relative luminance of sRGB, as WCAG 2 defines it; at 0.18 black and white text are equally easy to read.
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    luminance = float(np.dot([0.2126, 0.7152, 0.0722], linear))
    return "#" + "".join(f"{round(255 * c):02x}" for c in (red, green, blue)), DARK if luminance > 0.18 else LIGHT


def draw_heat_map(results: Results) -> Figure:
    """Draw the interquartile mean of the returns of every agent on every body, with the values in the cells."""
    bodies, agents = [entry.body.name for entry in results.suite.bodies], results.agents
    figure = Figure(figsize=(3.2 + 1.1 * len(agents), 1.2 + 0.24 * len(bodies)), layout="constrained")
    axes, most = figure.add_subplot(), results.suite.task.horizon
    values = [[results.by_name[agent, body]["return_iqm"] for agent in agents] for body in bodies]
    shares = np.array([[np.nan if value is None else value / most for value in row] for row in values])
    axes.imshow(shares, cmap=MAP, vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        missing = np.isnan(share)
        colour = DARK if missing else cell_colours(share)[1]
        cell = results.by_name[agents[column], bodies[row]]
        text = "–" if missing else f"{values[row][column]:z.0f}{'*' * cell['adapted']}{'!' * bool(cell['unstable'])}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(agents)), [_short(name) for name in agents], rotation=20, ha="left", parse_math=False)
    axes.set_yticks(range(len(bodies)), bodies, fontsize=8, parse_math=False)
    axes.xaxis.tick_top()
    meaning = (
        f"return, of at most {most}: interquartile mean\n–: cannot act on this body; *: padded; !: unstable physics"
    )
    axes.set_xlabel(meaning, fontsize=8)
    return figure


def draw_profile(results: Results) -> Figure:
    """Draw which share of starts, each body with the same weight, returned more than each threshold."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for index, agent in enumerate(results.agents):
        share, low, high = results.profile(agent)
        style = _style(index)
        axes.plot(THRESHOLDS, share, label=_short(agent), markevery=(2 * index, 20), **style)
        axes.fill_between(THRESHOLDS, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="threshold, as a share of the most possible return")
    axes.set_ylabel("share of starts, or runs, above it")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(alpha=0.3)
    _add_legend(figure, axes)
    return figure


def draw_curve(results: Results, axis: str) -> Figure:
    """Draw return, with its interval, and speed along one axis, for every agent."""
    figure = Figure(figsize=(4.6, 4.8), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    _plot_curve(upper, lower, results, axis)
    _add_legend(figure, upper)
    return figure


def draw_curves(results: Results) -> Figure | None:
    """Draw all axes into one figure; None where the suite has no axis."""
    axes = [name for name, _ in results.suite.axes if len(_along(results, name)[0]) > 1]
    if not axes:
        return None
    columns = min(4, len(axes))
    rows = -(-len(axes) // columns)
    figure = Figure(figsize=(4.2 * columns, 4.4 * rows), layout="constrained")
    heights = [height for _ in range(rows) for height in (3, 2)]
    panels = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=heights)
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        upper, lower = panels[2 * row, column], panels[2 * row + 1, column]
        if index < len(axes):
            _plot_curve(upper, lower, results, axes[index])
        else:
            upper.set_axis_off()
            lower.set_axis_off()
    _add_legend(figure, panels[0, 0])
    return figure


def draw_film(entry: SuiteBody, spec: SwimmerSpec, outcome: Outcome) -> Picture:
    """Draw the first seconds of start 0 of an outcome that has poses as one picture ``[height, width, 3]``."""
    poses, step = np.array(outcome.poses), spec.body.control_timestep
    labels = [f"{100 * k * step:.0f} s" for k in range(len(poses))]
    return draw_strip(entry.body, poses, labels=labels, width=FILM_WIDTH)


def _along(results: Results, axis: str) -> tuple[list[SuiteBody], list[str]]:
    """Return the bodies along an axis in order, home among them, and what their ticks say."""
    home_value = dict(results.suite.axes)[axis]
    home = [entry for entry in results.suite.bodies if entry.label == "home"][:1]
    bodies = [(entry.value or 0.0, entry) for entry in results.suite.bodies if entry.axis == axis]
    # On an axis without a place for home, it stands in front.
    bodies += [(-np.inf if home_value is None else home_value, entry) for entry in home]
    bodies.sort(key=lambda pair: pair[0])
    ticks = ["home" if entry in home and home_value is None else f"{value:g}" for value, entry in bodies]
    return [entry for _, entry in bodies], ticks


def _plot_curve(upper: Axes, lower: Axes, results: Results, axis: str) -> None:
    bodies, ticks = _along(results, axis)
    places = np.arange(len(bodies))
    is_quantity = dict(results.suite.axes)[axis] is not None  # else its numbers are names, as those of joints
    for index, agent in enumerate(results.agents):
        rows = [results.by_name[agent, entry.body.name] for entry in bodies]
        middle, low, high = (_column(rows, f"return_{name}") for name in ("iqm", "low", "high"))
        style = _style(index) if is_quantity else {**_style(index), "linestyle": "none"}
        upper.plot(places, middle, label=_short(agent), **style)
        if is_quantity:
            upper.fill_between(places, low, high, color=style["color"], alpha=0.2, linewidth=0)
        else:
            upper.vlines(places, low, high, color=style["color"], alpha=0.5)
        lower.plot(places, 100 * _column(rows, "speed_mean"), **style)
    for axes in (upper, lower):
        home = [place for place, entry in enumerate(bodies) if entry.label == "home"]
        for place in home:
            axes.axvline(place, color="gray", linewidth=1, linestyle=":")
        axes.grid(alpha=0.3, axis="y")
        axes.set_xticks(places, ticks, rotation=45 if len(ticks) > 8 else 0)
    upper.set_ylim(0, 1.02 * results.suite.task.horizon)
    lower.axhline(0.0, color="gray", linewidth=1)  # so that a small change does not fill the panel
    upper.set_title(f"{axis} (dotted line: home)", fontsize=10, parse_math=False)
    upper.set_ylabel("return")
    lower.set_ylabel("speed (cm/s)")
    lower.set_xlabel(dict(results.suite.units).get(axis, ""), fontsize=9, parse_math=False)


def _column(rows: Sequence[dict[str, Any]], name: str) -> Floats:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], dtype=np.float64)


def _style(index: int) -> dict[str, Any]:
    """Return a line style that no other of the first 28 agents has, with or without colour."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": DASHES[index % len(DASHES)],
        "markersize": 4,
        "linewidth": 1.5,
    }


def _add_legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
