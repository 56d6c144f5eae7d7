"""Rows and tables of outcomes, on numbers worked out by hand."""

import numpy as np
import pytest

from wormwood.launch.transfer.results import GRAVITY, ROW_KEYS, Results
from wormwood.launch.transfer.suites import parse_suite
from wormwood.launch.transfer.tuning import Tuning
from wormwood.launch.transfer.zero_shot import Outcome

SUITE = parse_suite(
    """
task_options: {horizon: 100}
axes: {links: 4}
bodies:
- {body: swimmer-4, label: home}
- {body: swimmer-5, label: interpolation, axis: links, value: 5}
- {body: swimmer-9, label: extrapolation, axis: links, value: 9}
""",
    name="test",
    where="test",
)


def _outcome(*returns: float) -> Outcome:
    count = len(returns)
    return Outcome(returns, (0.05,) * count, (0.002,) * count, (1.5,) * count)


def make_results() -> Results:
    """Return two agents, of which the second cannot act on nine links."""
    outcomes = {
        ("a", "swimmer-4"): _outcome(90, 90, 90, 90),
        ("a", "swimmer-5"): _outcome(80, 80, 80, 80),
        ("a", "swimmer-9"): _outcome(10, 20, 30, 100),
        ("b", "swimmer-4"): _outcome(95, 95, 95, 95),
        ("b", "swimmer-5"): _outcome(20, 20, 20, 20),
        ("b", "swimmer-9"): Outcome(reason="nine is too many"),
    }
    return Results(
        SUITE, ("a", "b"), outcomes, tunings=(Tuning("a", "swimmer-9", (25.0,) * 4, (50.0,) * 4, (10.0,) * 4),)
    )


def test_rows_have_the_keys_that_scripts_rely_on_and_null_for_what_is_not_there() -> None:
    rows = make_results().rows
    assert [(row["agent"], row["body"]) for row in rows] == [
        (agent, f"swimmer-{links}") for agent in "ab" for links in (4, 5, 9)
    ]
    assert all(set(ROW_KEYS) < set(row) for row in rows)
    far, missing = rows[2], rows[5]
    # The middle half of 10, 20, 30, 100.
    assert (far["return_iqm"], far["return_mean"], far["retention"]) == (25, 40, 0.5)
    assert far["return_low"] <= 25 <= far["return_high"] <= 100
    assert {missing[key] for key in ROW_KEYS[3:8]} == {None}
    assert missing["reason"] == "nine is too many"


def test_speed_and_cost_have_the_size_of_the_body_in_them() -> None:
    row = make_results().rows[0]
    assert row["speed_mean"] == pytest.approx(0.05)
    # Four links of 0.1 m and 0.01 kg.
    assert row["body_lengths_per_second"] == pytest.approx(0.05 / 0.4)
    assert row["cost_of_transport"] == pytest.approx(0.002 / (0.04 * GRAVITY * 1.5))


def test_who_swims_backwards_has_no_cost_of_transport() -> None:
    outcome = Outcome((0.0,), (-0.1,), (1.0,), (-3.0,))
    outcomes = {("a", entry.body.name): outcome for entry in SUITE.bodies}
    assert {row["cost_of_transport"] for row in Results(SUITE, ("a",), outcomes).rows} == {None}


def test_the_summary_counts_what_an_agent_cannot_do_as_zero() -> None:
    a, b = make_results().summary
    assert (a["home"].estimate, a["interpolation"].estimate, a["extrapolation"].estimate) == pytest.approx(
        (0.9, 0.8, 0.25)
    )
    # 12 scores: 0.1, 0.2, 0.3 and 0.9, 0.9, 1.0 are cut off.
    assert a["all"].estimate == pytest.approx((4 * 0.8 + 2 * 0.9) / 6)
    assert a["optimality_gap"] == pytest.approx(1 - (4 * 0.9 + 4 * 0.8 + 1.6) / 12)
    assert (a["bodies"], b["bodies"]) == (3, 2)
    assert b["extrapolation"].estimate == 0
    # As many zeros as there are starts, so that every body weighs the same.
    assert b["optimality_gap"] == pytest.approx(1 - (4 * 0.95 + 4 * 0.2 + 4 * 0.0) / 12)
    for line in (a, b):
        for label in ("all", "home", "interpolation", "extrapolation"):
            assert line[label].low <= line[label].estimate <= line[label].high
    assert "combination" not in a


def test_improvement_and_profile_weigh_bodies_alike() -> None:
    results = make_results()
    # At home b always wins; on the other two a does.
    ((agent, other, interval),) = results.improvements
    assert (agent, other) == ("a", "b")
    assert interval.estimate == pytest.approx(2 / 3)
    share, low, high = results.profile("a")
    # Above 0.5: all on two bodies, one of four on the third.
    assert share[50] == pytest.approx((1 + 1 + 0.25) / 3)
    assert np.all(low <= share + 1e-12)
    assert np.all(share <= high + 1e-12)


def make_group() -> Results:
    """Return a group of three training runs, of four starts each, and an agent by itself, on two bodies."""
    suite = parse_suite(
        "task_options: {horizon: 100}\n"
        "bodies: [{body: swimmer-4, label: home}, {body: swimmer-5, label: interpolation}]",
        name="test",
        where="test",
    )
    outcomes = {
        ("g=a", "swimmer-4"): _outcome(80, 80, 80, 80),
        ("g=b", "swimmer-4"): _outcome(60, 90, 60, 90),
        ("g=c", "swimmer-4"): _outcome(10, 10, 10, 10),
        ("alone", "swimmer-4"): _outcome(0, 40, 60, 100),
        **{(run, "swimmer-5"): _outcome(20, 20, 20, 20) for run in ("g=a", "g=b", "alone")},
        ("g=c", "swimmer-5"): Outcome(reason="too long"),
    }
    return Results(suite, ("g", "alone"), outcomes, groups={"g": ("g=a", "g=b", "g=c")})


def test_the_scores_of_training_runs_are_their_means_over_starts() -> None:
    rows = {(row["agent"], row["body"]): row for row in make_group().rows}
    group, alone = rows["g", "swimmer-4"], rows["alone", "swimmer-4"]
    # Means 80, 75 and 10: of three, no whole one is a quarter.
    assert group["return_iqm"] == pytest.approx(55)
    assert (group["return_low"], group["return_high"]) == pytest.approx((10, 80))
    assert (group["runs"], group["interval_over"]) == (3, "runs")
    assert (alone["return_iqm"], alone["runs"], alone["interval_over"]) == (50, 1, "starts")
    assert rows["g", "swimmer-5"]["reason"] == "too long"


def test_intervals_of_a_group_are_over_its_runs_as_those_of_rliable() -> None:
    results = make_group()
    scores = results.scores("g")
    # One number for each run and body, which are resampled apart for each body; who cannot act has 0.
    np.testing.assert_allclose(scores, [[0.8, 0.75, 0.1], [0.2, 0.2, 0.0]])
    summary = results.summary[0]
    assert (summary["runs"], summary["bodies"]) == (3, 1)
    rng = np.random.default_rng(0)
    resampled = np.stack([rng.choice(values, size=(20_000, 3)) for values in scores], axis=1).reshape(20_000, 6)
    middle = np.sort(resampled, axis=1)[:, 1:5].mean(axis=1)
    low, high = np.percentile(middle, [2.5, 97.5])
    assert (summary["all"].low, summary["all"].high) == pytest.approx((low, high), abs=0.02)
