"""Circuits for trials of many bodies learn by evolution like any circuit, and their runs can be evaluated."""

import json
from pathlib import Path

import pytest

from wormwood.launch.cli.main import main

CONFIG = """
agent:
  kind: modulated-ncap
  circuit: {learn_period: true, bounds: {period: [6, 150]}}
family: swimmer-bodies
family_options: {links: [3, 4], held_out_links: [5], steps: 10}
trial_episodes: 3
learner: {kind: cma-es, population: 4, starts: 2}
iterations: 2
evaluation_episodes: 10
"""


def test_it_is_trained_by_evolution_and_judged_by_episode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yaml").write_text(CONFIG)
    run = str(tmp_path / "r")
    assert main(["train", str(tmp_path / "r.yaml"), "--out", run, "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    # 4 candidates with 2 trials of 30 steps each, twice.
    assert trained["steps"] == 2 * 4 * 2 * 30
    assert main(["evaluate", run, "--episodes", "10", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert row["return_mean"] == pytest.approx(trained["return_mean"])
    assert len(row["episode_means"]) == 3
    assert "score" not in row
    assert main(["inspect", run]) == 0
    described = Path(run) / "agent" / "agent.json"
    written = json.loads(described.read_text())
    written["config"]["kind"] = "repertoire"
    described.write_text(json.dumps({**written, "schema": 1}))  # whose text has no checksum
    capsys.readouterr()
    assert main(["evaluate", run]) == 2
    error = capsys.readouterr().err
    assert f"agent.kind in {described}: expected one of ncap, " in error and error.endswith("got 'repertoire'\n")
