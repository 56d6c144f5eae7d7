"""Pictures of adaptation: the return of each episode of a trial, its interval, chance and the oracle."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wormwood.agents.references.anchors import Anchors
from wormwood.launch.cli.main import main
from wormwood.launch.inspect.trial_plots import make_adaptation_figure, plot_adaptation

ROW: dict[str, Any] = {
    "agent": "a$b",
    "episodes": 400,
    "episode_means": [1.0, 2.0, 3.0],
    "episode_lows": [0.5, 1.5, 2.5],
    "episode_highs": [1.5, 2.5, 3.5],
}
ANCHORS = Anchors(episodes=3, random=0.0, oracle=4.0)
SMALL = ("--set", "iterations=1", "--set", "learner.environments=8", "--set", "evaluation_episodes=10")


def test_the_picture_shows_every_episode_chance_and_the_oracle() -> None:
    axes = make_adaptation_figure(ROW, title="trials", anchors=ANCHORS).axes[0]
    means, oracle, random = axes.lines
    np.testing.assert_array_equal(means.get_xydata(), [[1, 1], [2, 2], [3, 3]])
    assert (oracle.get_ydata()[0], random.get_ydata()[0]) == (4.0, 0.0)
    corners = axes.collections[0].get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (0.5, 3.5)
    assert axes.get_title() == "trials\n400 held-out tasks"
    scored = ROW | ANCHORS.to_row(np.array([6.0, 6.0]))
    assert axes.lines and "score 0.500" in make_adaptation_figure(scored, title="", anchors=None).axes[0].get_title()


def test_where_nothing_is_known_there_are_no_lines() -> None:
    assert len(make_adaptation_figure(ROW, title="trials", anchors=None).axes[0].lines) == 1


def test_the_file_is_a_picture(tmp_path: Path) -> None:
    plot_adaptation(ROW, tmp_path / "a.png", title="trials of $x", anchors=ANCHORS)
    assert Image.open(tmp_path / "a.png").size == (800, 450)


def test_evaluate_scores_and_draws_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, picture = str(tmp_path / "r"), tmp_path / "p.png"
    assert main(["train", "bandit-5-10-rl2", *SMALL, "--out", run, "--json"]) == 0
    capsys.readouterr()
    assert main(["evaluate", run, "--episodes", "20", "--plot", str(picture), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["score"] == pytest.approx((row["return_mean"] - 5) / (row["optimal_return"] - 5))
    assert row["score_low"] < row["score"] < row["score_high"]
    assert picture.exists()
    assert main(["evaluate", run, "--episodes", "20"]) == 0
    assert "1 is Bayes-optimal, 6.66" in capsys.readouterr().out


def test_only_trials_have_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "ncap", "--plot", "p.png"]) == 2
    assert "option in --plot: expected an agent that was trained on trials" in capsys.readouterr().err
