"""The benchmark of forests: both sides do the same work, and what it reports is what it says. No speed is tested."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from wormwood.agents.learning.boosted.actor_critic import BoostedActorCritic
from wormwood.errors import BadInput
from wormwood.launch.bench import trees
from wormwood.launch.bench.trees_peer_script import make_rows, make_table_batch, speed_of, table_speed
from wormwood.launch.bench.trees_peers import PeerError, running_peers
from wormwood.launch.bench.trees_update import cart_pole_rollout, own_update
from wormwood.launch.cli import main as command_line

PEERS = os.environ.get("WORMWOOD_PEERS") or (sys.executable if importlib.util.find_spec("gbrl") else None)
needs_peers = pytest.mark.skipif(PEERS is None, reason="neither is gbrl installed nor is WORMWOOD_PEERS set")

CASES = {"fit_512_64_ms", "fit_512_255_ms", "fit_2048_64_ms", "predict_10000_ms", "table1_s", "update_ms"}
GROWERS = {f"grow_{name}_ms" for name in ("greedy", "greedy_l2", "oblivious")}
OWN = {*GROWERS, "engine_native_ms", "engine_xgboost_ms", "margins_2048_ms"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trees: what is reported stays the same."""
    monkeypatch.setattr(trees, "TREES", 50)
    monkeypatch.setattr(trees, "UPDATED", (0, 10))
    monkeypatch.setattr(trees, "ITERATIONS", 100)


@pytest.mark.slow
def test_the_verb_without_peers_gives_the_documented_keys(capsys, monkeypatch) -> None:
    monkeypatch.delenv("WORMWOOD_PEERS", raising=False)
    assert command_line.main(["bench", "trees", "--seconds", "0.01", "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert set(result) == {*CASES, *OWN, "threads", "fit_rounds"}
    assert list(result["predict_10000_ms"]) == ["1", "16", "64", "2048"]
    assert list(result["update_ms"]) == ["0", "1000", "5000"]
    assert all(list(result[name]) == ["512", "2048"] for name in GROWERS)
    assert list(result["engine_xgboost_ms"]) == ["128", "512", "2048", "8192", "65536"]
    sizes = [name for name, figure in result.items() if isinstance(figure, dict)]
    numbers = [*(number for name in sizes for number in result.pop(name).values()), *result.values()]
    assert all(number > 0 for number in numbers)
    assert "python -m venv peers && peers/bin/pip install gbrl==1.1.9 xgboost==3.2.0 torch" in printed.err


@pytest.mark.usefixtures("small")
def test_the_table_has_a_row_for_each_figure_and_size(capsys, monkeypatch) -> None:
    monkeypatch.delenv("WORMWOOD_PEERS", raising=False)
    assert command_line.main(["bench", "trees", "--seconds", "0.01"]) == 0
    rows = capsys.readouterr().out
    assert all(name in rows for name in ("table1_s", "predict_50_ms, 2048", "update_ms, 10"))


@pytest.mark.parametrize(
    ("python", "problem"),
    [("/none/python", "No such file"), ("{tmp}", "Permission denied"), ("/bin/false", "exit code 1")],
)
def test_peers_that_are_none_are_bad_input_in_one_line(python: str, problem: str, tmp_path: Path, capsys) -> None:
    python = python.format(tmp=tmp_path)
    assert command_line.main(["bench", "trees", "--seconds", "0.01", "--peers", python]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"wormwood: no peers in --peers {python}: expected a Python that has gbrl and xgboost")
    assert problem in line
    assert line.count("\n") == 1


def test_peers_without_a_name_are_bad_input(capsys) -> None:
    assert command_line.main(["bench", "trees", "--peers", ""]) == 2
    assert capsys.readouterr().err == "wormwood: argument in wormwood bench --peers: expected a value, got ''\n"


def test_peers_may_be_named_by_the_environment(capsys, monkeypatch) -> None:
    monkeypatch.setenv("WORMWOOD_PEERS", "/none/python")
    assert command_line.main(["bench", "trees", "--seconds", "0.01"]) == 2
    assert "no peers in --peers /none/python" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("gbrl") is not None, reason="gbrl is installed here")
def test_a_python_without_gbrl_is_told_what_is_missing() -> None:
    with pytest.raises(BadInput, match="No module named 'gbrl'"), running_peers(sys.executable):
        pass


def test_rollouts_have_no_peers_to_choose(capsys) -> None:
    assert command_line.main(["bench", "rollout", "--peers", "python"]) == 2
    assert "--peers: expected none for rollout" in capsys.readouterr().err


def test_peers_that_end_fail_the_benchmark_with_their_last_words(tmp_path: Path, capsys) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho \'{"gbrl": "1", "xgboost": "1"}\'\nread line\necho out of memory >&2\n')
    python.chmod(0o755)
    assert command_line.main(["bench", "trees", "--seconds", "0.01", "--peers", str(python)]) == 1
    assert capsys.readouterr().err == "wormwood: the peers ended: out of memory\n"
    with running_peers(str(python)) as peers, pytest.raises(PeerError, match="out of memory"):
        peers.play("gbrl", "fit", rows=512)


