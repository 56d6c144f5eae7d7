"""One picture of a boosted policy: what drives its outputs over the rows that it visits, and its first tree."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from wormwood.agents.policies.interfaces import Floats
from wormwood.launch.inspect.forest_summary import CLEAR, Summary
from wormwood.trees.forest import Forest

__all__ = ["make_figure"]

# Okabe and Ito's blue and vermilion: the colour-blind tell them apart.
RISES, FALLS, NEITHER, ASKED = "#0072B2", "#D55E00", "#A8A8A8", "#6B6B6B"
INK, MUTED, GRID = "#222222", "#707070", "#DDDDDD"
VALUES = LinearSegmentedColormap.from_list("values", [RISES, "#C9C3CF", FALLS])
CHANGES = LinearSegmentedColormap.from_list("changes", ["#F0A878", "#FAFAFA", "#8FC1E3"])

DPI = 150
WIDTH, MARGIN, GAP = 11.0, 0.45, 0.28  # inches
BAR, SWARM, LEVEL = 0.25, 0.36, 0.78  # inches of a feature's bar and its dots, and of a level of the tree
OUTPUTS, FEATURES, DEPTH = 4, 10, 4  # of which there is room
LONGEST = 22  # characters of a name


def make_figure(summary: Summary) -> Figure:
    """Draw a boosted policy, whose forest has at least one tree."""
    plan = _Plan(summary)
    figure = Figure(figsize=(WIDTH, plan.height), dpi=DPI, facecolor="white")
    page = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, plan.height))
    page.set_axis_off()
    _draw_title(page, plan)
    for column, output in enumerate(plan.outputs):
        _draw_bars(figure, plan, column, output=output)
        _draw_swarm(figure, plan, column, output=output)
    _draw_asked(figure, plan)
    _draw_legend(figure, page, plan)
    _draw_tree(page, plan)
    return figure


class _Plan:
    """Which features and outputs are shown, and where everything stands, in inches from the lower left corner."""

    def __init__(self, summary: Summary) -> None:
        self.summary = summary
        # Of many outputs the first and the last, which is the value where it shares the trees.
        count = len(summary.outputs)
        self.outputs = [*range(min(count, OUTPUTS) - 1), count - 1]
        order = np.argsort(-summary.shares.sum(axis=1), kind="stable")
        self.features: list[int] = order[:FEATURES].tolist()
        self.names = [_shortened(name) for name in summary.features]
        self.root = _first_tree(summary.forest)
        longest = max(len(self.names[feature]) for feature in self.features)
        self.left = MARGIN + 0.075 * longest + 0.1
        self.column = (WIDTH - MARGIN - self.left - GAP * len(self.outputs)) / (len(self.outputs) + 1)
        self.tree = 0.55 + LEVEL * (self.root.levels - 1) + 0.13 * len(self.outputs)
        self.swarms = self.tree + 1.0
        self.bars = self.swarms + SWARM * len(self.features) + 0.85
        self.height = self.bars + BAR * len(self.features) + 1.5

    def panel(self, figure: Figure, column: int, *, bottom: float, row: float) -> Axes:
        """Return axes with one row for each feature, the most important on top."""
        left, count = self.left + column * (self.column + GAP), len(self.features)
        box = left / WIDTH, bottom / self.height, self.column / WIDTH, row * count / self.height
        axes = figure.add_axes(box, ylim=(count - 0.5, -0.5))
        axes.set_yticks(range(count), [self.names[feature] for feature in self.features] if column == 0 else [])
        axes.tick_params(labelsize=8, length=0, labelcolor=INK)
        axes.tick_params(axis="x", labelsize=7.5, labelcolor=MUTED)
        axes.grid(axis="x", color=GRID, linewidth=0.6)
        axes.set_axisbelow(True)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


# --- what drives the outputs ---


def _draw_title(page: Axes, plan: _Plan) -> None:
    summary, forest, y = plan.summary, plan.summary.forest, plan.height - 0.36
    facts = [
        f"{len(forest):,} trees of depth {forest.depth}",
        _some(len(plan.features), len(summary.features), "features"),
        _some(len(plan.outputs), len(summary.outputs), "outputs"),
        f"{len(summary.rows)} of {summary.visited:,} rows that it visits",
    ]
    # A dollar sign in a name starts no formula.
    title = textwrap.shorten(f"Boosted forest in {summary.environment}", 60, placeholder="…")
    page.text(MARGIN, y, title, fontsize=14, fontweight="bold", color=INK, va="center", parse_math=False)
    page.text(MARGIN, y - 0.29, "  ·  ".join(facts), fontsize=10, color=MUTED, va="center")


def _some(shown: int, count: int, what: str) -> str:
    return (
        f"{count} {what.removesuffix('s') if count == 1 else what}" if shown == count else f"{shown} of {count} {what}"
    )


def _draw_bars(figure: Figure, plan: _Plan, column: int, *, output: int) -> None:
    """Draw the mean absolute contribution of each feature, coloured by how the output follows it."""
    axes = plan.panel(figure, column, bottom=plan.bars, row=BAR)
    directions = plan.summary.directions[plan.features, output]
    colours = [RISES if value > CLEAR else FALLS if value < -CLEAR else NEITHER for value in directions]
    lengths = plan.summary.importance[plan.features, output]
    axes.barh(range(len(lengths)), lengths, height=0.66, color=colours)
    _set_limits(axes, 0.0, float(lengths.max()))
    axes.set_title(_shortened(plan.summary.outputs[output]), fontsize=9.5, fontweight="bold", loc="left", color=INK)


def _draw_asked(figure: Figure, plan: _Plan) -> None:
    axes = plan.panel(figure, len(plan.outputs), bottom=plan.bars, row=BAR)
    shares = plan.summary.asked[plan.features]
    axes.barh(range(len(shares)), shares, height=0.66, color=ASKED)
    _set_limits(axes, 0.0, float(shares.max()))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_title("splits", fontsize=9.5, fontweight="bold", loc="left", color=INK)


def _draw_swarm(figure: Figure, plan: _Plan, column: int, *, output: int) -> None:
    """Draw each row's contributions as dots, coloured by the feature's value."""
    axes = plan.panel(figure, column, bottom=plan.swarms, row=SWARM)
    axes.axvline(0, color=MUTED, linewidth=0.8, zorder=1)
    for row, feature in enumerate(plan.features):
        contributions = plan.summary.contributions[:, feature, output]
        low, high = np.percentile(plan.summary.rows[:, feature], [5, 95])
        shades = np.clip((plan.summary.rows[:, feature] - low) / (high - low or 1.0), 0.0, 1.0)
        heights = row + _spread(contributions)
        axes.scatter(contributions, heights, s=5, c=VALUES(shades), linewidths=0, zorder=2)
    contributions_of_output = plan.summary.contributions[:, plan.features, output]
    _set_limits(axes, min(float(contributions_of_output.min()), 0.0), max(float(contributions_of_output.max()), 0.0))


def _set_limits(axes: Axes, low: float, high: float) -> None:
    """Show numbers from ``low <= 0`` to ``high >= 0``, with a tick at 0 and at a round number on either side."""
    space, largest = 0.06 * (high - low) or 0.5, max(-low, high)
    axes.set_xlim(low - space if low < 0 or high == 0 else 0.0, high + space)
    ticks = [0.0]
    if largest > 0:
        power = 10.0 ** np.floor(np.log10(0.8 * largest))
        step = max(factor * power for factor in (1.0, 2.0, 5.0) if factor * power <= 0.8 * largest)
        ticks += [tick for tick in (-step, step) if low <= tick <= high]
    axes.set_xticks(sorted(ticks))
    axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:g}".replace("-", "−"))


def _spread(values: Floats) -> Floats:
    """Return offsets ``[N]`` within ±0.4 that keep dots of about the same value apart."""
    low, width = values.min(), np.ptp(values) or 1.0
    bins = ((values - low) / width * 50).astype(int)
    offsets, step = np.zeros(len(values)), min(0.07, 0.8 / np.bincount(bins).max())
    for bin_ in np.unique(bins):
        members = np.flatnonzero(bins == bin_)
        ranks = np.arange(len(members))
        offsets[members] = step * ((ranks + 1) // 2) * np.where(ranks % 2, 1, -1)
    return offsets


def _draw_legend(figure: Figure, page: Axes, plan: _Plan) -> None:
    style: dict[str, Any] = {"fontsize": 9, "color": INK, "va": "center"}
    y = plan.bars + BAR * len(plan.features) + 0.5
    page.text(MARGIN, y, "mean absolute contribution", **style)
    x = plan.left + plan.column + GAP
    for colour, label, width in (
        (RISES, "rises with the feature", 1.75),
        (FALLS, "falls with it", 1.15),
        (NEITHER, "neither", 0.9),
    ):
        page.add_patch(FancyBboxPatch((x, y - 0.05), 0.22, 0.1, boxstyle="square,pad=0", facecolor=colour, linewidth=0))
        page.text(x + 0.3, y, label, **{**style, "color": MUTED})
        x += width + 0.3
    page.text(MARGIN, plan.swarms + SWARM * len(plan.features) + 0.2, "contribution to each row", **style)
    left = plan.left + len(plan.outputs) * (plan.column + GAP)
    middle = plan.swarms + SWARM * len(plan.features) / 2
    bar = figure.add_axes((left / WIDTH, middle / plan.height, 0.7 * plan.column / WIDTH, 0.1 / plan.height))
    bar.imshow(np.linspace(0, 1, 128)[None], cmap=VALUES, aspect="auto")
    bar.set_axis_off()
    page.text(left, middle + 0.25, "value of the feature", **{**style, "fontsize": 8.5})
    page.text(left, middle - 0.15, "low", **{**style, "fontsize": 8, "color": MUTED})
    right = left + 0.7 * plan.column
    page.text(right, middle - 0.15, "high", ha="right", **{**style, "fontsize": 8, "color": MUTED})


# --- the first tree ---


@dataclass
class _Node:
    """A split or leaf of the first tree as it is drawn."""

    depth: int
    share: float
    """Of the tree's rows."""
    changes: Floats
    """``[D]`` what the rows here get on average."""
    feature: int = -1
    condition: str = ""
    children: list[_Node] = field(default_factory=list)
    is_cut: bool = False
    """Whether there are splits below that are not drawn."""
    x: float = 0.0

    @property
    def levels(self) -> int:
        """Levels from here down."""
        return 1 + max((child.levels for child in self.children), default=0)

    @property
    def leaves(self) -> list[_Node]:
        """What is drawn without children, from left to right."""
        return [leaf for child in self.children for leaf in child.leaves] or [self]

    def place(self) -> float:
        """Stand in the middle above the children, whose leaves have their places."""
        if self.children:
            self.x = float(np.mean([child.place() for child in self.children]))
        return self.x


def _first_tree(forest: Forest) -> _Node:
    arrays = {name: values[0] for name, values in forest[:1].arrays().items() if values.ndim > 1}
    return _node(arrays, 0, 0)


def _node(arrays: Mapping[str, Any], index: int, depth: int) -> _Node:
    features, covers = arrays["features"], arrays["covers"]
    inner = index
    while inner < len(features) and features[inner] < 0:
        inner = 2 * inner + 1
    node = _Node(depth, covers[index] / max(covers[0], 1), _mean_change(arrays, inner))
    if inner >= len(features):
        return node
    if depth == DEPTH:
        node.is_cut = True
        return node
    sign, threshold = "=" if arrays["categorical"][inner] else ">", arrays["thresholds"][inner]
    node.feature, node.condition = int(features[inner]), f"{sign} {threshold:.3g}".replace("-", "−")
    node.children = [_node(arrays, child, depth + 1) for child in (2 * inner + 1, 2 * inner + 2)]
    return node


def _mean_change(arrays: Mapping[str, Any], index: int) -> Floats:
    """Return what is added to the outputs of rows that come to a node, on average over those it was grown by."""
    leaves, inner = arrays["leaves"], len(arrays["features"])
    first, past = index, index + 1
    while first < inner:
        first, past = 2 * first + 1, 2 * past + 1
    weights = np.maximum(arrays["covers"][first:past], 1e-9)
    mean: Floats = 0.0 - np.average(leaves[first - inner : past - inner], axis=0, weights=weights)
    return mean


