"""GridNavi's exact values."""

import numpy as np
import pytest

from wormwood.agents.references.grid_values import bayes_optimal_return, oracle_return
from wormwood.envs.families.grid_navigation import GOALS, MOVES
from wormwood.errors import BadInput


def test_the_known_values_of_four_episodes() -> None:
    assert oracle_return(4) == pytest.approx(44.29, abs=0.005)
    assert bayes_optimal_return(4) == pytest.approx(37.21, abs=0.005)


def test_short_episodes_by_hand() -> None:
    # Two steps reach only goals two steps away: (0, 2) and (2, 0). The oracle earns -0.1 + 1 on those.
    assert oracle_return(1, steps=2) == pytest.approx((2 * 0.9 + 19 * -0.2) / 21)
    # One path sees one of them.
    assert bayes_optimal_return(1, steps=2) == pytest.approx((0.9 + 20 * -0.2) / 21)
    # The second episode sees the other, and returns to the first if that was it.
    assert bayes_optimal_return(2, steps=2) == pytest.approx((2 * 0.9 + (-0.2 + 0.9) + 19 * -0.4) / 21)


@pytest.mark.parametrize(("episodes", "steps"), [(1, 5), (1, 7)])
def test_one_episode_is_the_best_of_all_paths(episodes: int, steps: int) -> None:
    paths = [((0, 0), 0.0, frozenset[tuple[int, int]]())]
    for step in range(1, steps + 1):
        found = -0.1 * (step - 1) + (steps - step + 1)
        ahead = {}
        for place, total, seen in paths:
            for move in MOVES.tolist():
                to = tuple(int(x) for x in np.clip(np.add(place, move), 0, 4))
                new = to in GOALS and to not in seen
                ahead[to, total + found * new, seen | {to} if new else seen] = None
        paths = list(ahead)  # type: ignore[arg-type]
    best = max(total - 0.1 * steps * (21 - len(seen)) for _, total, seen in paths)
    assert bayes_optimal_return(episodes, steps=steps) == pytest.approx(best / 21)


def test_more_episodes_than_are_needed_cost_only_what_the_oracle_earns() -> None:
    more, fewer = (bayes_optimal_return(episodes, steps=10) for episodes in (5, 4))
    assert more - fewer == pytest.approx(oracle_return(1, steps=10))


@pytest.mark.parametrize(("episodes", "steps"), [(0, 15), (1, 0), (1, 31)])
def test_what_cannot_be_worked_out_is_refused(episodes: int, steps: int) -> None:
    with pytest.raises(BadInput, match="trial in gridnavi: expected at least one episode of 1 to 30 steps"):
        bayes_optimal_return(episodes, steps=steps)
