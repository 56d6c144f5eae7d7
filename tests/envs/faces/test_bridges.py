"""Swimmers of gymnasium and dm_control show what our tasks show."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from dm_control.suite import swimmer as suite
from gymnasium import spaces

from wormwood.envs.bodies import swimmer
from wormwood.envs.faces.bridges import SwimmerV5Observation, SwimObservation
from wormwood.envs.faces.swimmer_v5 import from_swimmer_v5
from wormwood.envs.tasks import Navigate, Swim
from wormwood.errors import BadInput


class DMControl(gymnasium.Env[Any, Any]):
    """What a bridge makes of dm_control's swimmer: a dictionary of arrays."""

    def __init__(self, links: int = 6) -> None:
        self.suite = suite.swimmer(links, random=0)
        shapes = {name: spec.shape for name, spec in self.suite.observation_spec().items()}
        self.observation_space = spaces.Dict(
            {name: spaces.Box(-np.inf, np.inf, shape) for name, shape in shapes.items()}
        )
        self.action_space = spaces.Box(-1, 1, self.suite.action_spec().shape)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return dict(self.suite.reset().observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        latest = self.suite.step(action)
        return dict(latest.observation), float(latest.reward or 0.0), False, latest.last(), {}


class Flat(gymnasium.Env[Any, Any]):
    """Two joints whose angles stand in columns 4 and 1."""

    observation_space = spaces.Box(-np.inf, np.inf, (5,))
    action_space = spaces.Box(-1, 1, (2,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return np.arange(5.0), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return 10 * np.arange(5.0), 1.0, False, True, {}


def test_swimmer_v5_shows_what_swim_shows() -> None:
    plain, wrapped = gymnasium.make("Swimmer-v5"), SwimmerV5Observation(gymnasium.make("Swimmer-v5"))
    theirs, ours = plain.reset(seed=1)[0], wrapped.reset(seed=1)[0]
    rng = np.random.default_rng(0)
    for steps in range(5):
        np.testing.assert_array_equal(ours, from_swimmer_v5(theirs, steps=steps))
        action = rng.uniform(-1, 1, 2).astype(np.float32)
        theirs, expected, *_ = plain.step(action)
        ours, reward, *_ = wrapped.step(action)
        assert reward == expected
    assert wrapped.reset(seed=1)[0][-1] == 0
    assert wrapped.observation_space.contains(ours)


def test_a_dictionary_shows_what_navigate_shows() -> None:
    env = SwimObservation(DMControl(), joints="joints", command="to_target", velocities="body_velocities")
    layout = Navigate().layout(swimmer(6))
    observation, _ = env.reset()
    assert observation.shape == env.observation_space.shape == (layout.size,)
    for _ in range(3):
        observation, *_ = env.step(np.ones(5))
    task, physics = env.unwrapped.suite.task, env.unwrapped.suite.physics  # type: ignore[attr-defined]
    expected = task.get_observation(physics)
    np.testing.assert_array_equal(observation[layout.joints], expected["joints"])
    np.testing.assert_array_equal(observation[layout.command], expected["to_target"])
    np.testing.assert_array_equal(observation[layout.velocities], expected["body_velocities"])
    assert layout.clock is not None
    assert observation[layout.clock] == 3


def test_joints_are_found_by_column_in_the_order_given() -> None:
    env = SwimObservation(Flat(), joints=[4, 1])
    layout = Swim().layout(swimmer(3))
    np.testing.assert_array_equal(env.reset()[0], [4, 1, *[0] * 9, 0])
    observation, reward, _, truncated, _ = env.step(np.zeros(2))
    np.testing.assert_array_equal(observation, [40, 10, *[0] * 9, 1])
    assert layout.size == 12
    assert (reward, truncated) == (1.0, True)


def test_gymnasium_can_build_them_again() -> None:
    env = SwimmerV5Observation(gymnasium.make("Swimmer-v5"))
    again = gymnasium.make(env.spec)
    np.testing.assert_array_equal(again.reset(seed=4)[0], env.reset(seed=4)[0])


class EightNumbers(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (8,))
    action_space = gymnasium.spaces.Box(-1, 1, (2,))


class OneAction(EightNumbers):
    action_space = gymnasium.spaces.Box(-1, 1, (1,))


def test_eight_numbers_are_no_swimmer_by_themselves() -> None:
    with pytest.raises(
        BadInput, match=r"environment in SwimmerV5Observation: expected Swimmer-v5 .*got 'EightNumbers'"
    ):
        SwimmerV5Observation(EightNumbers())
    with pytest.raises(BadInput, match="action space in SwimmerV5Observation"):
        SwimmerV5Observation(OneAction())
    with pytest.raises(BadInput, match="observation space in SwimmerV5Observation"):
        SwimmerV5Observation(gymnasium.make("HalfCheetah-v5"))


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(
        BadInput, match=r"joints in SwimObservation: expected one of .*, got 'joint' \(nearest: 'joints'"
    ):
        SwimObservation(DMControl(), joints="joint")
    with pytest.raises(BadInput, match=r"joints in SwimObservation: expected columns below 5, got 5"):
        SwimObservation(Flat(), joints=[5, 1])
    with pytest.raises(BadInput, match=r"joints in SwimObservation: expected 2 numbers, got 3"):
        SwimObservation(Flat(), joints=[1, 2, 3])
    with pytest.raises(BadInput, match=r"velocities in SwimObservation: expected 9 numbers, got 2"):
        SwimObservation(Flat(), joints=[1, 2], velocities=[1, 2])
    with pytest.raises(BadInput, match="observation space in SwimmerV5Observation: expected Swimmer-v5's"):
        SwimmerV5Observation(Flat())
