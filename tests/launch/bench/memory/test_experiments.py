"""The benchmark of memories: its experiments run and report what they say. No score is tested."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from wormwood.launch.bench.memory import experiments, plastic_scores, runs, schedules
from wormwood.launch.bench.memory.footprint import footprint
from wormwood.launch.bench.memory.plastic_scores import bench_plasticity
from wormwood.launch.bench.memory.runs import Experiment, play
from wormwood.launch.bench.rounds import mean_interval
from wormwood.launch.cli import main as command_line


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "EVALUATED", 20)
    monkeypatch.setattr(schedules, "SLOW_EVERY", (2,))
    monkeypatch.setattr(schedules, "HELD_OUT", 20)
    monkeypatch.setattr(experiments, "RECALLED", (4,))
    for name, size in {"ALONE": 6, "COPIES": 3, "LENGTH": 4, "LATE": 2}.items():
        monkeypatch.setattr(plastic_scores, name, size)


def test_an_unknown_experiment_is_bad_input_in_one_line(capsys) -> None:
    assert command_line.main(["bench", "memory", "--what", "recal", "--json"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("wormwood: unknown experiment in bench memory: expected one of few-shot, recall, horizons")
    assert line.endswith("got 'recal' (nearest: 'recall')\n")


def test_the_verb_gives_each_arm_its_scores_by_seed(capsys, monkeypatch) -> None:
    arms = {
        "synthetic": Experiment(experiments.Recall(2), updates=2),
        "truncated": Experiment(experiments.Recall(2), updates=2),
    }
    monkeypatch.setitem(
        experiments.EXPERIMENTS,
        "few-shot",
        lambda seeds, updates, progress: experiments._compare(arms, seeds, updates, progress),
    )
    assert command_line.main(["bench", "memory", "--seeds", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {"experiment", *arms, *(f"{name}_cpu_s" for name in arms)}
    assert set(result["synthetic"]) == {"0", "1", "median"}
    assert all(0 <= score <= 1 for score in result["synthetic"].values())


@pytest.mark.parametrize(
    ("what", "arms"),
    [
        ("few-shot", {"synthetic", "truncated", "shuffled", "full"}),
        ("recall", {"delay_10", "delay_10_truncated"}),
        (
            "horizons",
            {"delay_4", "delay_4_truncated", "delay_20_lambda_0.5", "delay_20_curriculum", "copy_3_truncated"},
        ),
        ("schedules", {"sinusoids_every_2_fast", "prototypes_every_2_truncated_equal_cpu", "bandit_every_2_truncated"}),
        ("sharing", {"fresh", "trained", "together"}),
        ("plasticity", {"same_trial_frozen", "noisier_trial_synthetic", "closer_stream_truncated", "moved_late_full"}),
    ],
)
def test_every_experiment_reports_its_arms(what: str, arms: set[str]) -> None:
    result = experiments.bench_memory(what, seeds=1, updates=2)
    assert arms <= set(result)
    assert all(set(result[arm]) == {"0", "median"} for arm in arms)


def test_a_run_repeats_itself() -> None:
    experiment = Experiment(experiments.Recall(3), updates=3)
    assert play(experiment, 1).score == play(experiment, 1).score


class _Counting:
    """Takes 3 s an update with predicted gradients, and 1 s without; its score is how many it has made."""

    def __init__(self, feedback: bool) -> None:
        self.each, self.done, self.cpu_s = 3.0 if feedback else 1.0, 0, 0.0

    def learn(self) -> None:
        self.done, self.cpu_s = self.done + 1, self.cpu_s + self.each

    def score(self) -> float:
        return self.done


def test_the_truncated_arm_goes_on_until_it_has_cost_as_much() -> None:
    assert schedules._compare(_Counting, 4) == (4, 4, 12)


def test_a_bandit_is_learned_as_in_a_run(tmp_path: Path, capsys) -> None:
    """The same policy as ``wormwood train`` with that schedule, and so the same score on the same bandits."""
    pupil = schedules.BanditPupil(1, 2, False)
    pupil.learn()
    schedule = ["--set", "learner.schedule.slow_every=2", "--set", "learner.schedule.feedback=false"]
    judged = ["--set", "iterations=1", "--set", "evaluation_episodes=20", "--out", str(tmp_path / "r")]
    assert command_line.main(["train", schedules.BANDIT, "--seed", "1", "--json", *schedule, *judged]) == 0
    assert json.loads(capsys.readouterr().out)["return_mean"] == pytest.approx(pupil.score())


def test_the_footprint_is_measured_in_a_process_of_its_own() -> None:
    assert footprint(16, every=4) >= 0


def test_a_gain_is_over_the_frozen_arm_of_the_same_trials() -> None:
    result = bench_plasticity(replace(experiments.PROTOTYPES, updates=2), range(2), None, lambda stage, share: None)
    for arm in ("same_trial_synthetic", "closer_stream_full", "moved_late_truncated"):
        frozen = result[arm.rsplit("_", 1)[0] + "_frozen"]
        gains = [result[arm][seed] - frozen[seed] for seed in ("0", "1")]
        assert result[f"{arm}_gain"]["mean"] == pytest.approx(sum(gains) / 2)
    assert "same_trial_frozen_gain" not in result


def test_the_interval_of_a_mean_is_student_s() -> None:
    """Of 1, 2 and 3: deviation 1, and t = 4.3027 at 2 degrees of freedom, over √3."""
    found = mean_interval([1.0, 2.0, 3.0])
    assert found == pytest.approx({"mean": 2.0, "low": 2 - 2.48414, "high": 2 + 2.48414}, abs=1e-4)
    assert mean_interval([5.0]) == {"mean": 5.0}
