"""Evaluation on held-out starts: the same starts for every agent, whatever else is asked for."""

import numpy as np
import pytest

from wormwood.envs.bodies import load_body, swimmer
from wormwood.envs.families.trials import trial_from_name
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Navigate, Swim
from wormwood.launch.run.agent_files import Agent, load_agent
from wormwood.launch.run.evaluation import BATCH, Evaluation, evaluate, record_poses


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


def test_trials_are_judged_by_each_of_their_episodes_on_held_out_tasks() -> None:
    spec = trial_from_name("gridnavi", {}, 2)
    row = evaluate(Agent("zero"), spec, episodes=30).to_row()
    # Who stays in the corner finds no goal, for none lies there: 15 steps at -0.1.
    np.testing.assert_allclose(row["episode_means"], [-1.5, -1.5])
    assert row["return_mean"] == pytest.approx(-3.0)
    bodies = trial_from_name("swimmer-bodies", {}, 1)
    assert bodies.held_out.family != bodies.family
    played = evaluate(Agent("zero"), bodies, episodes=1)
    again = evaluate(Agent("zero"), bodies.held_out, episodes=1)
    np.testing.assert_array_equal(played.speeds, again.speeds)


def test_the_interval_of_an_episode_is_that_of_its_mean() -> None:
    returns = np.array([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0], [2.0, 1.0]])
    row = Evaluation("a", "b", returns.sum(axis=1), np.full(4, np.nan), returns).to_row()
    # Deviation 1 over four trials: half a standard error on each side of 1, times 1.96.
    np.testing.assert_allclose(row["episode_lows"], [1 - 0.98, 1])
    np.testing.assert_allclose(row["episode_highs"], [1 + 0.98, 1])
