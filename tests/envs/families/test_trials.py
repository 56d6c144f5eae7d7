"""Trials as environments: what they show, when they end, and that nothing outside them changes them."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.envs.families.bandits import BernoulliBandit
from wormwood.envs.families.grid_navigation import GridNavigation
from wormwood.envs.families.table import FAMILIES, family_from_name
from wormwood.envs.families.tabular import TabularMDP, tables
from wormwood.envs.families.trials import TrialEnvironments, TrialSpec, encode_action, trial_from_name
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Step
from wormwood.envs.specs import ActionSpace

SHORT = {"swimmer-direction": 4, "swimmer-speed": 4, "swimmer-bodies": 4, "cheetah-direction": 4, "cheetah-velocity": 4}


def _make_spec(name: str, episodes: int = 3) -> TrialSpec:
    return trial_from_name(name, {"steps": SHORT[name]} if name in SHORT else {}, episodes)


def _make_trials(spec: TrialSpec, count: int = 3, **overrides: Any) -> TrialEnvironments:
    environments = spec.simulate(count, **{"streams": training_streams(0), **overrides})
    environments.reset()
    return environments


def _actions(spec: TrialSpec, steps: int, count: int, seed: int = 0) -> Any:
    rng, actions = np.random.default_rng(seed), spec.actions
    if actions.choices:
        return rng.integers(0, actions.choices, size=(steps, count, actions.size))
    return rng.uniform(actions.low, actions.high, size=(steps, count, actions.size))


def _assert_equal_steps(one: Step, two: Step, rows: slice = slice(None)) -> None:
    for field in dataclasses.fields(Step):
        left, right = getattr(one, field.name)[rows], getattr(two, field.name)
        np.testing.assert_array_equal(left, right, err_msg=field.name)


def test_a_bandit_trial_shows_arm_reward_and_done_and_nothing_else() -> None:
    environments = _make_trials(TrialSpec(BernoulliBandit(3), 4), 2)
    assert environments.spec.layout.size == 5
    assert environments.observation.tolist() == [[0] * 5] * 2
    step = environments.step(np.array([[2], [0]]))
    assert step.observation[:, :3].tolist() == [[0, 0, 1], [1, 0, 0]]
    np.testing.assert_array_equal(step.observation[:, 3], step.reward)
    assert step.observation[:, 4].tolist() == [1, 1]
    assert not step.done.any()
    assert environments.inner_episode.tolist() == [1, 1]


def test_a_trial_ends_by_truncation_and_the_next_one_has_another_task() -> None:
    environments = _make_trials(TrialSpec(GridNavigation(), 2), 2)
    before = environments.tasks
    for t in range(29):
        assert environments.inner_episode.tolist() == [t // 15] * 2
        step = environments.step(np.array([[2], [1]]))
        assert not step.done.any()
        assert step.final_observation is step.observation
        assert step.observation[:, -1].tolist() == [float(t == 14)] * 2
        # To the right and up until the wall; back at the start once the first episode is over.
        moves = 0 if t == 14 else min(t % 15 + 1, 4)
        assert step.observation[:, :25].argmax(axis=1).tolist() == [5 * moves, moves]
        assert environments.tasks == before
    step = environments.step(np.array([[2], [1]]))
    assert step.truncated.all()
    assert not step.terminated.any()
    assert step.ended_by.tolist() == [1, 1]
    assert step.final_observation[:, :25].argmax(axis=1).tolist() == [20, 4]
    assert step.final_observation[:, 25:30].argmax(axis=1).tolist() == [2, 1]
    assert step.final_observation[:, -1].tolist() == [1, 1]
    assert step.observation[:, 0].tolist() == [1, 1]
    assert not step.observation[:, 1:].any(), "the new trial remembers nothing of the old one"
    assert environments.steps.tolist() == [0, 0]
    assert [task.id for task in environments.tasks] != [task.id for task in before]


def test_the_goal_pays_one_and_every_other_cell_costs_a_tenth() -> None:
    environments = _make_trials(TrialSpec(GridNavigation(), 1), 40)
    goals = np.array([task.values for task in environments.tasks])
    assert (goals.max(axis=1) >= 2).all()
    place = np.zeros((40, 2))
    for _ in range(15):
        right, up = place[:, 0] < goals[:, 0], place[:, 1] < goals[:, 1]
        action = np.where(right, 2, np.where(up, 1, 0))
        place += np.stack([right, ~right & up], axis=1)
        step = environments.step(action[:, None])
        np.testing.assert_array_equal(step.reward, np.where((place == goals).all(axis=1), 1.0, -0.1))


def test_arms_pay_at_their_rates() -> None:
    environments = _make_trials(TrialSpec(BernoulliBandit(2), 400), 20)
    chances = np.array([task.values for task in environments.tasks])
    paid = np.array([environments.step(np.full((20, 1), t % 2)).reward for t in range(400)])
    rates = np.stack([paid[0::2].mean(axis=0), paid[1::2].mean(axis=0)], axis=1)
    assert np.abs(rates - chances).max() < 4 * 0.5 / np.sqrt(200)


def test_processes_move_and_pay_as_their_tables_say() -> None:
    family, count, steps = TabularMDP(states=3, choices=2, steps=50), 400, 49
    environments = _make_trials(TrialSpec(family, 1), count)
    rewards, transitions = tables(family, np.array([task.values for task in environments.tasks]))
    np.testing.assert_allclose(transitions.sum(axis=3), 1.0)
    assert environments.observation[:, 0].tolist() == [1] * count, "episodes start in state 0"
    surprise, noise = np.zeros(3), []
    for action in _actions(environments.spec, steps, count):
        chosen = np.arange(count), environments.observation[:, :3].argmax(axis=1), action[:, 0]
        step = environments.step(action)
        surprise += (step.observation[:, :3] - transitions[chosen]).sum(axis=0)
        noise.append(step.reward - rewards[chosen])
    # Four standard errors of 19 600 draws.
    assert np.abs(surprise).max() / (count * steps) < 4 * 0.5 / 140
    assert abs(np.mean(noise)) < 4 / 140
    assert abs(np.var(noise) - 1) < 4 * 1.5 / 140


def test_actions_are_shown_one_after_the_other() -> None:
    both = ActionSpace(choices=(2, 3))
    assert encode_action(both, np.array([[1, 0], [0, 2]])).tolist() == [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1]]
    numbers = ActionSpace((-1.0, -1.0), (1.0, 1.0))
    assert encode_action(numbers, np.array([[0.5, -1.0]])).tolist() == [[0.5, -1.0]]


@pytest.mark.parametrize("name", FAMILIES)
def test_layout_and_observation_agree(name: str) -> None:
    spec = _make_spec(name)
    environments = _make_trials(spec)
    inner = spec.family.layout
    assert environments.observation.shape == (3, inner.size + spec.actions.outputs + 2)
    assert not environments.observation[:, inner.size :].any()
    (action,) = _actions(spec, 1, 3)
    step = environments.step(action)
    np.testing.assert_array_equal(step.observation[:, inner.size : -2], encode_action(spec.actions, action))
    assert spec.horizon == 3 * spec.family.steps


@pytest.mark.parametrize("name", FAMILIES)
def test_many_environments_play_what_each_would_alone(name: str) -> None:
    spec = _make_spec(name, 2)
    together = _make_trials(spec, 4, first=3)
    alone = [_make_trials(spec, 1, first=3 + row) for row in range(4)]
    for action in _actions(spec, spec.horizon + 3, 4):
        step = together.step(action)
        for row, environment in enumerate(alone):
            _assert_equal_steps(step, environment.step(action[row : row + 1]), slice(row, row + 1))


@pytest.mark.parametrize("name", FAMILIES)
@given(before=st.integers(0, 40), elsewhere=st.integers(0, 5))
@settings(max_examples=6, deadline=None)
def test_a_trial_goes_on_elsewhere_bit_for_bit(name: str, before: int, elsewhere: int) -> None:
    spec = _make_spec(name, 2)
    here, there = _make_trials(spec), _make_trials(spec, streams=training_streams(9))
    for action in _actions(spec, before, 3):
        here.step(action)
    for action in _actions(spec, elsewhere, 3, seed=1):
        there.step(action)
    state = {key: values.copy() for key, values in here.state().items()}
    there.streams = here.streams
    assert not there.restore(state).any()
    np.testing.assert_array_equal(there.observation, here.observation)
    for action in _actions(spec, min(spec.horizon, 30) + 2, 3, seed=2):
        _assert_equal_steps(here.step(action), there.step(action))
        assert there.tasks == here.tasks
        assert there.inner_episode.tolist() == here.inner_episode.tolist()
    for key, values in here.state().items():
        np.testing.assert_array_equal(there.state()[key], values)


def test_a_handed_out_state_is_not_changed_by_what_follows() -> None:
    for name in FAMILIES:
        environments = _make_trials(_make_spec(name))
        state = environments.state()
        kept = {key: values.copy() for key, values in state.items()}
        for action in _actions(environments.spec, environments.spec.horizon + 1, 3):
            environments.step(action)
        for key, values in kept.items():
            np.testing.assert_array_equal(state[key], values, err_msg=f"{name}, {key}")


def test_tasks_never_repeat_in_training() -> None:
    environments = _make_trials(TrialSpec(BernoulliBandit(2), 1), 50)
    seen = {task.id for task in environments.tasks}
    for _ in range(9):
        environments.step(np.zeros((50, 1), dtype=np.int64))
        seen |= {task.id for task in environments.tasks}
    assert len(seen) == 500


def test_resetting_starts_again_from_the_first_trial() -> None:
    environments = _make_trials(TrialSpec(family_from_name("bandit"), 2))
    first = environments.tasks
    for action in _actions(environments.spec, 3, 3):
        environments.step(action)
    assert environments.tasks != first
    environments.reset()
    assert environments.tasks == first
    assert environments.steps.tolist() == [0, 0, 0]
