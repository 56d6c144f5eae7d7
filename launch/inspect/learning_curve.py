"""Learning curves as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wormwood.envs.pictures.files import figure_pixels, write_picture

__all__ = ["make_figure", "plot_learning_curve"]

CURVES = {
    "return_mean": ("mean of the iteration's episodes", "C0-"),
    "return_best": ("best candidate", "C1-"),
    "held_out_return_mean": ("policy, held-out starts", "C2o-"),
}
"""Label and style by the name in the metrics."""
LONGEST = 60  # characters of a title that fit


def plot_learning_curve(metrics: Sequence[Mapping[str, Any]], path: Path, *, title: str, final: float | None) -> None:
    """Draw the returns of a run against environment steps as a PNG.

    Args:
        metrics: the lines of ``metrics.jsonl``.
        path: the file, which ends in .png.
        title: what the picture is of.
        final: mean return of the final policy on held-out starts, drawn as a line; None where there is none.

    Raises:
        BadInput: the file cannot be written.
    """
    write_picture(path, figure_pixels(make_figure(metrics, title=title, final=final)))


def make_figure(metrics: Sequence[Mapping[str, Any]], *, title: str, final: float | None) -> Figure:
    """Return the figure that ``plot_learning_curve`` writes."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    returns = [] if final is None else [final]
    for name, (label, style) in CURVES.items():
        lines = [line for line in metrics if line.get(name) is not None]
        if lines:
            values = [line[name] for line in lines]
            alone = "o" if len(lines) == 1 and "o" not in style else ""  # a line through one point is not seen
            axes.plot([line["steps"] for line in lines], values, style + alone, label=label)
            returns += values
    if final is not None:
        label = f"final policy, held-out starts: {final:,.1f}"
        axes.axhline(final, color="black", linestyle="--", linewidth=1, label=label)
    if not any(line.get("return_mean") is not None for line in metrics):
        box = {"facecolor": "white", "edgecolor": "none"}
        axes.text(0.5, 0.6, "no episode ended yet", transform=axes.transAxes, ha="center", va="center", bbox=box)
    # A dollar sign in a run's name starts no formula.
    axes.set_title(title if len(title) <= LONGEST else f"{title[: LONGEST - 1]}…", parse_math=False)
    axes.set(xlabel="environment steps", ylabel="return of an episode")
    _set_limits(axes, steps=max((line["steps"] for line in metrics), default=1), returns=returns)
    axes.grid(alpha=0.3)
    if returns:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _set_limits(axes: Axes, *, steps: int, returns: Sequence[float]) -> None:
    """Show all steps from the first on, and all returns and 0 with some space around them."""
    low, high = min([0.0, *returns]), max([0.0, *returns])
    space = 0.05 * (high - low or 1.0)
    axes.set_xlim(-0.02 * steps, 1.02 * steps)
    axes.set_ylim(low - space, high + space)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.10g}")
