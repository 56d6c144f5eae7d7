"""A picture of what a memory reads, writes, keeps and erases over one trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wormwood.agents.policies.interfaces import Floats

__all__ = ["MemoryTrace", "describe", "make_figure"]

DPI, WIDTH = 150, 9.0
PANEL, REWARDS, MARGIN, GAP = 1.5, 0.9, 0.7, 0.55  # inches
LEFT, RIGHT = 1.1, 1.3
INK, MUTED = "#222222", "#707070"


@dataclass(frozen=True)
class MemoryTrace:
    """One trial of T steps with a memory of N slots."""

    title: str
    read: Floats
    """``[T, N]`` share of each slot in what is read."""
    written: Floats
    """``[T, N]`` share of each slot in what is written."""
    erased: Floats
    """``[T, N]`` share of each slot that is erased: its address times the mean of the erase gates."""
    kept: Floats
    """``[T, N]`` share of what each slot began the trial with that is still there."""
    reward: Floats
    """``[T]``"""
    action: Sequence[str]
    """``[T]`` what was done, as few characters as say it."""
    starts: Sequence[int]
    """Steps at which an episode of the trial begins."""


def describe(trace: MemoryTrace) -> dict[str, Any]:
    """Return the trace in plain values."""
    arrays = ("read", "written", "erased", "kept", "reward")
    return {
        "title": trace.title,
        **{name: getattr(trace, name).round(6).tolist() for name in arrays},
        "action": list(trace.action),
        "episode_starts": list(trace.starts),
    }


def make_figure(trace: MemoryTrace) -> Figure:
    """Draw a trace: rewards, then one panel for each of the memory's deeds."""
    panels = {
        "read from": trace.read,
        "written to": trace.written,
        "erased": trace.erased,
        "kept since the start": trace.kept,
    }
    height = 2 * MARGIN + REWARDS + len(panels) * (PANEL + GAP)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    figure.text(LEFT / WIDTH, 1 - 0.3 / height, trace.title, fontsize=11, color=INK, weight="bold")
    top = height - MARGIN

    def place(tall: float) -> Axes:
        nonlocal top
        top -= tall
        axes = figure.add_axes((LEFT / WIDTH, top / height, (WIDTH - LEFT - RIGHT) / WIDTH, tall / height))
        top -= GAP
        return axes

    _draw_rewards(place(REWARDS), trace)
    for title, shares in panels.items():
        axes = place(PANEL)
        image = axes.imshow(shares.T, aspect="auto", cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
        _dress(axes, trace, title=title)
        axes.set_ylabel("slot", color=MUTED, fontsize=8)
        axes.set_yticks(range(shares.shape[1]) if shares.shape[1] <= 8 else [0, shares.shape[1] - 1])
    lines = "; white lines begin its episodes" if _has_lines(trace) else ""
    axes.set_xlabel(f"step of the trial{lines}", color=MUTED, fontsize=8)
    bar = figure.add_axes(((WIDTH - RIGHT + 0.25) / WIDTH, (top + GAP) / height, 0.15 / WIDTH, PANEL / height))
    figure.colorbar(image, cax=bar).set_label("share", color=MUTED, fontsize=8)
    bar.tick_params(labelsize=7, colors=MUTED)
    return figure


def _draw_rewards(axes: Axes, trace: MemoryTrace) -> None:
    steps = np.arange(len(trace.reward))
    axes.bar(steps, trace.reward, color="#0072B2", width=0.8)
    axes.set_xlim(-0.5, len(steps) - 0.5)
    axes.set_ylabel("reward", color=MUTED, fontsize=8)
    if len(steps) <= 40:
        for step, action in zip(steps, trace.action, strict=True):
            axes.annotate(action, (step, 0), (0, -4), textcoords="offset points", ha="center", va="top", fontsize=7)
    _dress(axes, trace, title="actions below their rewards" if len(steps) <= 40 else "rewards")
    axes.set_xticks([])


def _dress(axes: Axes, trace: MemoryTrace, *, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    axes.tick_params(labelsize=7, colors=MUTED)
    if _has_lines(trace):
        for start in trace.starts[1:]:
            axes.axvline(start - 0.5, color="white", linewidth=1.2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _has_lines(trace: MemoryTrace) -> bool:
    # Where every step begins an episode, lines would only hide what is to be seen.
    return 1 < len(trace.starts) < len(trace.reward) / 2
