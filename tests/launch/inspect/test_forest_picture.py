"""The picture of a boosted policy: everything is on it, nothing covers anything, and the file is whole or not there."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from wormwood.envs.pictures.files import figure_pixels, write_picture
from wormwood.errors import BadInput
from wormwood.launch.inspect.forest_picture import DPI, FALLS, NEITHER, RISES, make_figure
from wormwood.launch.inspect.forest_summary import Summary
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.explanation import explain
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.importance import split_importance


def _summary(
    *,
    features: int = 4,
    outputs: int = 3,
    depth: int = 4,
    categorical: tuple[int, ...] = (),
    scale: float = 1.0,
    least: int = 1,
) -> Summary:
    """A forest whose first output falls with the first feature, and whose last one rises with it."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(200, features))
    for column in categorical:
        rows[:, column] = generator.integers(0, 5, 200)
    grid = fit_grid(rows, max_bins=32, method="quantile", categorical=categorical)
    forest = Forest(np.zeros(outputs), features=features, depth=depth)
    config = TreeConfig(max_depth=depth, min_data_in_leaf=least)
    for _ in range(6):
        gradients = scale * (0.3 * generator.normal(size=(200, outputs)) - rows[:, :1])
        gradients[:, 0] += scale * 2 * rows[:, 0]
        forest.append(grow_tree(grid.encode(rows), grid, gradients, config=config), np.ones(outputs))
    asked = split_importance(forest)
    return Summary(
        environment="an environment with rather a long name, for one that is $played$ in",
        forest=forest,
        features=tuple(f"link_{column}_velocity_of_it_all" for column in range(features)),
        outputs=tuple(f"action_{output}" for output in range(outputs)),
        visited=2000,
        rows=rows,
        predicted=forest.predict(rows),
        base=explain(forest, rows).base,
        contributions=explain(forest, rows).contributions,
        asked=asked / max(asked.sum(), 1e-9),
    )


def _texts(figure: Figure) -> list[Text]:
    found = figure.findobj(Text)
    return [text for text in found if isinstance(text, Text) and text.get_text().strip() and text.get_visible()]


def _written(figure: Figure) -> set[str]:
    return {text.get_text() for text in _texts(figure)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"features": 1, "outputs": 1, "depth": 1},
        {"features": 40, "outputs": 12, "depth": 5},
        {"features": 12, "outputs": 2, "depth": 8, "scale": 1e-4},
        {"outputs": 4, "categorical": (0, 2), "scale": 1234.5},
        {"depth": 10, "least": 60},
    ],
)
def test_all_that_is_written_lies_on_the_page_and_covers_nothing_else(options: dict[str, int]) -> None:
    figure = make_figure(_summary(**options))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    boxes = [(text.get_text(), text.get_window_extent()) for text in _texts(figure)]
    for content, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{content!r} leaves the page"
    for (one, first), (two, second) in itertools.combinations(boxes, 2):
        assert not first.overlaps(second), f"{one!r} covers {two!r}"
    assert (figure.get_size_inches() * DPI < 2400).all()


def test_bars_are_the_importances_in_the_colours_of_their_directions() -> None:
    summary = _summary()
    figure = make_figure(summary)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert list(panels) == ["action_0", "action_1", "action_2", "splits"]
    order = np.argsort(-summary.shares.sum(axis=1))
    assert order[0] == 0
    for output in range(3):
        bars = panels[f"action_{output}"].patches
        np.testing.assert_allclose([bar.get_width() for bar in bars], summary.importance[order, output])  # type: ignore[attr-defined]
    assert to_hex(panels["action_0"].patches[0].get_facecolor()).upper() == FALLS
    assert to_hex(panels["action_1"].patches[0].get_facecolor()).upper() == RISES
    colours = {
        to_hex(bar.get_facecolor()).upper() for name in panels if name != "splits" for bar in panels[name].patches
    }
    assert colours <= {FALLS, RISES, NEITHER}
    np.testing.assert_allclose([bar.get_width() for bar in panels["splits"].patches], summary.asked[order])  # type: ignore[attr-defined]


def test_dots_are_the_contributions_and_do_not_leave_their_row() -> None:
    summary = _summary()
    figure = make_figure(summary)
    swarms = [axes for axes in figure.axes if any(isinstance(artist, PathCollection) for artist in axes.collections)]
    assert len(swarms) == 3
    order = np.argsort(-summary.shares.sum(axis=1))
    for output, axes in enumerate(swarms):
        for place, (feature, dots) in enumerate(zip(order, axes.collections, strict=True)):
            offsets = np.asarray(dots.get_offsets())
            np.testing.assert_allclose(offsets[:, 0], summary.contributions[:, feature, output])
            assert np.abs(offsets[:, 1] - place).max() <= 0.45


def test_the_first_tree_is_written_and_what_is_too_deep_is_left_out() -> None:
    summary = _summary(depth=2)
    written = _written(make_figure(summary))
    arrays = summary.forest.arrays()
    root = f"> {arrays['thresholds'][0, 0]:.3g}".replace("-", "−")
    assert any(text.endswith(root) for text in written)
    leaf = "\n".join(f"{-change:+.2g}" for change in arrays["leaves"][0, 1]).replace("-", "−")
    assert leaf in written
    assert not any("…" in text.split("\n")[-1] for text in written if "\n" in text)
    deep = [text for text in _written(make_figure(_summary(depth=8))) if text.endswith("\n…")]
    assert deep


def test_a_tree_that_is_one_leaf_can_be_drawn(tmp_path: Path) -> None:
    write_picture(tmp_path / "forest.png", figure_pixels(make_figure(_summary(least=150))))


def test_the_file_is_a_png_and_the_same_at_every_call(tmp_path: Path) -> None:
    summary = _summary()
    write_picture(tmp_path / "one.png", figure_pixels(make_figure(summary)))
    write_picture(tmp_path / "two.png", figure_pixels(make_figure(summary)))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
    with pytest.raises(BadInput, match=r"\.png"):
        write_picture(tmp_path / "forest.pdf", figure_pixels(make_figure(summary)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]
