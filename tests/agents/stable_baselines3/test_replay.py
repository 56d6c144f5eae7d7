"""The replay buffer by hand."""

import numpy as np
import pytest
from gymnasium.spaces import Box
from stable_baselines3.common.buffers import ReplayBuffer

from wormwood.agents.learning.interfaces import Transitions
from wormwood.agents.stable_baselines3.replay import IterationReplay

ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones")


def _make(rows: int = 4) -> tuple[IterationReplay, ReplayBuffer]:
    buffer = ReplayBuffer(rows * 2, Box(-9, 9, (1,)), Box(-1, 1, (1,)), n_envs=2)
    return IterationReplay(buffer, steps=2), buffer


def _iteration(k: int) -> tuple[Transitions, np.ndarray]:
    """Two steps of two environments; the first environment's episode is cut and the second's fails in the first."""
    observation = 10.0 * k + np.array([[[0.0], [1.0]], [[2.0], [3.0]]])
    no = np.zeros((2, 2), dtype=bool)
    experience = Transitions(
        observation=observation,
        action=np.zeros((2, 2, 1)),
        reward=k + np.array([[0.1, 0.2], [0.3, 0.4]]),
        episode_start=no,
        terminated=np.array([[False, True], [False, False]]),
        truncated=np.array([[True, False], [False, False]]),
        final_observation=np.array([[10.0 * k + 7]]),
        next_observation=10.0 * k + np.array([[4.0], [5.0]]),
        log_prob=np.zeros((2, 2)),
    )
    return experience, np.full((2, 2, 1), k / 10)


def test_transitions_are_what_followed_and_a_cut_episode_keeps_its_last_observation() -> None:
    replay, buffer = _make()
    replay.add(*_iteration(1))
    assert buffer.observations[:2, :, 0].tolist() == [[10, 11], [12, 13]]
    assert buffer.next_observations[:2, :, 0].tolist() == [[17, 13], [14, 15]]
    assert buffer.dones[:2].tolist() == [[0, 1], [0, 0]]
    np.testing.assert_array_equal(buffer.rewards[:2], np.float32([[1.1, 1.2], [1.3, 1.4]]))
    np.testing.assert_array_equal(buffer.actions[:2], np.full((2, 2, 1), 0.1, np.float32))
    assert (buffer.pos, buffer.full) == (2, False)


def test_the_oldest_iteration_makes_room() -> None:
    replay, buffer = _make(rows=4)
    for k in (1, 2, 3):
        replay.add(*_iteration(k))
        assert buffer.full == (k >= 2)
    assert buffer.observations[:, 0, 0].tolist() == [30, 32, 20, 22]
    assert buffer.pos == 2
    assert {name.split("/")[1] for name in replay.state() if "/" in name} == {"000001", "000002"}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6])
def test_another_buffer_goes_on_from_its_state(count: int) -> None:
    (one, first), (two, second) = _make(rows=6), _make(rows=6)
    for k in range(count):
        one.add(*_iteration(k))
    two.add(*_iteration(99))  # what it held before makes no difference
    two.restore(one.state())
    for k in (7, 8):
        for replay in (one, two):
            replay.add(*_iteration(k))
    assert one.state().keys() == two.state().keys()
    for name, values in one.state().items():
        np.testing.assert_array_equal(two.state()[name], values)
    assert (first.pos, first.full) == (second.pos, second.full)
    filled = len(first.observations) if first.full else first.pos
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(first, name)[:filled], getattr(second, name)[:filled])


def test_what_was_saved_of_an_iteration_never_changes() -> None:
    replay, _ = _make(rows=6)
    saved: dict[str, np.ndarray] = {}
    for k in range(5):
        replay.add(*_iteration(k))
        for name, values in replay.state().items():
            if name.startswith("segments/"):
                np.testing.assert_array_equal(saved.setdefault(name, values), values)
    assert len(saved) == 5 * len(ARRAYS)
