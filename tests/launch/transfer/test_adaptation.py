"""Agents on bodies that they do not fit: refused with a reason, or padded in the documented way."""

import numpy as np
import pytest

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import initial_weights
from wormwood.agents.stable_baselines3.zipped_policies import ZippedPolicy
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, swimmer
from wormwood.envs.randomness import stream
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim
from wormwood.launch.run.agent_files import Agent, load_agent
from wormwood.launch.transfer.adaptation import NotTransferable, PaddedAgent, fit_agent


def _agent(config, links: int = 4, task=None) -> Agent:
    spec = SwimmerSpec(swimmer(links), task or Swim())
    return Agent("a", config, initial_weights(config, spec, stream(1, "update")), spec)


@pytest.mark.parametrize("name", ["ncap", "mlp", "random", "zero"])
def test_built_in_agents_fit_any_body(name: str) -> None:
    agent = load_agent(name)
    assert fit_agent(agent, SwimmerSpec(swimmer(9), Swim())) is agent


def test_a_perceptron_does_not_fit_another_body_and_says_so() -> None:
    agent = _agent(MLPConfig(hidden=(8,)))
    assert fit_agent(agent, SwimmerSpec(swimmer(4, link_length=0.2), Swim())) is agent
    with pytest.raises(NotTransferable, match=r"does not fit .*expected 19 inputs to 4 outputs, got '15 inputs to 3"):
        fit_agent(agent, SwimmerSpec(swimmer(5), Swim()))
    assert isinstance(fit_agent(agent, SwimmerSpec(swimmer(5), Swim()), pad=True), PaddedAgent)


def test_an_agent_that_knows_another_task_is_not_padded() -> None:
    agent = _agent(MLPConfig(hidden=(8,)), task=Navigate())
    for links in (4, 5):
        with pytest.raises(NotTransferable, match="does not fit"):
            fit_agent(agent, SwimmerSpec(swimmer(links), Swim()), pad=True)


@pytest.mark.parametrize("config", [MLPConfig(hidden=(8,)), NCAPConfig(share_weights=False)])
@pytest.mark.parametrize("links", [2, 3, 5, 7])
def test_padding_reads_what_both_bodies_have_and_leaves_the_rest_at_rest(config, links: int) -> None:
    agent = _agent(config)
    other = SwimmerSpec(swimmer(links), Swim())
    policy = fit_agent(agent, other, pad=True).policy(other)
    observation = np.random.default_rng(0).normal(size=(3, 4 * links))
    observation[:, -1] = [0, 7, 40]
    # By hand: 3 joints, 12 velocities, the clock; what the other body lacks is 0.
    padded = np.zeros((3, 16))
    joints, velocities = min(3, links - 1), min(12, 3 * links)
    padded[:, :joints] = observation[:, :joints]
    padded[:, 3 : 3 + velocities] = observation[:, links - 1 : links - 1 + velocities]
    padded[:, 15] = observation[:, -1]
    expected, _, _ = agent.policy(agent.spec).act(padded, {}, None)
    action, _, _ = policy.act(observation, {}, None)
    assert action.shape == (3, links - 1)
    np.testing.assert_array_equal(action[:, :joints], expected[:, :joints])
    assert not action[:, 3:].any()


def test_a_policy_for_swimmer_v5_swims_with_three_links_and_padded_with_more() -> None:
    rng = np.random.default_rng(0)
    weights = {"layer0_weight": rng.normal(size=(8, 2)), "layer0_bias": rng.normal(size=2)}
    home = SwimmerSpec(GYMNASIUM_SWIMMER, GymnasiumForward())
    agent = Agent("zip", None, weights, home, ZippedPolicy("zip", weights, home))
    three, six = (SwimmerSpec(swimmer(links), Swim()) for links in (3, 6))
    assert fit_agent(agent, three) is agent
    with pytest.raises(NotTransferable, match="agent zip: expected 24 inputs to 5 outputs, got '8 inputs to 2"):
        fit_agent(agent, six)
    padded = fit_agent(agent, six, pad=True)
    observation = np.zeros((1, 24))
    state = {}
    for step in range(3):
        observation[0, 7], observation[0, -1] = 2.0, step  # yaw rate of the head in rad/s
        action, state, _ = padded.policy(six).act(observation, state, None)
    # Two control steps of dm_control's 0.03 s: the padded policy counts time as the body does that it is on.
    assert state["heading"][0] == pytest.approx(2 * 0.03 * 2.0)
    assert action.shape == (1, 5)
    assert not action[0, 2:].any()
