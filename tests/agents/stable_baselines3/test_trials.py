"""Trials for Stable-Baselines3: the same numbers as the trials themselves, and an algorithm that learns on them."""

import numpy as np
import pytest
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.monitor import Monitor

from wormwood.agents.stable_baselines3.trials import make_trials
from wormwood.envs.families.table import family_from_name, held_out_tasks
from wormwood.envs.families.trials import trial_from_name
from wormwood.envs.randomness import training_streams
from wormwood.errors import BadInput


def test_it_gives_the_numbers_of_the_trials() -> None:
    trials = make_trials("tabular-mdp", 3, episodes=2, options={"steps": 4}, seed=5)
    plain = trial_from_name("tabular-mdp", {"steps": 4}, 2).simulate(3, streams=training_streams(5))
    np.testing.assert_array_equal(trials.reset(), plain.reset().astype(np.float32))
    rng, paid = np.random.default_rng(0), np.zeros((3, 2))
    for t in range(8):
        action = rng.integers(0, 5, 3)
        observation, reward, done, infos = trials.step(action)
        step = plain.step(action[:, None])
        np.testing.assert_array_equal(observation, step.observation.astype(np.float32))
        np.testing.assert_array_equal(reward, step.reward.astype(np.float32))
        assert [info["inner_episode"] for info in infos] == [t // 4] * 3
        assert done.all() == (t == 7)
        paid[:, t // 4] += step.reward
    for row, info in enumerate(infos):
        np.testing.assert_allclose(info["inner_returns"], paid[row])
        assert info["episode"]["r"] == pytest.approx(paid[row].sum(), abs=1e-5)
        assert info["episode"]["l"] == 8
        assert info["TimeLimit.truncated"] is False
        np.testing.assert_array_equal(info["terminal_observation"], step.final_observation[row].astype(np.float32))
    assert trials.get_attr("task") == plain.tasks
    assert trials.get_attr("inner_episode", [0]) == [0]
    assert trials.env_is_wrapped(Monitor) == [True] * 3


def test_another_reset_goes_on_to_new_tasks_and_a_seed_starts_again() -> None:
    trials = make_trials("bandit", 2, episodes=3, seed=1)
    trials.reset()
    first = trials.get_attr("task")
    trials.reset()
    second = trials.get_attr("task")
    assert not set(first) & set(second)
    trials.seed(1)
    trials.reset()
    assert trials.get_attr("task") == first
    trials.seed(None)
    trials.reset()
    assert trials.get_attr("task") == second


def test_held_out_trials_play_the_held_out_tasks() -> None:
    trials = make_trials("swimmer-bodies", 3, episodes=1, options={"steps": 2}, seed=4, is_held_out=True)
    trials.reset()
    assert trials.get_attr("task") == held_out_tasks(
        family_from_name("swimmer-bodies", options={"steps": 2}), 3, seed=4
    )


@pytest.mark.parametrize(("family", "options"), [("bandit", {"arms": 3}), ("swimmer-direction", {"steps": 5})])
def test_an_unmodified_recurrent_ppo_learns_on_it(family: str, options: dict[str, int]) -> None:
    trials = make_trials(family, 4, episodes=2, options=options)
    model = RecurrentPPO("MlpLstmPolicy", trials, n_steps=8, batch_size=16, n_epochs=1, seed=0)
    model.learn(64)
    assert model.num_timesteps == 64
    assert all(episode["l"] == 2 * trials.spec.family.steps for episode in model.ep_info_buffer or [])


def test_what_is_wrong_is_one_line() -> None:
    with pytest.raises(BadInput, match="number of environments"):
        make_trials("bandit", 0, episodes=3)
    with pytest.raises(BadInput, match="seed in environment"):
        make_trials("bandit", 1, episodes=3, seed=-1)
    trials = make_trials("bandit", 1, episodes=3)
    with pytest.raises(BadInput, match="attribute in trials"):
        trials.set_attr("task", 3)
    with pytest.raises(BadInput, match="method in trials"):
        trials.env_method("render")
    with pytest.raises(AttributeError, match="trials have no attribute 'goal', but task"):
        trials.get_attr("goal")
