"""What is exactly known about GridNavi: the oracle's return, and the Bayes-optimal one."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np

from wormwood.envs.families.grid_navigation import FOUND, GOALS, MOVES, SEARCH_COST, SIZE
from wormwood.errors import bad_input

__all__ = ["LONGEST_EPISODE", "bayes_optimal_return", "oracle_return", "random_return"]

LONGEST_EPISODE = 30
"""Steps up to which the Bayes-optimal return is worked out."""
CELLS = [(x, y) for x in range(SIZE) for y in range(SIZE)]
BIT = {cell: 1 << GOALS.index(cell) if cell in GOALS else 0 for cell in CELLS}
NEIGHBOURS = {
    cell: sorted(
        {(min(max(cell[0] + dx, 0), SIZE - 1), min(max(cell[1] + dy, 0), SIZE - 1)) for dx, dy in MOVES.tolist()}
    )
    for cell in CELLS
}
EVERY_GOAL = (1 << len(GOALS)) - 1
Place = tuple[int, int]


def _known(goal: Place, steps: int) -> float:
    """Return an episode's return when the goal is known: ``d - 1`` steps of search cost, then on it until the end."""
    return _found_at(sum(goal), steps) if sum(goal) <= steps else SEARCH_COST * steps


def _found_at(step: int, steps: int) -> float:
    """Return an episode's return when the goal is reached in a step from 1 on, and not left again."""
    return SEARCH_COST * (step - 1) + FOUND * (steps - step + 1)


def oracle_return(episodes: int, *, steps: int = 15) -> float:
    """Return the mean return of a whole trial for who knows the goal: 44.286 for 4 episodes of 15 steps."""
    return float(np.mean([_known(goal, steps) for goal in GOALS])) * episodes


def random_return(episodes: int, *, steps: int = 15) -> float:
    """Return the mean return of a trial whose actions are all drawn alike: a random walk over the cells."""
    places, total = np.zeros((SIZE, SIZE)), 0.0
    places[0, 0] = 1.0
    x, y = np.indices(places.shape)
    for _ in range(steps):
        walked = np.zeros_like(places)
        for dx, dy in MOVES.tolist():
            to = np.clip(x + dx, 0, SIZE - 1), np.clip(y + dy, 0, SIZE - 1)
            np.add.at(walked, to, places / len(MOVES))
        places = walked
        found = sum(places[goal] for goal in GOALS) / len(GOALS)
        total += SEARCH_COST + (FOUND - SEARCH_COST) * float(found)
    return total * episodes


def bayes_optimal_return(episodes: int, *, steps: int = 15) -> float:
    """Return the largest mean return of a trial for who has to find the goal: 37.21 for 4 episodes of 15 steps.

    Until the goal is found nothing random happens, so a policy is one path through the cells, and the optimum the best
    of all paths. They are searched exactly: a step's states are (cells seen, place), each with the best sum over the
    goals found so far; an episode's outcomes are tried in the order of an upper bound on what can follow.

    Raises:
        BadInput: an episode has more than 30 steps, or ``episodes`` or ``steps`` is below 1.
    """
    if episodes < 1 or not 1 <= steps <= LONGEST_EPISODE:
        expected = f"at least one episode of 1 to {LONGEST_EPISODE} steps"
        raise bad_input("trial", where="gridnavi", expected=expected, got=f"{episodes} episodes of {steps}")

    @functools.cache
    def search(seen: int, episode: int) -> float:
        """Return the best sum, over the goals not yet seen, of what the episodes from this one on earn."""
        if seen == EVERY_GOAL or episode == episodes:
            return 0.0
        missed = SEARCH_COST * steps
        best = -np.inf
        outcomes = _outcomes(seen, episode, episodes, steps).items()
        bounds = {after: _bound(after, episode + 1, episodes, steps) for after, _ in outcomes}
        ordered = sorted(outcomes, key=lambda outcome: outcome[1] + missed * _left(outcome[0]) + bounds[outcome[0]])
        for after, found in reversed(ordered):
            so_far = found + missed * _left(after)
            if so_far + bounds[after] <= best:
                break
            best = max(best, so_far + search(after, episode + 1))
        return float(best)

    return search(0, 0) / len(GOALS)


def _left(seen: int) -> int:
    return len(GOALS) - seen.bit_count()


def _goals_left(seen: int) -> Iterable[Place]:
    return (goal for goal in GOALS if not seen & BIT[goal])


def _outcomes(seen: int, episode: int, episodes: int, steps: int) -> dict[int, float]:
    """Return what cells one episode can have seen, and the best sum over the goals that it found for each."""
    later = episodes - episode - 1
    states: dict[tuple[int, Place], float] = {(seen, (0, 0)): 0.0}
    for step in range(1, steps + 1):
        reached: dict[tuple[int, Place], float] = {}
        now = _found_at(step, steps)
        for (cells, place), found in states.items():
            for to in NEIGHBOURS[place]:
                bit = BIT[to]
                new = bit and not cells & bit
                key = (cells | bit, to)
                worth = found + (now + later * _known(to, steps) if new else 0.0)
                if worth > reached.get(key, -np.inf):
                    reached[key] = worth
        states = reached
    best: dict[int, float] = {}
    for (cells, _), found in states.items():
        best[cells] = max(found, best.get(cells, -np.inf))
    return best


def _bound(seen: int, episode: int, episodes: int, steps: int) -> float:
    """Return at least what the goals not yet seen can earn from an episode on.

    As if one new goal could be found in each step from its distance on, in the order of distance.
    """
    if episode == episodes:
        return 0.0
    later, step, total = episodes - episode - 1, 0, 0.0
    for goal in sorted(_goals_left(seen), key=sum):
        step = max(step + 1, sum(goal))
        reached = _found_at(step, steps) if step <= steps else SEARCH_COST * steps
        total += reached + later * _known(goal, steps)
    return total
