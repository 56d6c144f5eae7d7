"""The table of families, their tasks, and what is refused."""

import pickle
from typing import Any

import numpy as np
import pytest

from wormwood.envs.families.bandits import BernoulliBandit
from wormwood.envs.families.interfaces import FamilyTask
from wormwood.envs.families.table import FAMILIES, family_from_name, held_out_tasks
from wormwood.envs.families.trials import TrialSpec, trial_from_name
from wormwood.envs.randomness import evaluation_streams
from wormwood.errors import BadInput


@pytest.mark.parametrize("name", FAMILIES)
def test_a_task_is_a_plain_value_with_an_id(name: str) -> None:
    family = family_from_name(name)
    task, same = (family.sample(np.random.default_rng(3)) for _ in range(2))
    other = family.sample(np.random.default_rng(4))
    loaded = pickle.loads(pickle.dumps(task))
    assert loaded == task == same
    assert loaded.id == task.id == same.id
    assert task.id.startswith(f"{family.label}-")
    assert hash(task) == hash(same)
    if name not in ("swimmer-direction", "cheetah-direction"):  # which have two tasks
        assert other.id != task.id
    np.testing.assert_array_equal(task.values, family.draw(np.random.default_rng(3)))
    assert pickle.loads(pickle.dumps(TrialSpec(family, 2))) == TrialSpec(family, 2)


def test_equal_values_in_other_families_are_other_tasks() -> None:
    values = (0.5,) * 5
    one = FamilyTask(BernoulliBandit(5), values).id
    assert one != FamilyTask(family_from_name("gridnavi"), values).id
    assert one == "bandit-5-1d7c2739ebec"


@pytest.mark.parametrize("name", FAMILIES)
def test_held_out_tasks_are_those_that_evaluation_plays(name: str) -> None:
    family = family_from_name(name)
    tasks = held_out_tasks(family, 3, seed=5)
    environments = TrialSpec(family, 2).held_out.simulate(2, streams=evaluation_streams(5), first=1)
    environments.reset()
    assert environments.tasks == tasks[1:]
    assert [task.id for task in environments.tasks] == [task.id for task in tasks[1:]]
    assert held_out_tasks(family, 3, seed=6) != tasks


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bandits", {}, r"unknown task family in family: .*got 'bandits' \(nearest: 'bandit'\)"),
        ("bandit", {"arm": 3}, r"unknown option in task family bandit: expected one of arms, got 'arm' .*'arms'"),
        ("bandit", {"arms": 1}, "arms in task family bandit: expected a whole number from 2 to 10000, got 1"),
        ("bandit", {"arms": 2.0}, "arms in task family bandit"),
        ("bandit", {"arms": True}, "arms in task family bandit"),
        ("tabular-mdp", {"states": 0}, "states in task family tabular-mdp"),
        ("tabular-mdp", {"choices": 1}, "choices in task family tabular-mdp"),
        ("gridnavi", {"steps": 0}, "steps in task family gridnavi"),
        ("swimmer-direction", {"links": 1}, "links in task family swimmer-direction"),
        ("swimmer-speed", {"fastest": 0}, "fastest in task family swimmer-speed: expected a number from 0.001 to 10"),
        ("swimmer-bodies", {"links": [6], "viscosities": [0.0]}, "links and viscosities .*: expected at least two"),
        ("swimmer-bodies", {"links": [6, 6]}, "links in task family swimmer-bodies: expected a list of different"),
        ("swimmer-bodies", {"links": 6}, "links in task family swimmer-bodies: expected a list of different"),
        ("swimmer-bodies", {"held_out_links": [1]}, "held_out_links in task family swimmer-bodies"),
        ("swimmer-bodies", {"viscosities": [-1.0]}, "viscosities in task family swimmer-bodies"),
        ("swimmer-bodies", {"is_held_out": True}, "unknown option in task family swimmer-bodies"),
        ("cheetah-velocity", {"fastest": "3"}, "fastest in task family cheetah-velocity"),
        ("cheetah-direction", {"steps": 1e3}, "steps in task family cheetah-direction"),
    ],
)
def test_a_wrong_family_is_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        family_from_name(name, options=options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("episodes", [0, -1, 2.0, True, 10_001, "3"])
def test_a_wrong_length_of_a_trial_is_one_line(episodes: Any) -> None:
    with pytest.raises(BadInput, match=r"trial_episodes in trials of tabular-mdp-10-5: expected .* from 1 to 10000 \("):
        trial_from_name("tabular-mdp", {}, episodes)
