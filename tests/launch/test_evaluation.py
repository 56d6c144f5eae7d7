"""Evaluation on held-out starts: the same starts for every agent, whatever else is asked for."""

import numpy as np
import pytest

from wormwood.envs.bodies import load_body, swimmer
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Navigate, Swim
from wormwood.launch.agent_files import load_agent
from wormwood.launch.evaluation import BATCH, evaluate, record_poses


def test_an_episode_does_not_depend_on_how_many_are_asked_for() -> None:
    task = Swim(horizon=40)
    for name in ("ncap", "mlp"):
        agent = load_agent(name)
        many = evaluate(agent, SwimmerSpec(swimmer(5), task), episodes=23)
        assert many.returns.shape == many.speeds.shape == (23,)
        few = evaluate(agent, SwimmerSpec(swimmer(5), task), episodes=3)
        np.testing.assert_array_equal(few.returns, many.returns[:3])
        np.testing.assert_array_equal(few.speeds, many.speeds[:3])


def test_seeds_are_other_starts() -> None:
    agent, task = load_agent("ncap"), Swim(horizon=40)
    returns = [evaluate(agent, SwimmerSpec(swimmer(5), task), episodes=5, seed=seed).returns for seed in (0, 1)]
    assert not np.intersect1d(*returns).size


def test_nothing_and_anything() -> None:
    task = Swim(horizon=200)
    still = evaluate(load_agent("zero"), SwimmerSpec(swimmer(6), task), episodes=5)
    moving = evaluate(load_agent("ncap"), SwimmerSpec(swimmer(6), task), episodes=5)
    assert abs(still.speeds.mean()) < 0.005 < moving.speeds.mean()
    row = moving.to_row()
    assert row["return_mean"] == pytest.approx(moving.returns.mean())
    assert row["return_std"] == pytest.approx(moving.returns.std())


def test_an_unstable_simulation_ends_its_episode_and_counts_no_further() -> None:
    # A motor strong enough to throw the simulation off.
    result = evaluate(load_agent("random"), SwimmerSpec(swimmer(4, gear=1e9), Swim(horizon=50)), episodes=2)
    assert np.isfinite(result.returns).all()
    assert np.isfinite(result.speeds).all()


def test_poses_are_those_of_the_evaluated_episode() -> None:
    body, agent = load_body("stiff-middle"), load_agent("ncap")
    poses, goal = record_poses(agent, SwimmerSpec(body, Swim()), steps=30)
    assert (poses.shape, goal.shape) == ((31, 3 + 4), (0,))
    assert not np.array_equal(poses[0], poses[-1])
    poses, goal = record_poses(agent, SwimmerSpec(body, Navigate(horizon=20)), steps=100)
    assert (len(poses), goal.shape) == (20, (2,))
    assert BATCH == 10, "the default number of episodes wastes nothing"
