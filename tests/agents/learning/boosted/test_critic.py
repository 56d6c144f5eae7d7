"""A forest as a critic of any actor."""

from pathlib import Path

import numpy as np
import torch
from stable_baselines3 import PPO

from wormwood.agents.learning.boosted.critic import ForestCritic
from wormwood.agents.stable_baselines3.on_policy import NCAPPolicy
from wormwood.envs.bodies import swimmer
from wormwood.envs.faces.stable_baselines3 import make_swimmers
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.trees.config import TreeConfig

SPEC = SwimmerSpec(swimmer(3), Swim())
RNG = np.random.default_rng(0)


def _observations(rows: int = 64) -> torch.Tensor:
    return torch.tensor(RNG.standard_normal((rows, SPEC.layout.size)), dtype=torch.float32)


def test_one_tree_moves_values_against_their_gradients_by_hand() -> None:
    critic = ForestCritic(SPEC, tree=TreeConfig(max_depth=1), rate=0.5)
    observation = torch.zeros((4, SPEC.layout.size))
    observation[2:, 0] = 1.0
    target = torch.tensor([[1.0], [3.0], [-2.0], [-40.0]])
    loss = ((critic(observation) - target) ** 2).mean()
    loss.backward()
    critic.grow()
    # Each transition's gradient is 2 (0 - target), clipped to 10: -2, -6, 4 and 10; leaves hold -4 and 7.
    assert critic(observation).tolist() == [[2.0], [2.0], [-3.5], [-3.5]]
    assert len(critic.forest) == 1


def test_it_grows_only_where_a_gradient_came_back() -> None:
    critic = ForestCritic(SPEC, tree=TreeConfig(), rate=0.5)
    critic.grow()
    with torch.no_grad():
        critic(_observations())
    critic.grow()
    critic(_observations())
    critic.grow()
    assert len(critic.forest) == 0
    critic(_observations()).sum().backward()
    for _ in range(2):
        critic.grow()
    assert len(critic.forest) == 1


def test_values_are_learned() -> None:
    critic, observation = ForestCritic(SPEC, tree=TreeConfig(), rate=0.2), _observations(512)
    target = observation[:, :1] * 2 + (observation[:, 1:2] > 0).float()
    losses = []
    for _ in range(60):
        loss = 0.5 * ((critic(observation) - target) ** 2).mean()
        loss.backward()
        critic.grow()
        losses.append(loss.item())
    assert losses[-1] < 0.02 * losses[0]


def test_the_clock_is_not_looked_at() -> None:
    critic, observation = ForestCritic(SPEC, tree=TreeConfig(), rate=0.2), _observations()
    critic(observation).sum().backward()
    critic.grow()
    later = observation.clone()
    later[:, SPEC.layout.clock] += 100
    assert torch.equal(critic(observation), critic(later))


def test_a_circuit_with_a_boosted_critic_learns_in_plain_sb3_and_round_trips(tmp_path: Path) -> None:
    settings = {"critic": "forest", "critic_tree": TreeConfig(max_depth=3)}
    swimmers = make_swimmers("swimmer-4", 4)
    model = PPO(NCAPPolicy, swimmers, seed=0, n_steps=16, batch_size=32, n_epochs=2, policy_kwargs=settings)
    before = model.policy.policy_weights()
    model.learn(128)
    assert isinstance(model.policy.value_net, ForestCritic)
    assert len(model.policy.value_net.forest) == 2 * 2 * 2
    assert model.policy.policy_weights()["prop"] != before["prop"]
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model")
    observation = torch.tensor(RNG.standard_normal((5, 16)), dtype=torch.float32)
    assert torch.equal(loaded.policy.predict_values(observation), model.policy.predict_values(observation))
