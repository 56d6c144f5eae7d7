"""The table that ``python -m wormwood.agents.references`` prints."""

import re

from wormwood.agents.references.__main__ import bandit_rows, tabular_rows


def test_bandits_are_listed_from_the_optimum_down() -> None:
    rows = dict(bandit_rows(2, 10, 30))
    assert list(rows) == ["Bayes-optimal", "Gittins index", "UCB, Beta prior", "Thompson sampling", "greedy", "random"]
    assert rows["random"] == "5.00"
    assert re.fullmatch(r"\d\.\d\d ± \d\.\d\d", rows["greedy"])
    assert 5 < float(rows["Bayes-optimal"]) < 6.66


def test_processes_are_listed_with_what_is_known_of_them() -> None:
    rows = dict(tabular_rows(2, 5))
    assert list(rows) == ["value iteration, process known", "BEB", "PSRL", "random"]
    assert rows["random"] == "20.00"
