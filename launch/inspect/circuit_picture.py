"""One picture of a circuit: how it is wired along the body, and what it does over time."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Patch, Polygon, RegularPolygon

from wormwood.agents.policies.circuit_settings import SYNAPSES
from wormwood.agents.policies.interfaces import Floats

__all__ = ["make_figure"]

Description = Mapping[str, Any]
Point = tuple[float, float]

# Blue and vermilion are Okabe and Ito's, green and purple ColorBrewer's PRGn: the colour-blind tell them apart.
EXCITATORY, INHIBITORY, ABSENT = "#0072B2", "#D55E00", "#A8A8A8"
FILLS = {"dorsal": "#A6DBA0", "ventral": "#C9B1D6", None: "#E4E4E4"}
EDGES = {"dorsal": "#1B7837", "ventral": "#762A83", None: "#555555"}
SKIN, OUTLINE, INK, MUTED = "#F8F4ED", "#D9CFC0", "#222222", "#707070"
SIDES = LinearSegmentedColormap.from_list("sides", ["#762A83", "#C9B1D6", "#FAFAFA", "#A6DBA0", "#1B7837"])

DPI = 150
MARGIN, GUTTER = 0.45, 0.95  # inches at the borders, and left of the activity for its labels
NEURON, TURN, MUSCLE, BODY = 0.5, 0.88, 1.25, 1.6  # inches from the midline, the skin the farthest
WIDTHS = {"oscillator": 1.25, "stretch receptor": 1.6, "B neuron": 1.2, "muscle": 1.4, "command": 1.3}
"""Inches that the symbols' entries of the legend take."""


def make_figure(description: Description) -> Figure:
    """Draw a circuit.

    Args:
        description: of ``wormwood.launch.inspect.circuit_anatomy.describe``; its activity is drawn where it has any.
    """
    plan = _Plan(description)
    figure = Figure(figsize=(plan.width, plan.height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, plan.width), ylim=(0, plan.height))
    axes.set_axis_off()
    _draw_title(axes, plan)
    _draw_body(axes, plan)
    for synapse in description["synapses"]:
        points = np.array(_route(plan, synapse))
        _draw_line(axes, points, sign=synapse["sign"], weight=synapse["effective"], scale=plan.scale)
    for neuron in description["neurons"]:
        dead = neuron["kind"] == "muscle" and neuron["joint"] in plan.dead
        _draw_symbol(axes, neuron["kind"], plan.places[neuron["id"]], r=plan.radius, side=neuron["side"], dead=dead)
    _draw_symbol_legend(axes, plan)
    _draw_weight_legend(axes, plan)
    if description["activity"] is not None:
        _draw_activity(figure, plan)
    return figure


class _Plan:
    """Where everything stands on the page, in inches from its lower left corner."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self.joints: int = description["body"]["joints"]
        self.dead: list[int] = [*description["body"]["lesioned"], *description["body"]["locked"]]
        connected = {synapse["weight"] for synapse in description["synapses"]}
        self.weights = [name for name in SYNAPSES if name in connected]
        self.space = float(np.clip(9.2 / (self.joints + 1), 0.53, 1.5))  # from joint to joint
        self.radius = min(0.125 * self.space, 0.14)
        self.scale = float(np.clip(self.space / 1.1, 0.6, 1.0))
        # In front of the oscillator the head holds the names of the commands.
        snout = max(0.95 if "command" in description["counts"] else 0.5, 0.6 * self.space)
        length = snout + self.space * (self.joints + 1)
        self.width = max(length, 8.8 if description["shared"] else 10.2) + 2 * MARGIN
        self.left = (self.width - length) / 2
        self.right = self.left + length
        self.head = self.left + snout
        # From the bottom: the activity, the legend, the body, the title.
        self.strip = float(np.clip(0.2 * self.joints, 0.7, 2.5))
        self.legend = 0.2 + 0.24 * ((len(self.weights) + 1) // 2)
        if description["activity"] is not None:
            self.legend += 2 * self.strip + 1.8
        self.middle = self.legend + 0.75 + BODY + 0.35
        self.height = self.middle + BODY + 1.15
        self.places = {neuron["id"]: self._place(neuron) for neuron in description["neurons"]}

    def joint(self, number: float) -> float:
        """Return how far from the left a joint stands."""
        return float(self.head + self.space * (number + 1))

    def box(self, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Return a box in inches as shares of the page."""
        return left / self.width, bottom / self.height, width / self.width, height / self.height

    def _place(self, neuron: Mapping[str, Any]) -> Point:
        kind, joint = neuron["kind"], neuron["joint"]
        away = {"command": TURN, "muscle": MUSCLE}.get(kind, NEURON)
        y = self.middle + {"dorsal": away, "ventral": -away, None: 0.0}[neuron["side"]]
        if joint is None:
            return self.head, y
        if kind == "oscillator":
            return self.joint(joint - 0.25), float(self.middle + 0.3 * (y - self.middle))
        return self.joint(joint + 0.5 if kind == "stretch receptor" else joint), y


