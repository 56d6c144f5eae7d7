"""Bandits: exact values by hand, and classic policies within sampling error of them."""

import numpy as np
import pytest

from wormwood.agents.references.bandit_policies import (
    BanditPolicy,
    gittins,
    greedy,
    thompson,
    upper_confidence_bound,
)
from wormwood.agents.references.bandit_values import bayes_optimal_value, gittins_indices
from wormwood.agents.references.playing import held_out_returns
from wormwood.envs.families.bandits import BernoulliBandit
from wormwood.envs.families.trials import TrialSpec
from wormwood.errors import BadInput


def test_the_optimum_of_small_bandits_is_that_worked_out_by_hand() -> None:
    assert bayes_optimal_value(2, 1) == 0.5
    assert bayes_optimal_value(1, 7) == pytest.approx(3.5)
    # Two arms, two pulls: a success (1/2) is worth 1 and then 2/3, a failure 0 and then the fresh arm's 1/2.
    assert bayes_optimal_value(2, 2) == pytest.approx(0.5 * (1 + 2 / 3) + 0.5 * 0.5)


def test_the_optimum_of_ten_pulls_is_the_known_one() -> None:
    assert bayes_optimal_value(5, 10) == pytest.approx(6.660, abs=5e-4)
    assert bayes_optimal_value(10, 10) == pytest.approx(6.714, abs=5e-4)
    assert bayes_optimal_value(50, 10) == bayes_optimal_value(10, 10), "no more arms than pulls can be tried"


@pytest.mark.parametrize(("arms", "pulls"), [(0, 3), (2, 0), (2, 17)])
def test_what_cannot_be_worked_out_is_refused(arms: int, pulls: int) -> None:
    with pytest.raises(BadInput, match="bandit in optimal value: expected at least one arm and 1 to 16 pulls"):
        bayes_optimal_value(arms, pulls)


def test_gittins_indices_worked_out_by_hand() -> None:
    table = gittins_indices(3)
    # With one pull left the index is the posterior mean.
    assert table[1, 0, 0] == pytest.approx(1 / 2)
    assert table[1, 1, 0] == pytest.approx(2 / 3)
    assert table[1, 0, 2] == pytest.approx(1 / 4)
    # Two left: 1/2 - λ + 1/2 (2/3 - λ) = 0 for λ in [1/3, 2/3].
    assert table[2, 0, 0] == pytest.approx(5 / 9, abs=1e-4)
    # (1, 0): 2/3 - λ + 2/3 (3/4 - λ) = 0, where 1/2 < λ.
    assert table[2, 1, 0] == pytest.approx(7 / 10, abs=1e-4)
    assert table[3, 1, 0] == 0.0, "four pulls where there are three"


def test_an_index_grows_with_successes_and_with_the_time_left() -> None:
    table = gittins_indices(12)
    assert (np.diff(table[4, :4, 2]) > 0).all()
    assert (np.diff(table[4, 2, :4]) < 0).all()
    assert (np.diff(table[1:9, 1, 1]) > 0).all()


@pytest.mark.parametrize(
    ("rule", "arms", "expected"),
    [
        (gittins(10), 5, 6.660),
        (upper_confidence_bound(0.1), 5, 6.65),
        (thompson, 5, 5.83),
        (gittins(10), 10, 6.714),
        (upper_confidence_bound(0.1), 10, 6.70),
        (thompson, 10, 5.58),
    ],
)
def test_policies_reach_what_is_known_of_them(rule: object, arms: int, expected: float) -> None:
    policy = BanditPolicy(arms, rule)  # type: ignore[arg-type]
    returns = held_out_returns(policy, TrialSpec(BernoulliBandit(arms), 10), 3000).sum(axis=1)
    assert returns.mean() == pytest.approx(expected, abs=4 * returns.std() / np.sqrt(3000))


def test_greedy_pulls_what_has_paid_and_else_the_arm_it_knows_least() -> None:
    policy = BanditPolicy(3, greedy)
    memory: dict[str, np.ndarray] = {}
    chosen = []
    # Nothing known; arm 0 fails; arm 1 pays; arm 1 fails, and ties with the fresh arm 2.
    for observation in ([0, 0, 0, 0, 0], [1, 0, 0, 0, 1], [0, 1, 0, 1, 1], [0, 1, 0, 0, 1]):
        action, memory, _ = policy.act(np.array([observation], dtype=float), memory, None)
        chosen.append(int(action[0, 0]))
    assert chosen == [0, 1, 1, 2]
    assert memory["successes"].tolist() == [[0, 1, 0]]
    assert memory["failures"].tolist() == [[1, 1, 0]]


def test_a_policy_that_draws_does_the_same_each_time() -> None:
    spec, policy = TrialSpec(BernoulliBandit(4), 6), BanditPolicy(4, thompson, seed=3)
    np.testing.assert_array_equal(held_out_returns(policy, spec, 50), held_out_returns(policy, spec, 50))