def test_both_sides_get_the_same_data_and_other_batches_in_each_iteration() -> None:
    np.testing.assert_array_equal(make_rows(16)[0], make_rows(16)[0])
    assert [array.shape for array in make_rows(16)] == [(16, 20), (16, 7)]
    assert [array.shape for array in make_table_batch(3)] == [(128, 20), (128, 3)]
    assert not np.array_equal(make_table_batch(3)[0], make_table_batch(4)[0])


def test_speeds_count_calls() -> None:
    calls = list[int]()
    assert speed_of(lambda: calls.append(sum(range(1000)))) == pytest.approx(len(calls) / 0.02, rel=0.2)
    seen = list[float]()
    assert table_speed(lambda features, _: seen.append(features[0, 0]), [make_table_batch(k) for k in range(3)]) > 0
    assert seen == [make_table_batch(k)[0][0, 0] for k in range(3)]


def test_the_tables_loop_learns_its_targets_by_one_tree_an_iteration() -> None:
    loop, (features, targets) = trees._TableLoop(), make_table_batch(100)
    for begin in (0, 50):
        assert loop.play(begin, begin + 50) > 0
    assert len(loop.forest) == 100
    assert np.mean((loop.forest.predict(features) - targets) ** 2) < 0.5 * np.mean(targets**2)


def test_advantages_of_a_rollout_are_discounted_rewards_up_to_the_fall() -> None:
    rollout = cart_pole_rollout()
    assert {name: array.shape for name, array in rollout.items()} == {
        "observation": (1024, 4),
        "action": (1024,),
        "advantage": (1024,),
        "target": (1024,),
    }
    # The last step of a rollout, or before a fall, is worth its own reward; the one before it 1 + 0.98 * 0.8 * 1.
    advantage = rollout["advantage"]
    assert advantage[127] == advantage[1023] == 1.0
    assert advantage[advantage > 1].min() == pytest.approx(1.784)
    assert set(rollout["action"]) == {0.0, 1.0}


@pytest.mark.parametrize("count", [0, 7])
def test_updates_start_from_the_same_forest_each_time(count: int, monkeypatch) -> None:
    made, improve = list[int](), BoostedActorCritic.improve

    def watched(self, experience, settings, **options):
        before = len(self.forests["policy"])
        metrics = improve(self, experience, settings, **options)
        made.append(before)
        assert len(self.forests["policy"]) == before + 16  # a tree for each 64 of 1024
        return metrics

    monkeypatch.setattr(BoostedActorCritic, "improve", watched)
    play = own_update(count, cart_pole_rollout())
    assert play() > 0
    assert play() > 0
    assert set(made) == {count}


@needs_peers
@pytest.mark.slow
def test_peers_play_every_case_and_ratios_are_of_the_speeds(small, monkeypatch) -> None:
    assert PEERS is not None
    with running_peers(PEERS) as peers:
        assert set(peers.versions) == {"gbrl", "xgboost"}
        monkeypatch.setattr(trees, "GBRL", ("gbrl",))
        fits = trees._bench_fits(peers, 0.0, None)
        table = trees._bench_table(peers, 0.0, None)
        updates = trees._bench_updates(peers, 0.0, None)
    for name in ("fit_512_64_gbrl", "fit_512_64_xgboost", "fit_512_255_gbrl", "fit_512_255_xgboost"):
        assert 0 < fits[f"{name}_ratio_low"] <= fits[f"{name}_ratio"] <= fits[f"{name}_ratio_high"]
        assert fits[f"{name}_ms"] > 0
    assert {"table1_s", "table1_gbrl_s", "table1_gbrl_ratio", "table1_xgboost_s"} <= set(table)
    assert {name for name in updates if "ratio" in name} == {"update_ratio", "update_ratio_low", "update_ratio_high"}
    assert list(updates["update_ratio"]) == ["0", "10"]


@needs_peers
@pytest.mark.slow
def test_peers_predict_with_as_many_trees() -> None:
    assert PEERS is not None
    with running_peers(PEERS) as peers:
        for name in ("gbrl", "gbrl_oblivious", "xgboost"):
            alone, many = (peers.play(name, "predict", rows=rows) for rows in (1, 2048))
            assert 0 < many < alone