def _draw_tree(page: Axes, plan: _Plan) -> None:
    """Draw the first tree from its root down, with the leaves side by side."""
    leaves = plan.root.leaves
    width = (WIDTH - 2 * MARGIN) / len(leaves)
    for index, leaf in enumerate(leaves):
        leaf.x = MARGIN + (index + 0.5) * width
    plan.root.place()
    largest = max(float(np.abs(leaf.changes[0]).max()) for leaf in leaves) or 1.0
    names = ", ".join(_shortened(plan.summary.outputs[output]) for output in plan.outputs)
    page.text(MARGIN, plan.tree + 0.3, "first tree", fontsize=9.5, fontweight="bold", color=INK, va="center")
    hint = f"right where the condition holds; leaves add to {names}; thicker: more rows"
    page.text(MARGIN + 0.8, plan.tree + 0.3, hint, fontsize=8.5, color=MUTED, va="center")
    _draw_node(page, plan, plan.root, largest=largest, width=width)


def _draw_node(page: Axes, plan: _Plan, node: _Node, *, largest: float, width: float) -> None:
    y = plan.tree - 0.1 - LEVEL * node.depth
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "zorder": 3}
    if not node.children:
        changes = [f"{node.changes[output]:+.2g}".replace("-", "−") for output in plan.outputs]
        lines = [*changes, *(["…"] if node.is_cut else [])]
        height, wide = 0.125 * len(lines) + 0.08, min(width - 0.06, 0.9)
        colour = CHANGES(0.5 + 0.5 * node.changes[0] / largest)
        corner = (node.x - wide / 2, y + 0.13 - height)
        box: dict[str, Any] = {
            "boxstyle": "round,pad=0,rounding_size=0.05",
            "edgecolor": MUTED,
            "linewidth": 0.6,
            "zorder": 2,
        }
        page.add_patch(FancyBboxPatch(corner, wide, height, facecolor=colour, **box))
        page.text(node.x, y + 0.13 - height / 2, "\n".join(lines), fontsize=7, linespacing=1.15, **style)
        return
    for child in node.children:
        _draw_branch(page, (node.x, y), (child.x, y - LEVEL), share=child.share)
        _draw_node(page, plan, child, largest=largest, width=width)
    frame = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": MUTED, "linewidth": 0.6}
    text = f"{plan.names[node.feature]}\n{node.condition}"
    page.text(node.x, y, text, fontsize=7.5, linespacing=1.1, bbox=frame, parse_math=False, **style)


def _draw_branch(page: Axes, start: tuple[float, float], end: tuple[float, float], *, share: float) -> None:
    turn = start[1] - 0.42 * LEVEL
    x, y = [start[0], start[0], end[0], end[0]], [start[1], turn, turn, end[1]]
    page.plot(x, y, color=NEITHER, linewidth=0.5 + 5.0 * share, solid_joinstyle="round", zorder=1)
