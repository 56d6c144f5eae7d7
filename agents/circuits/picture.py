"""One picture of a circuit: how it is wired along the body, and what it does over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Patch, Polygon, RegularPolygon

from wormwood.agents.circuits.config import SYNAPSES
from wormwood.agents.interfaces import Floats
from wormwood.envs.rendering import write_picture

__all__ = ["draw_circuit", "make_figure"]

Description = Mapping[str, Any]
Point = tuple[float, float]

# Blue and vermilion are Okabe and Ito's, green and purple the ends of ColorBrewer's PRGn: all told apart without red
# or green.
EXCITATORY, INHIBITORY, ABSENT = "#0072B2", "#D55E00", "#B8B8B8"
FILLS = {"dorsal": "#A6DBA0", "ventral": "#C9B1D6", None: "#E4E4E4"}
EDGES = {"dorsal": "#1B7837", "ventral": "#762A83", None: "#555555"}
SKIN, OUTLINE, INK, MUTED = "#F7F3EC", "#D9CFC0", "#222222", "#777777"
DIVERGING = "PRGn"

DPI = 150
MARGIN, GUTTER = 0.45, 0.85  # inches at the borders, and left of the activity for its labels
NEURON, TURN, MUSCLE = 0.5, 0.88, 1.25  # inches from the midline
BODY = 1.62  # inches from the midline to the skin


def draw_circuit(description: Description, path: Path) -> None:
    """Draw a circuit into a PNG file, which is written whole or not at all.

    Args:
        description: of ``wormwood.agents.circuits.anatomy.describe``; with its activity, if that is to be drawn, too.
        path: ends in .png.

    Raises:
        BadInput: the folder cannot be written, or the suffix is not .png.
    """
    canvas = FigureCanvasAgg(make_figure(description))
    canvas.draw()
    write_picture(path, np.asarray(canvas.buffer_rgba())[:, :, :3])


def make_figure(description: Description) -> Figure:
    """Return the figure that ``draw_circuit`` writes, on no canvas yet."""
    plan = _Plan(description)
    figure = Figure(figsize=(plan.width, plan.height), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, plan.width), ylim=(0, plan.height))
    axes.set_axis_off()
    _draw_title(axes, plan)
    _draw_body(axes, plan)
    for synapse in description["synapses"]:
        _draw_synapse(axes, plan, synapse)
    for neuron in description["neurons"]:
        _draw_neuron(axes, plan, neuron["kind"], plan.places[neuron["id"]], side=neuron["side"], joint=neuron["joint"])
    _draw_legend(axes, plan)
    if description["activity"] is not None:
        _draw_activity(figure, plan)
    return figure


@dataclass
class _Plan:
    """Where everything stands on the page, in inches from its lower left corner."""

    description: Description
    joints: int = field(init=False)
    space: float = field(init=False)
    """Between neighbouring joints."""
    width: float = field(init=False)
    height: float = field(init=False)
    middle: float = field(init=False)
    """Height of the body's midline."""
    head: float = field(init=False)
    """Where the oscillator and the commands stand."""
    strip: float = field(init=False)
    """Height of the activity of all joints."""
    places: dict[str, Point] = field(init=False)

    def __post_init__(self) -> None:
        self.joints = self.description["body"]["joints"]
        self.space = float(np.clip(9.0 / (self.joints + 1), 0.52, 1.5))
        length = self.space * (self.joints + 1.5)
        self.width = max(length, 8.6) + 2 * MARGIN
        self.strip = float(np.clip(0.2 * self.joints, 0.8, 2.6))
        below = 2 * self.strip + 1.5 if self.description["activity"] is not None else 0.0
        self.below = below + 0.2
        rows = (len(self.weights) + 1) // 2
        self.legend = self.below + 0.24 * rows + 0.6
        self.middle = self.legend + BODY + 0.55
        self.height = self.middle + BODY + 0.8
        self.head = (self.width - length) / 2 + 0.75 * self.space
        self.places = {neuron["id"]: self._place(neuron) for neuron in self.description["neurons"]}

    @property
    def weights(self) -> list[str]:
        """Names of the kinds of synapse."""
        return [name for name in SYNAPSES if name in self.description["weights"]]

    @property
    def size(self) -> float:
        """Radius of a neuron."""
        return min(0.125 * self.space, 0.15)

    def joint(self, number: float) -> float:
        """Return where a joint stands from left to right."""
        return self.head + self.space * (number + 1)

    def _place(self, neuron: Mapping[str, Any]) -> Point:
        kind, joint = neuron["kind"], neuron["joint"]
        away = {"command": TURN, "muscle": MUSCLE}.get(kind, NEURON)
        y = self.middle + {"dorsal": away, "ventral": -away, None: 0.0}[neuron["side"]]
        if joint is None:
            return self.head, y
        return self.joint(joint + 0.5 if kind == "stretch receptor" else joint), y


