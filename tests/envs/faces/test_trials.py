"""Tasks and trials for gymnasium: sampling, setting and resetting are three things."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from wormwood.envs.faces.trials import TaskEnv, Trial
from wormwood.envs.families.bandits import BernoulliBandit
from wormwood.envs.families.grid_navigation import GridNavigation
from wormwood.envs.families.interfaces import FamilyTask
from wormwood.envs.families.swimmer_goals import SwimmerDirection
from wormwood.envs.families.table import FAMILIES, family_from_name
from wormwood.errors import BadInput


class Coin(gymnasium.Env[Any, Any]):
    """Ends with the first head, or after three tosses; the task is the chance of heads, and tails pay nothing."""

    observation_space = gymnasium.spaces.Discrete(4)
    action_space = gymnasium.spaces.MultiDiscrete([2, 2])

    def __init__(self) -> None:
        self.chance: float | None = None
        self.resets = 0

    def sample_task(self, rng: np.random.Generator) -> float:
        return float(rng.random())

    def set_task(self, task: float) -> None:
        self.chance = task

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.resets += 1
        self.tosses = 0
        return 0, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        assert self.chance is not None
        self.tosses += 1
        head = bool(self.np_random.random() < self.chance)
        return self.tosses, float(head), head, self.tosses == 3, {"tosses": self.tosses}


@pytest.mark.filterwarnings("ignore:.*A Box observation space", "ignore:.*is different from the unwrapped")
@pytest.mark.parametrize("name", FAMILIES)
def test_gymnasium_approves_of_tasks_and_trials(name: str) -> None:
    family = family_from_name(name, options={} if name in ("bandit", "tabular-mdp", "gridnavi") else {"steps": 5})
    if family.steps > 1:  # it holds episodes of one step to be a mistake
        check_env(TaskEnv(family), skip_render_check=True, skip_close_check=True)
    check_env(Trial(TaskEnv(family), 2), skip_render_check=True, skip_close_check=True)


def test_a_reset_never_changes_the_task() -> None:
    environment = TaskEnv(GridNavigation())
    task = environment.task
    for seed in (None, 0, 1):
        _, info = environment.reset(seed=seed)
        assert environment.task == task
        assert info["task"] == task.id
    other = environment.sample_task(np.random.default_rng(0))
    assert environment.task == task, "what is sampled is not yet set"
    environment.set_task(other)
    assert environment.task == other
    with pytest.raises(ResetNeeded):
        environment.step(0)


def test_an_episode_is_a_function_of_task_seed_and_actions() -> None:
    family = BernoulliBandit(2)
    environments = [TaskEnv(family, FamilyTask(family, (0.5, 0.5))) for _ in range(2)]
    paid: list[list[float]] = [[], []]
    for environment, seen in zip(environments, paid, strict=True):
        environment.reset(seed=3)
        for _ in range(50):
            _, reward, terminated, truncated, _ = environment.step(1)
            assert (terminated, truncated) == (False, True)
            seen.append(reward)
            environment.reset()
    assert paid[0] == paid[1]
    assert 10 < sum(paid[0]) < 40


def test_numbers_are_clipped_and_wrong_actions_refused() -> None:
    family = SwimmerDirection(links=3, steps=2)
    task = FamilyTask(family, (1.0,))
    observations = []
    for action in ([1.0, -1.0], [5.0, -7.0]):
        environment = TaskEnv(family, task)
        environment.reset(seed=0)
        observations.append(environment.step(np.array(action, dtype=np.float32))[0])
    np.testing.assert_array_equal(*observations)
    with pytest.raises(BadInput, match="action in step: expected numbers of shape"):
        environment.step(np.zeros(3))
    bandit = TaskEnv(BernoulliBandit(2))
    bandit.reset()
    with pytest.raises(BadInput, match=r"action in step: expected one of Discrete\(2\), got 2"):
        bandit.step(2)
    with pytest.raises(BadInput, match="task in set_task: expected one of the family bandit-2"):
        bandit.set_task(task)


def test_a_trial_plays_several_episodes_of_one_task_as_one() -> None:
    trial = Trial(Coin(), 3)
    trial.set_task(0.0)
    observation, _ = trial.reset(seed=1)
    assert observation.tolist() == [1, 0, 0, 0] + [0] * 6
    for t in range(9):
        observation, reward, terminated, truncated, info = trial.step(np.array([0, 1]))
        over = t % 3 == 2
        place = 0 if over and t < 8 else t % 3 + 1
        assert observation.tolist() == [*np.eye(4)[place].tolist(), 1, 0, 0, 1, 0, float(over)]
        assert (reward, terminated, truncated) == (0, t == 8, False)
        assert info["inner_episode"] == t // 3
        assert info["tosses"] == t % 3 + 1
    assert info["inner_returns"] == [0, 0, 0]
    with pytest.raises(ResetNeeded, match="the trial is over"):
        trial.step(np.array([0, 1]))


def test_inner_episodes_that_end_early_count_as_well() -> None:
    trial = Trial(Coin(), 4)
    trial.set_task(1.0)
    trial.reset(seed=0)
    for t in range(4):
        observation, reward, terminated, _, info = trial.step(np.array([1, 1]))
        assert observation[-2:].tolist() == [1, 1]
        assert reward == 1
        assert terminated == (t == 3)
    assert info["inner_returns"] == [1.0] * 4


def test_every_trial_has_a_task_of_its_own_and_its_seed_gives_it_again() -> None:
    coin = Coin()
    trial = Trial(gymnasium.wrappers.TimeLimit(coin, 2), 1)
    seen = []
    for seed in (0, None, None, 1, 0):
        trial.reset(seed=seed)
        seen.append(coin.chance)
    assert seen[4] == seen[0]
    assert len(set(seen)) == 4
    trial.set_task(0.25)
    for seed in (None, 0):
        trial.reset(seed=seed)
        assert coin.chance == 0.25
    trial.set_task(None)
    trial.reset()
    assert coin.chance == seen[1]


def test_a_trial_needs_tasks() -> None:
    with pytest.raises(BadInput, match=r"environment in Trial: expected an environment with sample_task\(rng\)"):
        Trial(gymnasium.make("CartPole-v1"), 2)
    with pytest.raises(BadInput, match="episodes in environment: expected a whole number of at least 1"):
        Trial(Coin(), 0)
