"""The picture of a circuit: everything is on it, nothing covers anything, and the file is whole or not there."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from wormwood.agents.policies.circuit import initial_weights
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.envs.bodies import Body, swimmer
from wormwood.envs.pictures.files import figure_pixels, write_picture
from wormwood.envs.tasks import Navigate
from wormwood.errors import BadInput
from wormwood.launch.inspect.circuit_anatomy import describe, record_activity
from wormwood.launch.inspect.circuit_picture import ABSENT, DPI, EXCITATORY, INHIBITORY, make_figure

COMMANDED = NCAPConfig(speed_control=True, turn_control=True, turn_joints=2, steering="learned")


def _describe(
    config: NCAPConfig | None = None, body: Body | None = None, *, steps: int = 20, **weights: Any
) -> dict[str, Any]:
    config, body = config or NCAPConfig(), body or swimmer(6)
    drawn = initial_weights(config, body, np.random.default_rng(0))
    drawn |= {name: np.full_like(drawn[name], value) for name, value in weights.items()}
    activity = record_activity(config, drawn, body=body, task=Navigate(), steps=steps) if steps else None
    return describe(config, drawn, body=body, activity=activity)


def _texts(figure: Figure) -> list[Text]:
    found = figure.findobj(Text)
    return [text for text in found if isinstance(text, Text) and text.get_text().strip() and text.get_visible()]


def _count_lines(figure: Figure, colour: str, width: float) -> int:
    lines = figure.axes[0].lines
    return sum(
        to_hex(line.get_color()).upper() == colour and line.get_linewidth() == pytest.approx(width) for line in lines
    )


@pytest.mark.parametrize("links", [2, 3, 6, 12, 25])
@pytest.mark.parametrize(
    "config",
    [
        NCAPConfig(),
        COMMANDED,
        NCAPConfig(share_weights=False, constrain_signs=False, speed_control=True, turn_control=True),
    ],
)
def test_all_that_is_written_lies_on_the_page_and_covers_nothing_else(config: NCAPConfig, links: int) -> None:
    body = swimmer(links, lesioned=[0], name="a body with rather a long name, for one that swims")
    figure = make_figure(_describe(config, body))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    boxes = [(text.get_text(), text.get_window_extent()) for text in _texts(figure)]
    for content, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{content!r} leaves the page"
    for (one, first), (two, second) in itertools.combinations(boxes, 2):
        assert not first.overlaps(second), f"{one!r} covers {two!r}"
    size = figure.get_size_inches() * DPI
    assert (size < 2400).all()


def test_weights_are_written_and_drawn_by_their_strength() -> None:
    figure = make_figure(_describe(prop=2.0, osc=0.5, ipsi=1.0, contra=-1.5))
    written = {text.get_text() for text in _texts(figure)}
    assert {"prop", "+2.00", "osc", "+0.50", "ipsi", "+1.00", "contra", "−1.50"} <= written
    assert any("4 weights in 30 synapses" in text and "period 60 steps = 1.8 s" in text for text in written)
    # 0.6 points and 0.9 more for each unit; of each kind one more stands in the legend, 0.9 times as wide.
    assert _count_lines(figure, EXCITATORY, 0.6 + 0.9 * 2.0) == 8
    assert _count_lines(figure, EXCITATORY, 0.6 + 0.9 * 0.5) == 2
    assert _count_lines(figure, EXCITATORY, 0.6 + 0.9 * 1.0) == 10
    assert _count_lines(figure, EXCITATORY, 0.9 * (0.6 + 0.9 * 2.0)) == 1
    ends = 10  # bars at the ends of lines are at least 1.5 points wide; here as wide as the lines
    assert _count_lines(figure, INHIBITORY, 0.6 + 0.9 * 1.5) == 10 + ends


def test_a_connection_of_no_strength_is_pale() -> None:
    figure = make_figure(_describe(contra=0.5))
    assert _count_lines(figure, ABSENT, 0.8) == 10 + 1
    assert _count_lines(figure, INHIBITORY, 0.6) == 0
    assert "0" in {text.get_text() for text in _texts(figure)}


def test_unshared_weights_are_written_as_a_range() -> None:
    ipsi = np.linspace(0.5, 1.25, 10).reshape(2, 5)
    figure = make_figure(_describe(NCAPConfig(share_weights=False), ipsi=ipsi))
    assert "+0.50 to +1.25" in {text.get_text() for text in _texts(figure)}


def test_the_heat_maps_are_the_activity() -> None:
    description = _describe(steps=50)
    figure = make_figure(description)
    meshes = [mesh for axes in figure.axes for mesh in axes.collections if mesh.get_array() is not None]
    values = [np.asarray(mesh.get_array()) for mesh in meshes if np.size(mesh.get_array()) == 5 * 50]
    activity = description["activity"]
    np.testing.assert_array_equal(values[0], np.transpose(activity["angles"]))
    np.testing.assert_array_equal(values[1], np.transpose(activity["action"]))
    times = [axes for axes in figure.axes if axes.get_xlabel() == "time (s)"]
    assert [axes.get_xlim() for axes in times] == [pytest.approx((0.0, 1.5))]
    assert times[0].yaxis_inverted(), "the head is on top"


def test_without_activity_only_the_wiring_is_drawn() -> None:
    with_it, without = make_figure(_describe()), make_figure(_describe(steps=0))
    assert len(without.axes) == 1
    assert without.get_size_inches()[1] < with_it.get_size_inches()[1]


def test_one_step_and_a_body_that_never_bends_can_be_drawn(tmp_path: Path) -> None:
    write_picture(
        tmp_path / "circuit.png", figure_pixels(make_figure(_describe(body=swimmer(3, locked=[0, 1]), steps=1)))
    )


# --- the file ---


def test_the_file_is_a_png_and_the_same_at_every_call(tmp_path: Path) -> None:
    description = _describe(COMMANDED)
    write_picture(tmp_path / "one.png", figure_pixels(make_figure(description)))
    write_picture(tmp_path / "two.png", figure_pixels(make_figure(json.loads(json.dumps(description)))))
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        pixels = np.asarray(picture)
    for colour in (EXCITATORY, INHIBITORY):
        rgb = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        assert (pixels == rgb).all(axis=2).sum() > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]


def test_a_body_s_name_is_no_formula(tmp_path: Path) -> None:
    figure = make_figure(_describe(body=swimmer(3, name="$x_{$")))
    write_picture(tmp_path / "circuit.png", figure_pixels(figure))


@pytest.mark.parametrize("name", ["missing/circuit.png", "circuit.pdf", "circuit"])
def test_a_place_that_cannot_be_written_is_bad_input(name: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as error:
        write_picture(tmp_path / name, figure_pixels(make_figure(_describe(steps=0))))
    assert "\n" not in str(error.value)
    assert name in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_old_picture_survives_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "circuit.png"
    path.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        write_picture(path, figure_pixels(make_figure(_describe(steps=0))))
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["circuit.png"]


def test_neither_torch_nor_pyplot_is_loaded() -> None:
    program = """
import sys
import wormwood.launch.inspect.circuit_picture
print([name for name in ("torch", "matplotlib.pyplot", "tkinter", "ray") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
