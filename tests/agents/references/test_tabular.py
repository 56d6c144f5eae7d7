"""Tabular processes: value iteration by hand and against enumeration, PSRL and BEB within sampling error."""

import itertools

import numpy as np
import pytest

from wormwood.agents.references.playing import held_out_returns
from wormwood.agents.references.tabular_policies import (
    TabularPolicy,
    bonus_model,
    posterior_sample,
    value_iteration,
)
from wormwood.envs.families.table import held_out_tasks
from wormwood.envs.families.tabular import TabularMDP, tables
from wormwood.envs.families.trials import TrialSpec


def test_value_iteration_worked_out_by_hand() -> None:
    # State 0: stay for 1, or move to state 1 for 0. State 1: stay for 3, or fall back for 0.
    rewards = np.array([[[1.0, 0.0], [3.0, 0.0]]])
    transitions = np.array([[[[1.0, 0], [0, 1]], [[0, 1], [1, 0]]]])
    value, actions = value_iteration(rewards, transitions, 3)
    assert value.tolist() == [[6.0, 9.0]]
    assert actions[0].tolist() == [[1, 0], [1, 0], [0, 0]]


def test_value_iteration_is_the_best_of_all_plans() -> None:
    family = TabularMDP(states=2, choices=2, steps=2)
    values = np.array([task.values for task in held_out_tasks(family, 5)])
    rewards, transitions = tables(family, values)
    value, _ = value_iteration(rewards, transitions, 2)
    for task in range(5):
        best = -np.inf
        for first, *second in itertools.product((0, 1), repeat=3):
            after = sum(transitions[task, 0, first, s] * rewards[task, s, second[s]] for s in (0, 1))
            best = max(best, rewards[task, 0, first] + after)
        assert value[task, 0] == pytest.approx(best)


def test_the_optimum_and_the_classic_answers_reach_what_is_known_of_them() -> None:
    family, tasks = TabularMDP(), 1000
    values = np.array([task.values for task in held_out_tasks(family, tasks)])
    optimum = 10 * value_iteration(*tables(family, values), 10)[0][:, 0]
    assert optimum.mean() == pytest.approx(217, abs=4 * optimum.std() / np.sqrt(tasks))
    for model, expected in ((bonus_model(0.5), 150.6), (posterior_sample, 134)):
        policy = TabularPolicy(family, model)
        returns = held_out_returns(policy, TrialSpec(family, 10), tasks).sum(axis=1)
        assert returns.mean() == pytest.approx(expected, abs=4 * returns.std() / np.sqrt(tasks))


def test_models_of_what_has_been_seen() -> None:
    seen, paid = np.zeros((1, 2, 1, 2)), np.zeros((1, 2, 1, 2))
    seen[0, 0, 0], paid[0, 0, 0] = [2, 0], [3, 8.0]
    rewards, transitions = bonus_model(2.0)(seen, paid, np.random.default_rng(0))
    assert rewards[0, :, 0].tolist() == [(1 + 8 + 2) / 4, 1 + 2]
    assert transitions[0, :, 0].tolist() == [[0.75, 0.25], [0.5, 0.5]]
    many = [np.broadcast_to(array, (20_000, *array.shape[1:])) for array in (seen, paid)]
    rewards, transitions = posterior_sample(*many, np.random.default_rng(0))
    assert rewards[:, 0, 0].mean() == pytest.approx(9 / 4, abs=0.02)
    assert rewards[:, 0, 0].std() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_allclose(transitions[:, 0, 0].mean(axis=0), [0.75, 0.25], atol=0.01)


def test_a_policy_counts_what_it_was_shown() -> None:
    family = TabularMDP(states=2, choices=2, steps=2)
    policy = TabularPolicy(family, bonus_model(0.0))
    memory: dict[str, np.ndarray] = {}
    # state, action, reward, done: start; moved to 1 by action 0; back at the start by action 1, the episode over.
    for row in ([1, 0, 0, 0, 0, 0], [0, 1, 1, 0, 2.0, 0], [1, 0, 0, 1, 5.0, 1]):
        _, memory, _ = policy.act(np.array([row], dtype=float), memory, None)
    assert memory["seen"][0].tolist() == [[[0, 1], [0, 0]], [[0, 0], [0, 0]]], "the last state was not seen"
    assert memory["paid"][0].tolist() == [[[1, 2.0], [0, 0]], [[0, 0], [1, 5.0]]]
    assert memory["step"].tolist() == [0]
