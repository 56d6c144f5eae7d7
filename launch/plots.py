"""Learning curves as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wormwood.envs.picture_files import write_picture

__all__ = ["plot_learning_curve"]


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
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, label in (("return_mean", "mean of the iteration's episodes"), ("return_best", "best candidate")):
        lines = [line for line in metrics if line.get(name) is not None]
        if lines:
            axes.plot([line["steps"] for line in lines], [line[name] for line in lines], label=label)
    held_out = [line for line in metrics if line.get("held_out_return_mean") is not None]
    if held_out:
        steps, means = [line["steps"] for line in held_out], [line["held_out_return_mean"] for line in held_out]
        axes.plot(steps, means, "o-", label="policy, held-out starts")
    if final is not None:
        axes.axhline(
            final, color="black", linestyle="--", linewidth=1, label=f"final policy, held-out starts: {final:.0f}"
        )
    axes.set(xlabel="environment steps", ylabel="return of an episode", title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    canvas.draw()
    write_picture(path, np.asarray(canvas.buffer_rgba())[..., :3])
