"""Experience: what a rollout would record."""

from collections.abc import Callable

import numpy as np
import pytest

from wormwood.agents.catalogue import AgentConfig, make_policy
from wormwood.agents.interfaces import Arrays, Episodes, Fragment, Transitions
from wormwood.envs.bodies import Body
from wormwood.envs.randomness import stream, training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Task

NO_EPISODES = Episodes(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int8))


def _play(
    weights: Arrays, agent: AgentConfig, body: Body, task: Task, *, seed: int, shard: int = 0, steps: int = 16
) -> Fragment:
    """Two environments over some steps: a pure function of its arguments."""
    simulation = Simulation(body, task, 2, streams=training_streams(seed), first=2 * shard)
    policy, rng = make_policy(agent, weights, SwimmerSpec(body, task)), stream(seed, "action", shard)
    observation = simulation.reset()
    columns: dict[str, list[np.ndarray]] = {name: [] for name in Transitions.__dataclass_fields__ if name != "memory"}
    for _ in range(steps):
        action, _, extras = policy.act(observation, {}, rng)
        columns["observation"].append(observation)
        columns["action"].append(action)
        columns["log_prob"].append(extras["log_prob"])
        columns["episode_start"].append(simulation.steps == 0)
        step = simulation.step(np.clip(action, -1.0, 1.0))
        columns["reward"].append(step.reward)
        columns["terminated"].append(step.terminated)
        columns["truncated"].append(step.truncated)
        columns["final_observation"].extend(step.final_observation[step.truncated])
        observation = step.observation
    columns["next_observation"] = list(observation)
    arrays = {name: np.array(values) for name, values in columns.items()}
    return Fragment(shard, 0, 2 * steps, NO_EPISODES, Transitions(**arrays))


@pytest.fixture
def play() -> Callable[..., Fragment]:
    return _play
