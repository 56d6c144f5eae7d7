"""The loop in which a policy acts, on environments that can be counted by hand."""

import itertools
from typing import Any

import numpy as np
import pytest

from wormwood.agents.policies.acting import act_steps, reset_state
from wormwood.envs.simulation import Step
from wormwood.envs.specs import ActionSpace

ONE = ActionSpace((-1.0,), (1.0,))


class _Clocks:
    """Two environments with episodes of 2 and 3 steps; they observe the step, and pay what the action is."""

    count, first, streams = 2, 0, None

    def __init__(self) -> None:
        self.steps = np.zeros(2, dtype=np.int64)

    @property
    def observation(self) -> np.ndarray:
        return self.steps[:, None].astype(float)

    def step(self, action: np.ndarray) -> Step:
        self.steps = self.steps + 1
        final, done = self.observation, self.steps >= [2, 3]
        self.steps = np.where(done, 0, self.steps)
        return Step(self.observation, action[:, 0], done & False, done, final, done.astype(np.int8), np.zeros(2))


class _Counter:
    """Counts the steps of an episode in its state, and acts by ten times that."""

    def act(self, observation: np.ndarray, state: dict[str, np.ndarray], rng: Any) -> Any:
        count = state.get("count", np.zeros(2)) + 1
        return 10 * count[:, None], {"count": count}, {"drawn": np.array(rng is not None)}


def test_each_step_holds_what_was_acted_on_and_the_state_begins_with_the_episode() -> None:
    taken = list(itertools.islice(act_steps(_Counter(), _Clocks(), ONE), 4))
    assert [step.observation[:, 0].tolist() for step in taken] == [[0, 0], [1, 1], [0, 2], [1, 0]]
    assert [step.begins.tolist() for step in taken] == [[True, True], [False, False], [True, False], [False, True]]
    assert [step.action[:, 0].tolist() for step in taken] == [[10, 10], [20, 20], [10, 30], [20, 10]]
    assert [step.state["count"].tolist() for step in taken] == [[1, 1], [0, 2], [1, 0], [0, 1]]
    assert all(step.step.reward.tolist() == [1, 1] for step in taken), "played within its bounds"
    assert not taken[0].extras["drawn"]


def test_the_loop_goes_on_from_where_the_simulation_and_the_policy_stand() -> None:
    simulation = _Clocks()
    simulation.steps = np.array([0, 2])
    state, rng = {"count": np.array([0.0, 7.0])}, np.random.default_rng(0)
    first = next(act_steps(_Counter(), simulation, ONE, state=state, rng=rng))
    assert first.action[:, 0].tolist() == [10, 80]
    assert first.state["count"].tolist() == [1, 0]
    assert first.extras["drawn"]


def test_a_check_sees_an_action_before_it_is_played() -> None:
    simulation, seen = _Clocks(), []

    def check(name: str, values: np.ndarray, number: np.ndarray) -> None:
        seen.append((name, values.tolist(), number.tolist()))
        if values.max() > 10:
            raise FloatingPointError(name)

    with pytest.raises(FloatingPointError, match="action"):
        list(act_steps(_Counter(), simulation, ONE, check=check))
    assert seen == [
        ("action", [[10], [10]], [1, 1]),
        ("reward", [[1], [1]], [1, 1]),
        ("observation", [[1], [1]], [1, 1]),
        ("action", [[20], [20]], [2, 2]),
    ]
    assert simulation.steps.tolist() == [1, 1]


def test_a_state_is_reset_where_an_episode_ended_and_nowhere_else() -> None:
    state = {"a": np.arange(4.0).reshape(2, 2) + 1, "b": np.array([np.nan, 3.0])}
    after = reset_state(state, np.array([True, False]))
    assert after["a"].tolist() == [[0, 0], [3, 4]]
    assert after["b"].tolist() == [0, 3]
    assert reset_state(state, np.zeros(2, dtype=bool)) is state
    assert reset_state({}, np.ones(2, dtype=bool)) == {}
