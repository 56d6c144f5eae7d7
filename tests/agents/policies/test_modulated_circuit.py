"""Modulated circuits: what a trial has shown decides the weights, by the equations of the module."""

import math

import numpy as np
import pytest

from wormwood.agents.policies.circuit import NCAP
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.modulated_circuit import ModulatedNCAP, cues_of, initial_weights, search_space
from wormwood.agents.policies.modulated_circuit_settings import ModulatedNCAPConfig
from wormwood.agents.policies.table import AGENTS
from wormwood.envs.bodies import swimmer
from wormwood.envs.families.trials import TrialSpec, trial_from_name
from wormwood.envs.randomness import training_streams
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput

SEARCHED = NCAPConfig(learn_period=True, bounds={"period": (15, 150), "osc": (0.25, 2.0)})
ALL = ("prop", "osc", "ipsi", "contra", "period")
CONFIG = ModulatedNCAPConfig(modulated=ALL, circuit=SEARCHED)
PROP, OSC, IPSI, CONTRA, PERIOD = range(5)


def _spec(episodes: int = 3) -> TrialSpec:
    options = {"links": [3, 5], "held_out_links": [4], "viscosities": [0.0], "held_out_viscosities": [0.1], "steps": 2}
    return trial_from_name("swimmer-bodies", options, episodes)


def _weights(config: ModulatedNCAPConfig = CONFIG) -> Arrays:
    return initial_weights(config, _spec(), np.random.default_rng(0))


def _alone(weights: Arrays, circuit: NCAPConfig = SEARCHED) -> NCAP:
    return NCAP(circuit, weights, body=swimmer(5), layout=_spec().layout)


def test_cues_are_logarithms_of_links_and_of_mean_reward() -> None:
    found = cues_of(CONFIG, np.array([7.0, 14.0, 3.5]), np.array([np.nan, 0.45, 0.0]))
    np.testing.assert_allclose(found, [[0, 0], [math.log(2), 0], [-math.log(2), -math.log(10)]], atol=1e-12)
    swapped = ModulatedNCAPConfig(cues=("return",))
    np.testing.assert_array_equal(cues_of(swapped, np.array([9.0]), np.array([-1.0])), [[math.log(0.1)]])
    assert cues_of(ModulatedNCAPConfig(cues=()), np.ones(3), np.ones(3)).shape == (3, 0)


def test_weights_are_log_linear_in_the_cues_and_keep_their_signs_and_bounds() -> None:
    weights = _weights()
    weights["modulation"][CONTRA] = 1.0, 0.0
    weights["modulation"][PERIOD] = -1.0, 2.0
    weights["modulation"][OSC] = 3.0, 0.0
    cues = np.array([[0.0, 0.0], [math.log(2), 0.0], [-math.log(2), math.log(0.5)]])
    tuned = ModulatedNCAP(CONFIG, weights, _spec()).tuned(cues)
    np.testing.assert_allclose(tuned["contra"], [-1, -2, -0.5])
    np.testing.assert_allclose(tuned["period"], [60, 30, 30])  # 60 times 2, times a half squared
    np.testing.assert_allclose(tuned["osc"], [1, 2, 0.25])  # 8 and 1/8, within the bounds
    np.testing.assert_allclose(tuned["prop"], [1, 1, 1])


def test_a_trial_is_played_by_the_circuit_that_its_cues_ask_for() -> None:
    """Two trials of three episodes of two steps: one body of 5 links, and one of 3; rewards by hand."""
    spec, weights = _spec(), _weights()
    weights["osc"], weights["modulation"] = np.array(0.5), np.full((5, 2), 0.5)
    policy, rng, memory = ModulatedNCAP(CONFIG, weights, spec), np.random.default_rng(1), Arrays()
    rewards = np.array([[0.9, 0.1, 0.3, 0.3, 0.0, 0.0], [0.1, 0.2, 0.1, 0.9, 0.0, 0.0]]).T
    # After an episode its mean, after two the mean of both.
    known = [[math.nan] * 2, [math.nan] * 2, [0.5, 0.15], [0.5, 0.15], [0.4, 0.325], [0.4, 0.325]]
    observation = np.zeros((2, spec.layout.size))
    for step in range(6):
        observation[0, spec.layout.joints] = rng.uniform(-0.4, 0.4, size=4)
        observation[1, :2] = rng.uniform(-0.4, 0.4, size=2)
        observation[:, spec.layout.clock] = step % 2
        if step:
            observation[:, -2], observation[:, -1] = rewards[step - 1], step % 2 == 0
        action, memory, _ = policy.act(observation, memory, None)
        cues = cues_of(CONFIG, np.array([5.0, 3.0]), np.array(known[step]))
        for row in (0, 1):
            weights_of_row = {name: values[row] for name, values in policy.tuned(cues).items()}
            np.testing.assert_array_equal(
                action[row], _alone(weights_of_row).act(observation[row : row + 1], {}, None)[0][0]
            )
    assert not np.array_equal(policy.tuned(cues)["prop"], np.ones(2))


