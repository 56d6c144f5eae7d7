"""Prints the exact and classic answers: ``python -m wormwood.agents.references [--tasks 10000]``."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

import numpy as np

from wormwood.agents.policies.interfaces import Floats, Policy
from wormwood.agents.references.bandit_values import MOST_PULLS, bayes_optimal_value
from wormwood.agents.references.classics import classic_policies
from wormwood.agents.references.grid_values import bayes_optimal_return, oracle_return
from wormwood.agents.references.playing import held_out_returns
from wormwood.agents.references.tabular_policies import value_iteration
from wormwood.envs.families.bandits import BernoulliBandit
from wormwood.envs.families.table import held_out_tasks
from wormwood.envs.families.tabular import TabularMDP, tables
from wormwood.envs.families.trials import TrialSpec

TITLES = {
    "gittins": "Gittins index",
    "ucb": "UCB, Beta prior",
    "thompson": "Thompson sampling",
    "greedy": "greedy",
    "beb": "BEB",
    "psrl": "PSRL",
}
AT_ONCE = 1000
"""Tasks of processes that are played side by side: each remembers some 4 kB."""


def _shown(returns: Floats) -> str:
    """Return the mean and half of its 95 % interval."""
    return f"{returns.mean():.2f} ± {1.96 * returns.std() / np.sqrt(len(returns)):.2f}"


def bandit_rows(arms: int, pulls: int, tasks: int) -> Iterator[tuple[str, str]]:
    """Give the name and the return of each answer to bandits."""
    spec = TrialSpec(BernoulliBandit(arms), pulls)
    if pulls <= MOST_PULLS:
        yield "Bayes-optimal", f"{bayes_optimal_value(arms, pulls):.3f}"
    for name, build in classic_policies(spec).items():
        yield TITLES[name], _shown(held_out_returns(build(), spec, tasks).sum(axis=1))
    yield "random", f"{pulls / 2:.2f}"


def tabular_rows(episodes: int, tasks: int) -> Iterator[tuple[str, str]]:
    """Give the name and the return of each answer to tabular processes."""
    family = TabularMDP()
    spec = TrialSpec(family, episodes)
    values = np.array([task.values for task in held_out_tasks(family, tasks)])
    optimum, _ = value_iteration(*tables(family, values), family.steps)
    yield "value iteration, process known", _shown(episodes * optimum[:, 0])
    for name, build in classic_policies(spec).items():
        yield TITLES[name], _shown(_tabular_returns(build(), spec, tasks))
    yield "random", f"{episodes * family.steps:.2f}"


def _tabular_returns(policy: Policy, spec: TrialSpec, tasks: int) -> Floats:
    starts = range(0, tasks, AT_ONCE)
    parts = [held_out_returns(policy, spec, min(AT_ONCE, tasks - start), first=start) for start in starts]
    returns: Floats = np.concatenate(parts).sum(axis=1)
    return returns


def main() -> None:
    """Print every answer with its 95 % interval over held-out tasks, where it is not exact."""
    parser = argparse.ArgumentParser(prog="python -m wormwood.agents.references", description=main.__doc__)
    parser.add_argument("--tasks", type=int, default=10_000, help="held-out tasks of each family (10000)")
    tasks = parser.parse_args().tasks
    for pulls in (10, 100):
        for arms in (5, 10, 50):
            _print(f"bandit, {arms} arms, {pulls} pulls", bandit_rows(arms, pulls, tasks))
    for episodes in (10, 25, 50):
        _print(f"tabular MDP, {episodes} episodes", tabular_rows(episodes, tasks))
    exact = {"oracle, goal known": oracle_return(4), "Bayes-optimal": bayes_optimal_return(4)}
    _print("GridNavi, 4 episodes", ((name, f"{value:.3f}") for name, value in exact.items()))


def _print(setting: str, rows: Iterable[tuple[str, str]]) -> None:
    for name, text in rows:
        print(f"{setting:<28} {name:<32} {text}", flush=True)


if __name__ == "__main__":
    main()
