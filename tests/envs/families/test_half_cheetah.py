"""HalfCheetah as a task: gymnasium's own physics, with the rewards of the field."""

import gymnasium
import numpy as np
import pytest

from wormwood.envs.families.table import family_from_name
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.randomness import training_streams


@pytest.mark.parametrize("name", ["cheetah-direction", "cheetah-velocity"])
def test_an_episode_is_gymnasiums_own_with_another_reward(name: str) -> None:
    environments = TrialSpec(family_from_name(name, options={"steps": 30}), 2).simulate(2, streams=training_streams(0))
    environments.reset()
    reference = gymnasium.make("HalfCheetah-v5").unwrapped
    reference.reset(seed=0)
    rng = np.random.default_rng(0)
    for t in range(59):
        if t % 30 == 0:
            positions = np.concatenate([[environments.state()["inner_physics"][1, 1]], environments.observation[1, :8]])
            reference.set_state(positions, environments.observation[1, 8:17])  # type: ignore[attr-defined]
        action = rng.uniform(-1, 1, (2, 6))
        observation, _, _, _, info = reference.step(action[1])
        step = environments.step(action)
        (goal,) = environments.tasks[1].values
        velocity = info["x_velocity"]
        wanted = goal * velocity if name == "cheetah-direction" else -abs(velocity - goal)
        assert step.reward[1] == pytest.approx(wanted - 0.05 * np.sum(action[1] ** 2), abs=1e-6)
        assert step.speed[1] == pytest.approx(velocity, abs=1e-6)
        if t != 29:
            np.testing.assert_allclose(step.observation[1, :17], observation, atol=1e-6)
        else:
            assert np.abs(step.observation[1, :8]).max() <= 0.1, "back at rest"


def test_tasks_are_directions_and_velocities() -> None:
    direction, velocity = family_from_name("cheetah-direction"), family_from_name("cheetah-velocity")
    drawn = [[family.sample(np.random.default_rng(s)).values[0] for s in range(20)] for family in (direction, velocity)]
    assert set(drawn[0]) == {1.0, -1.0}
    assert 2 < max(drawn[1]) <= 3
    assert 0 <= min(drawn[1]) < 1