# --- the wiring ---


def _draw_title(axes: Axes, plan: _Plan) -> None:
    description, period = plan.description, plan.description["period"]
    counts = description["counts"]
    title = f"NCAP circuit on {description['body']['name']}"
    facts = [
        f"{counts['weights']} weights {'shared by' if description['shared'] else 'of'} {counts['synapses']} synapses",
        f"period {period['steps']:.4g} steps = {period['seconds']:.3g} s",
    ]
    axes.text(MARGIN, plan.height - 0.36, title, fontsize=14, fontweight="bold", color=INK, va="center")
    axes.text(plan.width - MARGIN, plan.height - 0.36, "   ".join(facts), fontsize=10, color=MUTED, va="center", ha="right")


def _draw_body(axes: Axes, plan: _Plan) -> None:
    """Draw the skin: round at the head, pointed at the tail."""
    left, right = plan.head - 0.75 * plan.space, plan.joint(plan.joints - 0.25)
    snout, tail = 0.9 * plan.space, 1.2 * plan.space
    x = np.concatenate([left + snout * (1 - np.cos(np.linspace(0, np.pi / 2, 40))), np.linspace(right - tail, right, 40)])
    rounded = np.sqrt(np.clip(1 - ((left + snout - x) / snout).clip(0) ** 2, 0, 1))
    tapered = 1 - 0.62 * ((x - right + tail) / tail).clip(0) ** 2.2
    half = BODY * rounded * tapered
    outline = np.concatenate([np.stack([x, plan.middle + half], 1), np.stack([x, plan.middle - half], 1)[::-1]])
    axes.add_patch(Polygon(outline, facecolor=SKIN, edgecolor=OUTLINE, linewidth=1.2, joinstyle="round", zorder=0))
    style: dict[str, Any] = {"fontsize": 9, "va": "center", "ha": "center"}
    start = plan.joint(0) - 0.5 * plan.space
    for side, sign in (("dorsal", 1), ("ventral", -1)):
        axes.text(start, plan.middle + sign * (BODY + 0.17), side, color=EDGES[side], **style)
    for joint in range(plan.joints):
        dead = joint in (*plan.description["body"]["lesioned"], *plan.description["body"]["locked"])
        label = f"{joint} ✕" if dead else f"{joint}"
        axes.text(plan.joint(joint), plan.middle - BODY - 0.17, label, color=MUTED, **style)


def _draw_neuron(
    axes: Axes, plan: _Plan, kind: str, place: Point, *, side: str | None, joint: int | None = None, scale: float = 1.0
) -> None:
    (x, y), r = place, plan.size * scale
    body = plan.description["body"]
    dead = kind == "muscle" and joint in (*body["lesioned"], *body["locked"])
    style: dict[str, Any] = {
        "facecolor": "white" if dead else FILLS[side],
        "edgecolor": EDGES[side],
        "linewidth": 1.2,
        "linestyle": ":" if dead else "-",
        "zorder": 3,
    }
    axes.add_patch(_symbol(kind, x, y, r, style))
    if kind == "oscillator":
        wave = np.array([[-0.6, -0.4], [-0.3, -0.4], [-0.3, 0.4], [0.2, 0.4], [0.2, -0.4], [0.6, -0.4]]) * r
        axes.plot(x + wave[:, 0], y + wave[:, 1], color=EDGES[side], linewidth=1.1, zorder=4)


def _symbol(kind: str, x: float, y: float, r: float, style: Mapping[str, Any]) -> Patch:
    if kind == "muscle":
        box = f"round,pad=0,rounding_size={0.6 * r}"
        return FancyBboxPatch((x - 2.9 * r, y - 0.7 * r), 5.8 * r, 1.4 * r, boxstyle=box, **style)
    if kind == "stretch receptor":
        return RegularPolygon((x, y), 4, radius=1.05 * r, **style)
    if kind == "command":
        return RegularPolygon((x, y), 6, radius=1.05 * r, orientation=np.pi / 6, **style)
    if kind == "oscillator":
        return FancyBboxPatch((x - r, y - r), 2 * r, 2 * r, boxstyle=f"round,pad=0,rounding_size={0.3 * r}", **style)
    return Circle((x, y), r, **style)


def _draw_synapse(axes: Axes, plan: _Plan, synapse: Mapping[str, Any]) -> None:
    points = np.array(_route(plan, synapse), dtype=np.float64)
    scale = float(np.clip(plan.space / 1.1, 0.6, 1.0))
    _draw_line(axes, points, sign=synapse["sign"], weight=synapse["effective"], scale=scale)


def _route(plan: _Plan, synapse: Mapping[str, Any]) -> list[Point]:
    """Return the corners of a synapse's line, from the middle of its source to the edge of its target."""
    start, (x, y) = plan.places[synapse["source"]], plan.places[synapse["target"]]
    r, name = plan.size, synapse["weight"]
    outwards = 1.0 if y > plan.middle else -1.0
    if name == "ipsi":
        return [start, (x, y - outwards * (0.7 * r + 0.02))]
    if name == "contra":
        return [start, (x + 0.34 * plan.space, y - outwards * (0.7 * r + 0.03))]
    if name in ("speed", "turn"):
        bend = (x - 0.32 * plan.space, start[1])
        return [start, bend, _edge(bend, (x, y), r + 0.03)]
    return [start, (x - r - 0.02, y)]


def _edge(start: Point, end: Point, gap: float) -> Point:
    """Return the point that lies ``gap`` before the end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    share = gap / float(np.hypot(dx, dy))
    return end[0] - share * dx, end[1] - share * dy


def _draw_line(axes: Axes, points: Floats, *, sign: int, weight: float, scale: float) -> None:
    """Draw a line through points ``[K, 2]`` that ends in an arrow where it excites, and in a bar where it inhibits."""
    width = scale * (0.6 + 0.9 * min(abs(weight), 4.0))
    if weight == 0:
        axes.plot(*points.T, color=ABSENT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        return
    colour = EXCITATORY if sign > 0 else INHIBITORY
    along = points[-1] - points[-2]
    along = along / np.hypot(*along)
    across = np.array([-along[1], along[0]])
    size = 0.045 * scale + 0.013 * width
    line = points.copy()
    if sign > 0:
        tip, base = points[-1], points[-1] - 1.7 * size * along
        axes.add_patch(Polygon([tip, base + 0.75 * size * across, base - 0.75 * size * across], color=colour, zorder=2, linewidth=0))
        line[-1] = base
    else:
        bar = np.stack([points[-1] - size * across, points[-1] + size * across])
        axes.plot(*bar.T, color=colour, linewidth=max(width, 1.4 * scale), solid_capstyle="butt", zorder=2)
    axes.plot(*line.T, color=colour, linewidth=width, solid_capstyle="butt", solid_joinstyle="round", zorder=1)


# --- the legend ---


def _draw_legend(axes: Axes, plan: _Plan) -> None:
    """Draw what the symbols mean, and in two columns what each kind of synapse is and how strong."""
    kinds = [kind for kind in ("oscillator", "stretch receptor", "B neuron", "muscle", "command") if kind in plan.description["counts"]]
    places = np.linspace(MARGIN, plan.width - MARGIN, len(kinds) + 1)[:-1]
    for kind, x in zip(kinds, places, strict=True):
        _draw_neuron(axes, plan, kind, (x + 0.2, plan.legend - 0.1), side=None, scale=0.085 / plan.size)
        axes.text(x + 0.55, plan.legend - 0.1, kind, fontsize=9.5, va="center", color=INK)
    rows = (len(plan.weights) + 1) // 2
    for number, name in enumerate(plan.weights):
        x = MARGIN + (number // rows) * (plan.width - 2 * MARGIN) / 2
        y = plan.legend - 0.48 - 0.24 * (number % rows)
        synapses = [s for s in plan.description["synapses"] if s["weight"] == name]
        values = [s["effective"] for s in synapses] or [0.0]
        sign = synapses[0]["sign"] if synapses else SYNAPSES[name].sign
        typical = float(np.mean(np.abs(values)))
        _draw_line(axes, np.array([[x, y], [x + 0.42, y]]), sign=sign, weight=typical, scale=0.9)
        axes.text(x + 0.55, y, name, fontsize=9.5, fontweight="bold", va="center", color=INK)
        axes.text(x + 1.07, y, _value(values), fontsize=9.5, va="center", color=INK)
        axes.text(x + 2.2, y, f"{SYNAPSES[name].source} → {SYNAPSES[name].target}", fontsize=8, va="center", color=MUTED)


def _value(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:+.2f}" if low == high else f"{low:+.2f} to {high:+.2f}"


# --- the activity ---


def _draw_activity(figure: Figure, plan: _Plan) -> None:
    """Draw oscillator, muscles and joint angles over time, each joint a row, the head on top."""
    activity = plan.description["activity"]
    period = plan.description["period"]
    timestep = period["seconds"] / period["steps"]
    end = activity["time"][-1] + timestep
    bottom, width = 0.55, plan.width - GUTTER - MARGIN - 0.75
    angles = np.array(activity["angles"])
    largest = max(float(np.abs(angles).max()), 1e-9)
    rows = [("joint angle (rad)", angles, largest), ("muscles,\ndorsal − ventral", np.array(activity["action"]), 1.0)]
    for label, values, limit in rows:
        axes = figure.add_axes(_box(plan, GUTTER, bottom, width, plan.strip))
        picture = axes.imshow(
            values.T, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest",
            extent=(activity["time"][0], end, plan.joints - 0.5, -0.5),
        )
        _style(axes, end)
        axes.set_yticks(range(0, plan.joints, 1 if plan.joints <= 8 else 4))
        axes.set_ylabel("joint", fontsize=9)
        if bottom < 0.6:
            axes.set_xlabel("time (s)", fontsize=9)
        else:
            axes.tick_params(labelbottom=False)
        bar = figure.colorbar(picture, cax=figure.add_axes(_box(plan, GUTTER + width + 0.12, bottom, 0.12, plan.strip)))
        bar.outline.set_visible(False)  # type: ignore[operator]
        bar.ax.tick_params(labelsize=8, length=2)
        bar.set_label(label, fontsize=8.5)
        bottom += plan.strip + 0.14
    axes = figure.add_axes(_box(plan, GUTTER, bottom, width, 0.3))
    oscillator = np.array(activity["oscillator"])[:, 0]
    times = np.append(activity["time"], end)
    axes.stairs(oscillator, times, color=INK, linewidth=1.2, baseline=None)
    _style(axes, end)
    axes.set_ylim(-0.15, 1.15)
    axes.set_yticks([0, 1], ["ventral", "dorsal"])
    axes.tick_params(labelbottom=False)
    axes.text(end, 1.3, "oscillator", fontsize=8.5, ha="right", va="bottom")


def _style(axes: Axes, end: float) -> None:
    axes.set_xlim(0.0, end)
    axes.tick_params(labelsize=8, length=2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _box(plan: _Plan, left: float, bottom: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Return a box in inches as shares of the page."""
    return left / plan.width, bottom / plan.height, width / plan.width, height / plan.height