def test_a_joint_that_passes_straight_has_still_been_seen() -> None:
    spec, weights = _spec(), _weights()
    weights["modulation"][IPSI] = 1.0, 0.0
    policy, observation = ModulatedNCAP(CONFIG, weights, spec), np.zeros((1, spec.layout.size))
    observation[0, :4] = 0.1
    _, memory, _ = policy.act(observation, {}, None)
    observation[0, 3] = 0.0
    _, later, _ = policy.act(observation, memory, None)
    np.testing.assert_array_equal(later["moved"], np.ones((1, 4)))


def test_without_cues_it_is_the_circuit() -> None:
    config = ModulatedNCAPConfig(cues=(), modulated=ALL, circuit=SEARCHED)
    weights, spec = _weights(config), _spec()
    assert weights["modulation"].shape == (5, 0)
    simulation = spec.simulate(3, streams=training_streams(0))
    observation = simulation.reset()
    action, _, _ = ModulatedNCAP(config, weights, spec).act(observation, {}, None)
    plain = {name: values for name, values in weights.items() if name != "modulation"}
    np.testing.assert_array_equal(action, _alone(plain).act(observation, {}, None)[0])


@pytest.mark.parametrize("cues", [(), ("links",), ("links", "return")])
def test_a_population_acts_as_each_of_its_candidates_alone(cues) -> None:
    config = ModulatedNCAPConfig(cues=cues, modulated=ALL, circuit=SEARCHED)
    weights, spec = _weights(config), _spec()
    space = search_space(config, weights)
    vectors = space.encode(weights) + np.random.default_rng(0).normal(0, 0.2, size=(2, space.size))
    simulation = spec.simulate(4, streams=lambda purpose, e, t: np.random.default_rng((e % 2, t)))
    observation = simulation.reset()
    together = ModulatedNCAP(config, space.decode(vectors), spec).act(observation, {}, None)[0]
    for candidate, vector in enumerate(vectors):
        rows = slice(2 * candidate, 2 * candidate + 2)
        alone = ModulatedNCAP(config, space.decode(vector), spec).act(observation[rows], {}, None)[0]
        np.testing.assert_array_equal(together[rows], alone)


def test_what_is_searched_is_the_circuit_and_its_modulation() -> None:
    weights = _weights()
    space = search_space(CONFIG, weights)
    assert space.size == 5 + 5 * 2
    for name, values in space.decode(space.encode(weights)).items():
        np.testing.assert_allclose(values, weights[name])
    period_alone = ModulatedNCAPConfig()
    assert search_space(period_alone, _weights(period_alone)).size == 5 + 2
    none = ModulatedNCAPConfig(cues=())
    assert search_space(none, _weights(none)).decode(np.zeros((7, 5)))["modulation"].shape == (7, 1, 0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadInput, match="trials of the family swimmer-bodies"):
        initial_weights(CONFIG, SwimmerSpec(swimmer(4), Swim()), np.random.default_rng(0))
    for circuit in (NCAPConfig(share_weights=False), NCAPConfig(patience=0.5), NCAPConfig(constrain_signs=False)):
        with pytest.raises(BadInput, match="constrain_signs: true"):
            ModulatedNCAPConfig(circuit=circuit)
    with pytest.raises(BadInput, match="each cue once"):
        ModulatedNCAPConfig(cues=("links", "links"))
    with pytest.raises(BadInput, match=r"modulated .*expected some of prop, osc, ipsi, contra, period, each once, got"):
        ModulatedNCAPConfig(modulated=("perod",))
    with pytest.raises(BadInput, match="expected some of prop, osc, ipsi, contra, each once, got 'period'"):
        ModulatedNCAPConfig(circuit=NCAPConfig())
    with pytest.raises(BadInput, match=r"modulation: numbers of shape \(5, 2\)"):
        unmodulated = _weights(ModulatedNCAPConfig(cues=(), modulated=ALL, circuit=SEARCHED))
        AGENTS["modulated-ncap"].make_policy(CONFIG, unmodulated, _spec())
    with pytest.raises(BadInput, match="2 agents for 3 rows"):
        weights = {name: np.stack([values, values]) for name, values in _weights().items()}
        ModulatedNCAP(CONFIG, weights, _spec()).tuned(np.zeros((3, 2)))
