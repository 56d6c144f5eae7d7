"""Repertoires: each circuit is tried for an episode, then the one that has earned most is played."""

import numpy as np
import pytest

from wormwood.agents.policies.circuit import NCAP
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.repertoire import Repertoire, chosen_circuits, initial_weights, search_space
from wormwood.agents.policies.repertoire_settings import RepertoireConfig
from wormwood.agents.policies.table import AGENTS
from wormwood.envs.bodies import swimmer
from wormwood.envs.families.trials import TrialSpec, trial_from_name
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput

SEARCHED = NCAPConfig(learn_period=True, bounds={"period": (15, 150)})


def _spec(episodes: int = 3) -> TrialSpec:
    options = {"links": [3, 4], "held_out_links": [5], "viscosities": [0.0], "held_out_viscosities": [0.1], "steps": 2}
    return trial_from_name("swimmer-bodies", options, episodes)


def _weights(config: RepertoireConfig) -> Arrays:
    return initial_weights(config, _spec(), np.random.default_rng(0))


def _alone(config: RepertoireConfig, weights: Arrays, circuit: int) -> NCAP:
    one = {name: values[circuit] for name, values in weights.items()}
    return NCAP(config.circuit, one, body=swimmer(5), layout=_spec().layout)


def test_every_circuit_has_its_turn_and_then_the_one_of_the_best_mean() -> None:
    episode = np.array([0.0, 1.0, 2.0, 2.0, 3.0])
    earned = np.array([[0, 0], [9, 0], [1, 2], [2, 1], [5, 3]], dtype=np.float64)
    played = np.array([[0, 0], [1, 0], [1, 1], [1, 1], [2, 1]], dtype=np.float64)
    # In the last row the first earned 2.5 in each of two episodes, the second 3 in one.
    np.testing.assert_array_equal(chosen_circuits(episode, earned, played), [0, 1, 1, 0, 1])


def test_periods_start_around_the_circuits_own() -> None:
    two = _weights(RepertoireConfig(circuits=2, spread=4.0))["period"]
    np.testing.assert_allclose(two, [30, 120])
    three = _weights(RepertoireConfig(circuits=3, spread=1.5))["period"]
    np.testing.assert_allclose(three, [40, 60, 90])
    assert _weights(RepertoireConfig(circuits=1))["period"] == [60]


def test_a_trial_is_played_by_the_circuit_that_earned_more() -> None:
    config = RepertoireConfig(circuits=2, spread=4.0)
    weights, spec = _weights(config), _spec()
    weights["osc"] = np.array([0.3, 0.8])
    policy, alone = Repertoire(config, weights, spec), [_alone(config, weights, circuit) for circuit in (0, 1)]
    rng, memory = np.random.default_rng(1), Arrays()
    # Rewards of two trials' six steps; in the first trial the first circuit earns more, in the second the other.
    rewards = np.array([[0.9, 0.1, 0.1, 0.1, 0.0, 0.0], [0.1, 0.1, 0.1, 0.9, 0.0, 0.0]]).T
    expected = np.array([[0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]]).T
    observation = np.zeros((2, spec.layout.size))
    for step in range(6):
        observation[:, spec.layout.joints] = rng.uniform(-0.4, 0.4, size=(2, 4))
        observation[:, spec.layout.clock] = step % 2
        if step:
            observation[:, -2], observation[:, -1] = rewards[step - 1], step % 2 == 0
        action, memory, _ = policy.act(observation, memory, None)
        own = [circuit.act(observation, {}, None)[0] for circuit in alone]
        for row in (0, 1):
            np.testing.assert_array_equal(action[row], own[expected[step, row]][row])
            assert not np.array_equal(own[0][row], own[1][row])


def test_a_population_acts_as_each_of_its_candidates_alone() -> None:
    config = RepertoireConfig(circuits=2, circuit=SEARCHED)
    weights, spec = _weights(config), _spec()
    space = search_space(config, weights)
    vectors = space.encode(weights) + np.random.default_rng(0).normal(0, 0.2, size=(2, space.size))
    simulation = spec.simulate(4, streams=lambda purpose, e, t: np.random.default_rng((e % 2, t)))
    observation = simulation.reset()
    together = Repertoire(config, space.decode(vectors), spec).act(observation, {}, None)[0]
    for candidate, vector in enumerate(vectors):
        rows = slice(2 * candidate, 2 * candidate + 2)
        alone = Repertoire(config, space.decode(vector), spec).act(observation[rows], {}, None)[0]
        np.testing.assert_array_equal(together[rows], alone)


def test_all_weights_of_all_circuits_are_searched() -> None:
    config = RepertoireConfig(circuits=3, circuit=SEARCHED)
    weights = _weights(config)
    space = search_space(config, weights)
    assert space.size == 3 * 5
    decoded = space.decode(space.encode(weights))
    for name, values in weights.items():
        np.testing.assert_allclose(decoded[name], values)
    fixed = RepertoireConfig(circuits=3)
    assert search_space(fixed, weights).size == 3 * 4
    assert search_space(fixed, weights).decode(np.zeros((7, 12)))["period"].shape == (7, 3)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadInput, match="trials of the family swimmer-bodies"):
        initial_weights(RepertoireConfig(), SwimmerSpec(swimmer(4), Swim()), np.random.default_rng(0))
    with pytest.raises(BadInput, match="share_weights: true"):
        RepertoireConfig(circuit=NCAPConfig(share_weights=False))
    with pytest.raises(BadInput, match="one weight for each of 3 circuits"):
        AGENTS["repertoire"].make_policy(RepertoireConfig(circuits=3), _weights(RepertoireConfig(circuits=2)), _spec())
