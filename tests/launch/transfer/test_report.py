"""The report: its files, a page that needs nothing else, and what a browser makes of it."""

import csv
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from wormwood.launch.transfer.figures import cell_colours, draw_curve, png_bytes
from wormwood.launch.transfer.report_files import write_report
from wormwood.launch.transfer.results import Results
from wormwood.launch.transfer.suites import parse_suite
from wormwood.launch.transfer.tuning import Tuning
from wormwood.launch.transfer.zero_shot import Outcome

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LONG = "a-name-that-is-" + "very-" * 20 + "long<&$"
VOID = {"meta", "link", "img", "br"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of four agents, one of them with a hostile name, on bodies of every label."""
    suite = parse_suite(
        """
axes: {links: 4, lesioned motor: null}
bodies:
- {body: swimmer-4, label: home}
- {body: swimmer-5, label: interpolation, axis: links, value: 5}
- {body: head-lesion, label: extrapolation, axis: lesioned motor, value: 0}
- {body: {name: "<both>", links: 3, locked: [0]}, label: combination}
""",
        name="all <labels>",
        where="test",
    )
    agents, rng, outcomes = ("ncap", LONG, "padded", "small"), np.random.default_rng(0), {}
    for agent in agents:
        for entry in suite.bodies:
            free = 3 + len(entry.body.free_joints)
            poses = tuple(tuple(rng.uniform(-0.3, 0.3, size=free)) for _ in range(4))
            returns, speeds = (tuple(rng.uniform(0, most, size=3)) for most in (1000, 0.1))
            outcomes[agent, entry.body.name] = Outcome(
                returns, speeds, (0.01,) * 3, (2.0,) * 3, poses, adapted=agent == "padded"
            )
    outcomes["small", "<both>"] = Outcome(reason="it is <too> small")
    tunings = (
        Tuning(
            "ncap",
            "swimmer-5",
            (776.0, 776.0),
            (800.0, 800.0),
            (500.0, 500.0),
            ((0.01, (780.0, 780.0)), (1.0, (820.0, 820.0))),
            720.0,
            0,
            50_000,
        ),
        Tuning(LONG, "head-lesion", (), (300.0,), (90.0,)),
    )
    folder = tmp_path_factory.mktemp("report")
    shown: list[float] = []
    page = write_report(
        Results(suite, agents, outcomes, tunings=tunings),
        folder,
        command="wormwood transfer 'a & b'",
        notes=["mind this"],
        progress=shown.append,
    )
    assert shown == [0, 0.25, 0.5, 0.75]
    return page


class _Balance(HTMLParser):
    """Checks that every element is closed, and collects what a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        self.loaded += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing(report: Path) -> None:
    text, parser = report.read_text(encoding="utf-8"), _Balance()
    parser.feed(text)
    assert parser.open == []
    assert parser.loaded
    assert all(address.startswith("data:") for address in parser.loaded)
    assert "<script" not in text
    assert "http" not in re.sub(r"data:image/png;base64,[^\"]*", "", text)


def test_names_are_shown_as_they_are(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    for name in (LONG, "<both>", "all <labels>", "it is <too> small", "wormwood transfer 'a & b'", "mind this"):
        assert html.escape(name) in text
    assert "<both>" not in text


def test_the_page_says_what_it_shows_and_how_it_was_made(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    for what in (
        "cannot act",
        "Held-out starts 0 to 2 of seed 0",
        "mujoco 3.",
        "0.97",
        "50,000",
        "276 <small>(276 to 276)</small>",
        "Padded: it acts as",
        "3 of 4",
    ):
        assert what in text
    assert text.count("<figure>") == 2 + 1 + 4 * 4 - 1  # axes, profile, films of each body and each agent that acts


def test_the_same_is_in_json_csv_and_png(report: Path) -> None:
    described = json.loads((report.parent / "results.json").read_text())
    with (report.parent / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(described["rows"]) == 16
    for row, entry in zip(rows, described["rows"], strict=True):
        assert {name: "" if value is None else str(value) for name, value in entry.items()} == row
    assert described["command"] == "wormwood transfer 'a & b'"
    assert len(described["probability_of_improvement"]) == 6
    assert len(described["returns"]["ncap"]["swimmer-4"]) == 3
    for name in ("heat-map", "curves", "profile"):
        with Image.open(report.parent / f"{name}.png") as image:
            assert min(image.size) > 200
        assert ElementTree.parse(report.parent / f"{name}.svg").getroot().tag.endswith("svg")


def test_no_text_is_a_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    suite = parse_suite("bodies: [{body: {name: '=1+1', links: 3}, label: home}]", name="s", where="test")
    agents = ("=HYPERLINK(0)", "+1", "-1", "@a", "a=1")
    outcomes = {(agent, "=1+1"): Outcome(reason="-none") for agent in agents}
    write_report(Results(suite, agents, outcomes), tmp_path, command="")
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["agent"] for row in rows] == ["'=HYPERLINK(0)", "'+1", "'-1", "'@a", "a=1"]
    assert {(row["body"], row["reason"], row["return_iqm"]) for row in rows} == {("'=1+1", "'-none", "")}
    assert json.loads((tmp_path / "results.json").read_text())["rows"][0]["body"] == "=1+1"


def test_only_what_was_measured_has_a_column_and_nothing_is_minus_zero(tmp_path: Path) -> None:
    suite = parse_suite("bodies: [{body: swimmer-3, label: home}]", name="s", where="test")
    outcomes = {("a", "swimmer-3"): Outcome((-0.01,), (-1e-9,), (0.1,), (1.0,), adapted=True)}
    page = write_report(Results(suite, ("a",), outcomes), tmp_path, command="").read_text(encoding="utf-8")
    assert "<th scope=col>retention" not in page
    assert re.search(r"-0(\.0+)?\D", re.sub(r"data:image[^\"]*|<style>.*</style>", "", page, flags=re.DOTALL)) is None
    assert "swimmer-3 *" in page, "padded cells are marked in the numbers, too"


def test_names_of_joints_are_not_joined_and_quantities_have_their_unit() -> None:
    suite = parse_suite(
        """
axes: {viscosity: 0, lesioned motor: null}
units: {viscosity: Pa·s}
bodies:
- {body: swimmer-3, label: home}
- {body: viscous, label: extrapolation, axis: viscosity, value: 0.1}
- {body: head-lesion, label: extrapolation, axis: lesioned motor, value: 0}
""",
        name="s",
        where="test",
    )
    bodies = [entry.body.name for entry in suite.bodies]
    results = Results(suite, ("a",), {("a", body): Outcome((1.0,), (0.1,), (0.1,), (1.0,)) for body in bodies})
    styles = {}
    for axis in ("viscosity", "lesioned motor"):
        upper, lower = draw_curve(results, axis).axes
        styles[axis] = upper.lines[0].get_linestyle(), lower.get_xlabel()
    assert styles == {"viscosity": ("-", "Pa·s"), "lesioned motor": ("None", "")}


def test_text_in_cells_stands_out_for_any_value() -> None:
    for share in np.linspace(-0.5, 1.5, 41):
        back, text = (_luminance(colour) for colour in cell_colours(share))
        # WCAG 2 asks for a contrast of 4.5.
        assert (max(back, text) + 0.05) / (min(back, text) + 0.05) > 4.5


def _luminance(colour: str) -> float:
    channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_pictures_of_few_colours_are_still_pictures() -> None:
    picture = np.random.default_rng(0).integers(0, 256, size=(20, 30, 3), dtype=np.uint8)
    assert png_bytes(picture).startswith(b"\x89PNG")


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: its Debian package is `chromium`")


@needs_browser
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_draws_everything_without_errors_or_scrolling(width: int, report: Path, tmp_path: Path) -> None:
    # A headless window is at least 500 pixels wide; a frame can be narrower, and is its own viewport.
    probe = (
        "<script>addEventListener('load', () => { const root = document.documentElement;"
        "parent.document.body.dataset.probe = [innerWidth, root.scrollWidth > root.clientWidth,"
        "[...document.images].filter(image => image.naturalWidth > 0).length, document.images.length].join(' ');"
        # A word in a cell stands on one line.
        "document.querySelectorAll('details').forEach(part => part.open = true);"
        "const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); let broken = [];"
        "while (words.nextNode()) { const node = words.currentNode, range = document.createRange();"
        "if (!node.parentElement.closest('td, th') || !/^[A-Za-z0-9,]+$/.test(node.data)) continue;"
        "range.selectNodeContents(node); if (range.getClientRects().length > 1) broken.push(node.data) }"
        "parent.document.body.dataset.broken = broken.join(' ') || 'none';"
        # Nor is any cell of the tables that are lists on a phone beyond its edge.
        "const edges = [...document.querySelectorAll('.long td')].map(cell => cell.getBoundingClientRect().right);"
        "parent.document.body.dataset.cut = innerWidth < 480 && Math.max(...edges) > innerWidth })"
        "</script></body>"
    )
    page = html.escape(report.read_text(encoding="utf-8").replace("</body>", probe))
    (tmp_path / "frame.html").write_text(
        f'<!DOCTYPE html><link rel="icon" href="data:,"><body><iframe style="width:{width}px; height:3000px; border:0" '
        f'srcdoc="{page}"></iframe></body>'
    )
    shown, errors = _browse("--dump-dom", f"--window-size={width + 100},3000", tmp_path / "frame.html", tmp_path)
    assert f'data-probe="{width} false 18 18"' in shown
    assert 'data-broken="none"' in shown
    assert 'data-cut="false"' in shown
    assert "CONSOLE" not in errors


@needs_browser
def test_a_screenshot_shows_the_page(report: Path, tmp_path: Path) -> None:
    _browse(f"--screenshot={tmp_path}/page.png", "--window-size=1200,2000", report, tmp_path)
    with Image.open(tmp_path / "page.png") as image:
        colours = image.convert("RGB").getcolors(2**24)
    assert colours is not None
    assert len(colours) > 500, "text, cells, figures and strips"


def _browse(action: str, size: str, page: Path, folder: Path) -> tuple[str, str]:
    assert BROWSER is not None
    fixed = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=4000"]
    command = [BROWSER, *fixed, f"--user-data-dir={folder}/profile", size, action, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr
