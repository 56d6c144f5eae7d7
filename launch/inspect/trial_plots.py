"""How an agent adapts over the episodes of its trials, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wormwood.agents.references.anchors import Anchors
from wormwood.envs.pictures.files import figure_pixels, write_picture

__all__ = ["make_adaptation_figure", "plot_adaptation"]

LONGEST_TITLE = 90  # characters that fit


def plot_adaptation(row: Mapping[str, Any], path: Path, *, title: str, anchors: Anchors | None) -> None:
    """Draw the return of each episode of a trial with its 95 % interval into a PNG file.

    Args:
        row: of `wormwood evaluate --json` on trials.
        path: the file, which ends in .png.
        title: what was played.
        anchors: chance and the oracle, drawn as lines; None where they are not known.

    Raises:
        BadInput: the file cannot be written.
    """
    write_picture(path, figure_pixels(make_adaptation_figure(row, title=title, anchors=anchors)))


def make_adaptation_figure(row: Mapping[str, Any], *, title: str, anchors: Anchors | None) -> Figure:
    """Return the figure that ``plot_adaptation`` writes."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    count = len(row["episode_means"])
    episode = np.arange(1, count + 1)
    style = "C0o-" if count <= 20 else "C0-"
    axes.fill_between(episode, row["episode_lows"], row["episode_highs"], color="C0", alpha=0.25, linewidth=0)
    axes.plot(episode, row["episode_means"], style, label=f"{row['agent']}, with its 95 % interval")
    if anchors is not None:
        axes.axhline(anchors.oracle, color="black", linestyle="--", linewidth=1, label="oracle, which knows the task")
        axes.axhline(anchors.random, color="0.5", linestyle=":", linewidth=1.5, label="random")
    lines = [title, f"{row['episodes']:,} held-out tasks"]
    if "score" in row:
        half = row["score_high"] - row["score"]
        lines[1] += f"; score {row['score']:.3f} ± {half:.3f}, 0 is random, 1 {row['optimum']}"
    # A dollar sign in a name starts no formula.
    axes.set_title("\n".join(line[:LONGEST_TITLE] for line in lines), fontsize=10, parse_math=False)
    axes.set(xlabel="episode of the trial", ylabel="return of the episode")
    axes.set_xlim(0.5, count + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True, steps=[1, 2, 5, 10]))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure
