"""Learning curves: every return is in sight, names are no formulas, and a run without episodes can be drawn."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from wormwood.errors import BadInput
from wormwood.launch.inspect.learning_curve import make_figure, plot_learning_curve
from wormwood.launch.run.run_folder import read_metrics
from wormwood.launch.run.settings import RunConfig

EVOLVED = [
    {"steps": 480 * k, "return_mean": 100.0 * k, "return_best": 150.0 * k, "return_std": 1.0}
    | ({"held_out_return_mean": 120.0 * k} if k % 2 == 0 else {})
    for k in range(1, 6)
]
UNENDED = [{"steps": 256 * k, "value_loss": 1.0} for k in range(1, 4)]
NOTE = "no episode ended yet"


def _make(metrics: list[dict[str, Any]], *, title: str = "run", final: float | None = 700.0) -> tuple[Figure, Axes]:
    figure = make_figure(metrics, title=title, final=final)
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure, figure.axes[0]


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible()]


def _curves(axes: Axes) -> dict[str, list[list[float]]]:
    return {str(line.get_label()): np.asarray(line.get_xydata()).tolist() for line in axes.lines}


def test_mean_best_and_held_out_returns_are_drawn_with_the_final_one() -> None:
    figure, axes = _make(EVOLVED)
    curves = _curves(axes)
    assert curves["mean of the iteration's episodes"] == [[480 * k, 100 * k] for k in range(1, 6)]
    assert curves["best candidate"] == [[480 * k, 150 * k] for k in range(1, 6)]
    assert curves["policy, held-out starts"] == [[960, 240], [1920, 480]]
    assert [y for _, y in curves["final policy, held-out starts: 700.0"]] == [700, 700]
    assert set(curves) <= set(_texts(figure)), "the legend says what each is"
    assert NOTE not in _texts(figure)
    assert _make(EVOLVED, final=None)[1].get_ylim()[1] > 750
    assert len(_make(EVOLVED, final=None)[1].lines) == 3


def test_a_curve_has_its_colour_and_a_point_alone_is_seen() -> None:
    _, axes = _make([{key: value for key, value in line.items() if key != "return_best"} for line in EVOLVED])
    assert [to_rgb(line.get_color()) for line in axes.lines[:2]] == [to_rgb("C0"), to_rgb("C2")]
    _, axes = _make(EVOLVED[:1])
    assert [line.get_marker() for line in axes.lines[:2]] == ["o", "o"]
    assert [line.get_marker() for line in _make(EVOLVED)[1].lines[:2]] == ["None", "None"]


@pytest.mark.parametrize("final", [-600.0, -20.0, 0.0, 500.0, 2000.0])
@pytest.mark.parametrize("shift", [0.0, -400.0, -5000.0])
def test_all_returns_and_zero_are_in_sight_off_the_frame(shift: float, final: float) -> None:
    metrics = [{"steps": line["steps"], "return_mean": line["return_mean"] + shift} for line in EVOLVED]
    _, axes = _make(metrics, final=final)
    bottom, top = axes.get_ylim()
    shown = [final, 0.0, *(line["return_mean"] for line in metrics)]
    space = 0.04 * (top - bottom)
    assert bottom + space < min(shown)
    assert max(shown) < top - space
    assert top - bottom < 1.2 * (max(shown) - min(shown)), "and no more than that"


def test_a_run_without_episodes_says_so() -> None:
    figure, axes = _make(UNENDED, final=385.7)
    assert NOTE in _texts(figure)
    left, right = axes.get_xlim()
    assert left <= 0 < 768 < right < 800
    assert list(_curves(axes)) == ["final policy, held-out starts: 385.7"]
    assert axes.get_ylim()[0] < 0 < 385.7 < axes.get_ylim()[1]
    for metrics, final in ((UNENDED, None), ([], None), ([], 3.0), (UNENDED, 0.0)):
        figure, axes = _make(metrics, final=final)
        assert NOTE in _texts(figure)
        (note,) = (text for text in axes.texts if text.get_text() == NOTE)
        if final is not None:
            box, line = note.get_window_extent(), axes.transData.transform((0, final))[1]
            assert not box.y0 < line < box.y1, "the line does not strike the note through"


def test_returns_that_are_null_are_left_out() -> None:
    _, axes = _make([{"steps": 1, "return_mean": None}, {"steps": 2, "return_mean": 5.0}], final=None)
    assert _curves(axes) == {"mean of the iteration's episodes": [[2, 5]]}


@pytest.mark.parametrize("title", ["$x_{$", "cost $5 and $6", "a\\b", "x" * 200])
def test_a_title_is_no_formula_and_fits(title: str) -> None:
    figure, axes = _make(EVOLVED, title=title)
    box = axes.title.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert axes.get_title() == (title if len(title) < 60 else "x" * 59 + "…")


def test_large_numbers_have_separators_and_do_not_touch() -> None:
    metrics = [{"steps": k * 10**8, "return_mean": 1000.0 * k} for k in range(1, 15)]
    figure, axes = _make(metrics, final=2500.0)
    written = {text for text in _texts(figure) if text}
    assert {"500,000,000", "1,000,000,000", "2,000", "14,000"} <= written
    assert "final policy, held-out starts: 2,500.0" in written
    left, right = axes.get_xlim()
    labels = [
        label.get_window_extent()
        for x, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        if left <= x <= right
    ]
    assert len(labels) > 3
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(labels))


def test_small_returns_have_ticks_that_differ() -> None:
    _, axes = _make([{"steps": k, "return_mean": 0.01 * k} for k in range(1, 4)], final=0.02)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert len(set(labels)) == len(labels) > 2
    assert max(map(len, labels)) <= 6


def test_the_legend_lies_beside_the_curves() -> None:
    figure, axes = _make(EVOLVED)
    (legend,) = figure.legends
    assert legend.get_window_extent().y1 < axes.get_window_extent().y0
    assert not _make([], final=None)[0].legends


# --- whole runs ---


def _count(path: Path, colour: str) -> int:
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("PNG", (800, 450))
        pixels = np.asarray(picture)
    return int((np.abs(pixels - 255 * np.array(to_rgb(colour))) < 2).all(axis=2).sum())


@pytest.mark.parametrize(
    ("kind", "override", "drawn"),
    [
        ("cma-es", "evaluate_every=2", ["C0", "C1", "C2"]),
        ("ppo", "evaluate_every=2", ["C0", "C2"]),
        ("ppo", "task_options.horizon=1000", []),
    ],
)
def test_runs_are_drawn(
    kind: str,
    override: str,
    drawn: list[str],
    make_config: Callable[..., RunConfig],
    train_in: Callable[..., dict[str, Any]],
) -> None:
    summary = train_in(Path("run"), make_config(kind, override))
    metrics = read_metrics(Path("run/metrics.jsonl"))
    plot_learning_curve(metrics, Path("curve.png"), title="$run", final=summary["return_mean"])
    for colour in ("C0", "C1", "C2"):
        assert (_count(Path("curve.png"), colour) > 100) == (colour in drawn), colour
    assert _count(Path("curve.png"), "black") > 500


def test_a_place_that_cannot_be_written_is_bad_input() -> None:
    for name in ("missing/curve.png", "curve.pdf"):
        with pytest.raises(BadInput, match=name):
            plot_learning_curve(EVOLVED, Path(name), title="run", final=None)