# --- the wiring ---


def _draw_title(axes: Axes, plan: _Plan) -> None:
    description, period = plan.description, plan.description["period"]
    steering = sum(np.size(values) for name, values in description["weights"].items() if name not in SYNAPSES)
    counts = description["counts"]
    facts = [
        f"{counts['weights'] - steering} weights in {counts['synapses']} synapses",
        *([f"{steering} of steering"] if steering else []),
        f"period {period['steps']:.4g} steps = {period['seconds']:.3g} s",
        *([] if description["lag"] is None else [f"oscillators {description['lag']:.3g} of it apart"]),
    ]
    title = textwrap.shorten(f"NCAP circuit on {description['body']['name']}", 60, placeholder="…")
    y, hint = plan.height - 0.36, "arrows excite, bars inhibit, thicker is stronger"
    # A dollar sign in a body's name starts no formula.
    axes.text(MARGIN, y, title, fontsize=14, fontweight="bold", color=INK, va="center", parse_math=False)
    axes.text(MARGIN, y - 0.29, "  ·  ".join(facts), fontsize=10, color=MUTED, va="center")
    axes.text(plan.width - MARGIN, y - 0.29, hint, fontsize=9, color=MUTED, va="center", ha="right")


def _draw_body(axes: Axes, plan: _Plan) -> None:
    """Draw the skin, round at the head and slimmer at the tail, and what is written along it."""
    snout, tail = min(0.9 * plan.space + 0.2, 1.4), 0.62 * plan.space
    turn = np.linspace(0, np.pi / 2, 60)
    x = np.concatenate([plan.left + snout * (1 - np.cos(turn)), plan.right - tail * (1 - np.sin(turn))])
    half = BODY * np.concatenate([np.sin(turn) ** 0.8, np.cos(turn) ** 0.45])
    outline = np.concatenate([np.stack([x, plan.middle + half], 1), np.stack([x, plan.middle - half], 1)[::-1]])
    axes.add_patch(Polygon(outline, facecolor=SKIN, edgecolor=OUTLINE, linewidth=1.2, joinstyle="round", zorder=0))
    style: dict[str, Any] = {"fontsize": 9, "va": "center", "ha": "center"}
    for side, sign in (("dorsal", 1), ("ventral", -1)):
        axes.text(plan.head, plan.middle + sign * (BODY + 0.17), side, color=EDGES[side], **style)
    for end, x in (("head", plan.left - 0.15), ("tail", plan.right + 0.15)):
        axes.text(x, plan.middle, end, color=MUTED, rotation=90, **style)
    for joint in range(plan.joints):
        label = ("joint 0" if joint == 0 else f"{joint}") + (" ×" if joint in plan.dead else "")
        axes.text(plan.joint(joint), plan.middle - BODY - 0.17, label, color=MUTED, **style)
    for neuron in plan.description["neurons"]:
        if neuron["kind"] == "command":
            x0, y0 = plan.places[neuron["id"]]
            name = neuron["id"].removeprefix("command.")
            axes.text(x0 - plan.radius - 0.07, y0, name, fontsize=8.5, ha="right", va="center", color=INK)


