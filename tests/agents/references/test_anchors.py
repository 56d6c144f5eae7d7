"""What policies on trials are compared with."""

import numpy as np
import pytest

from wormwood.agents.policies.baselines import UniformPolicy
from wormwood.agents.references.anchors import Anchors, anchors_of
from wormwood.agents.references.grid_values import random_return
from wormwood.agents.references.playing import held_out_returns
from wormwood.envs.families.trials import TrialSpec, trial_from_name


def _random_returns(spec: TrialSpec, tasks: int) -> np.ndarray:
    return held_out_returns(UniformPolicy(spec.actions, np.random.default_rng(0)), spec, tasks)


def test_a_score_is_0_at_random_and_1_at_the_optimum() -> None:
    anchors = Anchors(episodes=4, random=1.0, oracle=3.0)
    np.testing.assert_allclose(anchors.scores(np.array([4.0, 8.0, 12.0])), [0.0, 0.5, 1.0])
    known = Anchors(episodes=4, random=1.0, oracle=3.0, bayes=9.0)
    np.testing.assert_allclose(known.scores(np.array([4.0, 9.0])), [0.0, 1.0])
    assert (anchors.optimum, known.optimum) == ("oracle", "Bayes-optimal")


def test_the_interval_of_a_score_is_that_of_its_mean() -> None:
    row = Anchors(episodes=1, random=0.0, oracle=2.0).to_row(np.array([0.0, 2.0, 0.0, 2.0]))
    # Scores 0, 1, 0, 1 have deviation 1/2; over four trials the standard error is 1/4.
    assert row["score"] == pytest.approx(0.5)
    assert (row["score_low"], row["score_high"]) == pytest.approx((0.5 - 0.49, 0.5 + 0.49))
    assert (row["random_return"], row["optimal_return"], row["optimum"]) == (0.0, 2.0, "oracle")


def test_bandits() -> None:
    anchors = anchors_of(trial_from_name("bandit", {"arms": 5}, 10), 1)
    assert anchors is not None
    assert (anchors.random, anchors.oracle) == (0.5, 5 / 6)
    assert anchors.bayes == pytest.approx(6.660, abs=5e-4)
    long = anchors_of(trial_from_name("bandit", {"arms": 5}, 100), 1)
    assert long is not None
    assert long.bayes is None
    assert long.optimal == pytest.approx(100 * 5 / 6)


def test_one_step_of_a_random_walk_by_hand() -> None:
    # No goal is one step from the start; after two steps two of 25 ways are on each of (0, 2) and (2, 0): one.
    assert random_return(1, steps=1) == pytest.approx(-0.1)
    assert random_return(1, steps=2) == pytest.approx(-0.2 + 1.1 * (2 / 25) / 21)
    assert random_return(3, steps=2) == pytest.approx(3 * random_return(1, steps=2))


@pytest.mark.parametrize(("name", "episodes"), [("gridnavi", 2), ("tabular-mdp", 2), ("bandit", 10)])
def test_who_acts_at_random_earns_what_is_expected_of_chance(name: str, episodes: int) -> None:
    spec = trial_from_name(name, {}, episodes)
    anchors = anchors_of(spec, 2000)
    assert anchors is not None
    returns = _random_returns(spec, 2000)
    error = returns.std(axis=0) / len(returns) ** 0.5
    assert (abs(returns.mean(axis=0) - anchors.random) < 4 * error).all()
    assert anchors.oracle > anchors.random


def test_nothing_is_known_of_bodies() -> None:
    assert anchors_of(trial_from_name("swimmer-bodies", {}, 3), 10) is None