def _draw_symbol(
    axes: Axes, kind: str, centre: Point, *, r: float, side: str | None = None, dead: bool = False
) -> None:
    """Draw a neuron or muscle of radius ``r`` inches; a dead muscle is empty."""
    style: dict[str, Any] = {"edgecolor": EDGES[side], "linewidth": 0.7 + 4 * r, "zorder": 3}
    style |= {"facecolor": "white", "linestyle": (0, (1.5, 1.5))} if dead else {"facecolor": FILLS[side]}
    axes.add_patch(_symbol(kind, *centre, r, style))
    if kind == "oscillator":
        wave = np.array([[-0.65, -0.4], [-0.3, -0.4], [-0.3, 0.4], [0.2, 0.4], [0.2, -0.4], [0.65, -0.4]]) * r
        wave[:, 1] *= -1 if side == "ventral" else 1
        axes.plot(*(centre + wave).T, color=EDGES[side], linewidth=style["linewidth"], zorder=4)


def _symbol(kind: str, x: float, y: float, r: float, style: Mapping[str, Any]) -> Patch:
    if kind == "muscle":
        rounded = f"round,pad=0,rounding_size={0.6 * r}"
        return FancyBboxPatch((x - 3.1 * r, y - 0.7 * r), 6.2 * r, 1.4 * r, boxstyle=rounded, **style)
    if kind == "stretch receptor":
        return RegularPolygon((x, y), 4, radius=1.1 * r, **style)
    if kind == "command":
        return RegularPolygon((x, y), 6, radius=1.05 * r, orientation=np.pi / 6, **style)
    if kind == "oscillator":
        return FancyBboxPatch((x - r, y - r), 2 * r, 2 * r, boxstyle=f"round,pad=0,rounding_size={0.3 * r}", **style)
    return Circle((x, y), r, **style)


def _route(plan: _Plan, synapse: Mapping[str, Any]) -> list[Point]:
    """Return the corners of a synapse's line, from the middle of its source to the edge of its target."""
    start, (x, y) = plan.places[synapse["source"]], plan.places[synapse["target"]]
    r, name = plan.radius, synapse["weight"]
    outwards = 1.0 if y > plan.middle else -1.0
    if name == "ipsi":
        return [start, (x, y - outwards * (0.7 * r + 0.02))]
    if name == "contra":
        return [start, (x + 0.27 * plan.space, y - outwards * (0.7 * r + 0.04))]
    if name == "own":
        return [start, (x + r + 0.02, y)]
    if name == "local":
        return [start, (x, y - outwards * (r + 0.02))]
    if name in ("speed", "turn"):
        bend = (x - 0.3 * plan.space, start[1])
        gap = (r + 0.03) / float(np.hypot(x - bend[0], y - bend[1]))
        return [start, bend, (x + gap * (bend[0] - x), y + gap * (bend[1] - y))]
    return [start, (x - r - 0.02, y)]


def _draw_line(axes: Axes, points: Floats, *, sign: int, weight: float, scale: float) -> None:
    """Draw a line through points ``[K, 2]`` that ends in an arrow where it excites, and in a bar where it inhibits."""
    if weight == 0:
        axes.plot(*points.T, color=ABSENT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        return
    width = scale * (0.6 + 0.9 * min(abs(weight), 4.0))
    colour = EXCITATORY if sign > 0 else INHIBITORY
    along = points[-1] - points[-2]
    along = along / np.hypot(*along)
    across = np.array([-along[1], along[0]])
    size, line = 0.045 * scale + 0.013 * width, points.copy()
    if sign > 0:
        line[-1] -= 1.7 * size * along
        corners = [points[-1], line[-1] + 0.75 * size * across, line[-1] - 0.75 * size * across]
        axes.add_patch(Polygon(corners, color=colour, zorder=2, linewidth=0))
    else:
        bar = np.stack([points[-1] - size * across, points[-1] + size * across])
        axes.plot(*bar.T, color=colour, linewidth=max(width, 1.5 * scale), solid_capstyle="butt", zorder=2)
    axes.plot(*line.T, color=colour, linewidth=width, solid_capstyle="butt", solid_joinstyle="round", zorder=1)


# --- the legend ---


def _draw_symbol_legend(axes: Axes, plan: _Plan) -> None:
    x, y = MARGIN, plan.legend + 0.32
    text: dict[str, Any] = {"fontsize": 9.5, "va": "center", "color": INK}
    for kind, width in WIDTHS.items():
        if kind in plan.description["counts"]:
            half = 0.26 if kind == "muscle" else 0.09
            _draw_symbol(axes, kind, (x + half, y), r=0.085)
            axes.text(x + 2 * half + 0.1, y, kind, **text)
            x += width
    if plan.dead:
        axes.text(x, y, "× lesioned or locked", **text)


def _draw_weight_legend(axes: Axes, plan: _Plan) -> None:
    """Say in two columns what each kind of synapse is, and how strong."""
    rows = (len(plan.weights) + 1) // 2
    for number, name in enumerate(plan.weights):
        x = MARGIN + (number // rows) * (plan.width - 2 * MARGIN + 0.3) / 2
        y = plan.legend - 0.02 - 0.24 * (number % rows)
        synapses = [synapse for synapse in plan.description["synapses"] if synapse["weight"] == name]
        values = [synapse["effective"] for synapse in synapses]
        # Of both signs, where they are free: the one that weighs more.
        sign = 1 if sum(values) > 0 else -1 if sum(values) < 0 else synapses[0]["sign"]
        line = np.array([[x, y], [x + 0.42, y]])
        _draw_line(axes, line, sign=sign, weight=float(np.mean(np.abs(values))), scale=0.9)
        column = 1.72 if plan.description["shared"] else 2.32
        axes.text(x + 0.52, y, name, fontsize=9.5, fontweight="bold", va="center", color=INK)
        axes.text(x + 1.12, y, _range(values), fontsize=9.5, va="center", color=INK)
        meaning = f"{SYNAPSES[name].source} → {SYNAPSES[name].target}"
        axes.text(x + column, y, meaning, fontsize=8, va="center", color=MUTED)


def _range(values: Sequence[float]) -> str:
    ends = sorted({f"{value:+.2f}" if value else "0" for value in values}, key=float)
    return " to ".join(dict.fromkeys((ends[0], ends[-1]))).replace("-", "−")


# --- the activity ---


def _draw_activity(figure: Figure, plan: _Plan) -> None:
    """Draw oscillator, muscles and joint angles over time, from top to bottom."""
    activity, period = plan.description["activity"], plan.description["period"]
    edges = np.append(activity["time"], activity["time"][-1] + period["seconds"] / period["steps"])
    width = plan.width - GUTTER - MARGIN - 0.5
    angles, action = np.array(activity["angles"]), np.array(activity["action"])
    largest = max(float(np.abs(angles).max()), 1e-6)
    bottom = 0.55
    for title, values, limit in (("joint angle (rad)", angles, largest), ("muscles: dorsal − ventral", action, 1.0)):
        axes = figure.add_axes(plan.box(GUTTER, bottom, width, plan.strip))
        picture = axes.pcolormesh(
            edges, np.arange(plan.joints + 1) - 0.5, values.T, cmap=SIDES, vmin=-limit, vmax=limit
        )
        axes.invert_yaxis()  # the head on top
        axes.set_yticks(range(0, plan.joints, 1 if plan.joints <= 8 else 4))
        _style(axes, f"{title}, by joint", labelled=bottom < 0.6)
        bar_axes = figure.add_axes(plan.box(GUTTER + width + 0.12, bottom, 0.12, plan.strip))
        bar = figure.colorbar(picture, cax=bar_axes, ticks=[-limit, 0, limit], format="{x:.2g}")
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, length=2)
        bottom += plan.strip + 0.32
    axes = figure.add_axes(plan.box(GUTTER, bottom, width, 0.28))
    axes.stairs(np.array(activity["oscillator"])[:, 0], edges, color=INK, linewidth=1.2, baseline=None)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(-0.1, 1.1)
    axes.set_yticks([0, 1], ["ventral", "dorsal"])
    _style(axes, "oscillator", labelled=False)


def _style(axes: Axes, title: str, *, labelled: bool) -> None:
    axes.set_title(title, fontsize=9, loc="left", pad=4, color=INK)
    axes.tick_params(labelsize=8, length=2, labelbottom=labelled)
    if labelled:
        axes.set_xlabel("time (s)", fontsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
