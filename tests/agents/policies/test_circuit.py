"""The circuit in NumPy: its equations, one circuit or a population, its weights and how they are searched."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wormwood.agents.policies.circuit import NCAP, check_weights, initial_weights, period_of, search_space
from wormwood.agents.policies.circuit_settings import SYNAPSES, NCAPConfig
from wormwood.agents.policies.table import make_policy
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, swimmer
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Swim
from wormwood.errors import BadInput

Floats = NDArray[np.float64]
RNG = np.random.default_rng


def _make_policy(config: NCAPConfig | None = None, body: Body | None = None, **weights: Any) -> NCAP:
    config, body = config or NCAPConfig(), body or swimmer(4)
    weights = {**initial_weights(config, body, RNG(0)), **{name: np.array(value) for name, value in weights.items()}}
    return NCAP(config, weights, body=body, layout=Swim().layout(body))


def _observe(body: Body, angles: list[float], time: float) -> Floats:
    """One swimmer with joints at these shares of their limits."""
    layout = Swim().layout(body)
    observation = np.zeros((1, layout.size))
    observation[0, layout.joints] = np.array(angles) * body.joint_limit
    observation[0, -1] = time
    return observation


# --- equations ---


@settings(max_examples=300)
@given(data=st.data())
def test_it_does_what_the_equations_say(data: Any, draw_case: Any, slow_actions: Callable[[Any], Floats]) -> None:
    case = draw_case(data)
    policy = NCAP(case.config, case.weights, body=case.body, layout=case.layout)
    action, _, _ = policy.act(case.observation, {"time": case.time}, None)
    np.testing.assert_allclose(action, slow_actions(case), rtol=0, atol=1e-12)


@settings(max_examples=200)
@given(data=st.data(), population=st.integers(1, 5))
def test_each_candidate_of_a_population_acts_on_its_own_rows(
    data: Any, population: int, draw_case: Any, slow_actions: Callable[[Any], Floats]
) -> None:
    case = draw_case(data, population=population)
    policy = NCAP(case.config, case.weights, body=case.body, layout=case.layout)
    action, _, _ = policy.act(case.observation, {"time": case.time}, None)
    np.testing.assert_allclose(action, slow_actions(case), rtol=0, atol=1e-12)


def test_by_hand_with_four_links() -> None:
    body = swimmer(4)
    # Joint 0 obeys the oscillator, joint 1 the dorsal stretch of joint 0, joint 2 the ventral stretch of joint 1.
    first_half = _make_policy(body=body).act(_observe(body, [0.5, -0.25, 1.0], 29), {}, None)[0]
    np.testing.assert_allclose(first_half, [[1.0, 0.5, -0.25]])
    second_half = _make_policy(body=body).act(_observe(body, [0.5, -0.25, 1.0], 30), {}, None)[0]
    np.testing.assert_allclose(second_half, [[-1.0, 0.5, -0.25]])
    # ipsi 1.5: 0.5 * 1.5 = 0.75 dorsal; the other side stays at graded(-0.5) = 0. osc 0.4 * 1.5 = 0.6.
    policy = _make_policy(body=body, osc=0.4, ipsi=1.5)
    np.testing.assert_allclose(policy.act(_observe(body, [0.5, -0.25, 1.0], 0), {}, None)[0], [[0.6, 0.75, -0.375]])


def test_feedback_and_oscillators_of_each_joint_by_hand() -> None:
    body = swimmer(4)
    config = NCAPConfig(own_feedback=True, local_oscillators=True, phase_lag=0.25, period=60)
    # Each joint's own stretch takes a quarter of itself off; the local oscillators are 15 and 30 steps later.
    policy = _make_policy(config, body, own=-0.25, local=0.125, osc=0.75)
    action, _, _ = policy.act(_observe(body, [0.5, 0.25, 0.0], 10), {}, None)
    # Joint 0: 0.75 - 0.125. Joint 1: 0.5 - 0.0625 dorsal, and its oscillator is ventral still.
    # Joint 2: 0.25 dorsal, and ventral its oscillator.
    np.testing.assert_allclose(action, [[0.625, 0.4375 - 0.125, 0.25 - 0.125]])
    action, _, _ = policy.act(_observe(body, [0.5, 0.25, 0.0], 20), {}, None)
    np.testing.assert_allclose(action, [[0.625, 0.4375 + 0.125, 0.25 - 0.125]])


def test_a_patient_oscillator_waits_for_the_head_by_hand() -> None:
    body = swimmer(4)
    limit = body.joint_limit[0]
    policy = _make_policy(NCAPConfig(patience=0.5, reach=0.5, period=4), body)
    # Period 4: two steps dorsal, two ventral. The head has bent by 0.6 to the dorsal side from step 4 on, and never to
    # the ventral one: it waits until then, and after that half a period, two steps, before it gives up.
    bent = [0.0, 0.2, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
    state, heads, held = {}, [], []
    for step, stretch in enumerate(bent):
        observation = np.concatenate([[stretch * limit, 0, 0], np.zeros(12), [step]])[None]
        action, state, _ = policy.act(observation, state, None)
        heads.append(float(action[0, 0]))
        held.append(float(state["held"][0]))
    assert heads == [1, 1, 1, 1, -1, -1, -1, -1, 1, 1, -1]
    assert held == [0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 4]


@given(data=st.data())
def test_an_oscillator_that_has_not_to_wait_keeps_time(data: Any) -> None:
    body, period = swimmer(3), data.draw(st.floats(2.0, 40.0))
    plain, patient = (
        _make_policy(NCAPConfig(patience=patience, reach=0.2, period=period), body) for patience in (0.0, 3.0)
    )
    state = {}
    for step in range(90):
        half = np.floor((step - 1) / (period / 2))
        head = body.joint_limit[0] * (0.5 if half % 2 == 0 else -0.5)
        observation = np.concatenate([[head, 0.1], np.zeros(9), [step]])[None]
        action, state, _ = patient.act(observation, state, None)
        np.testing.assert_array_equal(action, plain.act(observation, {}, None)[0])


def test_activity_has_all_neurons_of_both_sides() -> None:
    body = swimmer(4)
    policy = _make_policy(body=body, prop=2.0)
    activity = policy.activity(_observe(body, [0.25, -0.5, 1.0], 0), np.zeros(1))
    np.testing.assert_allclose(activity.receptors[:, 0, 0], [[0.25, 0, 1.0], [0, 0.5, 0]])
    np.testing.assert_allclose(activity.oscillator[:, 0, 0], [1, 0])
    np.testing.assert_allclose(activity.neurons[:, 0, 0], [[1, 0.5, 0], [0, 0, 1]])
    np.testing.assert_allclose(activity.muscles[:, 0, 0], [[1, 0.5, 0], [0, 0, 1]])


def test_half_of_an_odd_period_is_no_whole_number() -> None:
    policy, body = _make_policy(period=5.0), swimmer(4)
    head = [float(policy.act(_observe(body, [0, 0, 0], t), {}, None)[0][0, 0]) for t in range(10)]
    assert head == [1, 1, 1, -1, -1] * 2


# --- time, noise ---


def test_without_a_clock_it_counts_the_steps_of_each_environment() -> None:
    body, task = GYMNASIUM_SWIMMER, GymnasiumForward()
    config = NCAPConfig(period=4.0)
    policy = NCAP(config, initial_weights(config, body, RNG(0)), body=body, layout=task.layout(body))
    observation = np.zeros((3, task.layout(body).size))
    state, heads = {}, []
    for t in range(8):
        action, state, extras = policy.act(observation, state, None)
        heads.append(action[:, 0].tolist())
        assert extras == {}
        if t == 2:
            state = {"time": np.where([False, True, False], 0.0, state["time"])}  # one environment starts again
    assert state["time"].tolist() == [8, 5, 8]
    wave, late = [1, 1, -1, -1, 1, 1, -1, -1], [1, 1, -1, 1, 1, -1, -1, 1]
    assert [list(column) for column in zip(*heads, strict=True)] == [wave, late, wave]


def test_with_a_clock_it_remembers_nothing() -> None:
    _, state, extras = _make_policy().act(_observe(swimmer(4), [0, 0, 0], 3), {}, None)
    assert (state, extras) == ({}, {})


def test_exploration_noise_is_what_the_learner_learned() -> None:
    config, body = NCAPConfig(), swimmer(4)
    weights = {**initial_weights(config, body, RNG(0)), "log_std": np.log([0.1, 0.2, 0.3])}
    policy = make_policy(config, weights, SwimmerSpec(body, Swim()))
    observation = _observe(body, [0.5, -0.25, 1.0], 0)
    calm, noisy = policy.act(observation, {}, None)[0], policy.act(observation, {}, RNG(7))[0]
    np.testing.assert_allclose(noisy - calm, RNG(7).standard_normal((1, 3)) * [0.1, 0.2, 0.3])


# --- weights ---


def test_the_published_circuit_starts_from_four_weights_of_one() -> None:
    weights = initial_weights(NCAPConfig(), swimmer(6), RNG(0))
    values = {name: value.item() for name, value in weights.items()}
    assert values == {"prop": 1, "osc": 1, "ipsi": 1, "contra": -1, "period": 60}
    commanded = NCAPConfig(speed_control=True, turn_control=True)
    assert initial_weights(commanded, swimmer(6), RNG(0))["speed"] == -1
    assert initial_weights(commanded, swimmer(6), RNG(0))["turn"] == 1


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (NCAPConfig(), 4),
        (NCAPConfig(speed_control=True, turn_control=True), 6),
        (NCAPConfig(share_weights=False), 30),
        (NCAPConfig(share_weights=False, speed_control=True, turn_control=True, turn_joints=2), 30 + 10 + 4),
        (NCAPConfig(learn_period=True), 5),
        (NCAPConfig(proprioception=False), 3),
        (NCAPConfig(oscillator=False), 3),
        (NCAPConfig(speed_control=True, turn_control=True, steering="learned"), 6 + 9),
    ],
)
def test_parameters_of_six_links(config: NCAPConfig, count: int) -> None:
    weights = initial_weights(config, swimmer(6), RNG(0))
    assert search_space(config, weights).size == count


@given(
    seed=st.integers(0, 2**32),
    share=st.booleans(),
    constrain=st.booleans(),
    initialization=st.sampled_from(["unit", "uniform"]),
)
def test_initial_weights_have_the_magnitudes_and_signs_asked_for(
    seed: int, share: bool, constrain: bool, initialization: Any
) -> None:
    config = NCAPConfig(share_weights=share, constrain_signs=constrain, initialization=initialization)
    body = swimmer(6)
    weights = initial_weights(config, body, RNG(seed))
    check_weights(config, weights, body)
    for name in config.synapses:
        magnitude = np.abs(weights[name])
        assert weights[name].shape == config.shape(name, body.joints)
        assert (magnitude == 1).all() if initialization == "unit" else ((magnitude >= 0) & (magnitude < 1)).all()
        if constrain:
            assert (weights[name] * SYNAPSES[name].sign >= 0).all()


def test_signs_and_magnitudes_are_drawn_where_they_are_free() -> None:
    config = NCAPConfig(share_weights=False, constrain_signs=False, initialization="uniform")
    weights = initial_weights(config, swimmer(25), RNG(0))["ipsi"]
    assert 0.3 < (weights > 0).mean() < 0.7
    assert len(np.unique(weights)) == weights.size


def test_a_wrong_sign_counts_as_no_connection() -> None:
    body = swimmer(4)
    policy = _make_policy(body=body, prop=-3.0, contra=2.0)
    action = policy.act(_observe(body, [0.5, -0.25, 1.0], 0), {}, None)[0]
    np.testing.assert_array_equal(action, [[1, 0, 0]])


@pytest.mark.parametrize("other", [3, 5, 12])
def test_unshared_weights_are_refused_on_another_body(other: int) -> None:
    config = NCAPConfig(share_weights=False)
    weights = initial_weights(config, swimmer(6), RNG(0))
    with pytest.raises(
        BadInput,
        match=rf"do not fit in agent ncap on .* body swimmer-{other}: expected prop: .*, got 'float64 of shape \(2, ",
    ):
        NCAP(config, weights, body=swimmer(other), layout=Swim().layout(swimmer(other)))


def test_a_missing_weight_is_named() -> None:
    config, body = NCAPConfig(speed_control=True), swimmer(6)
    weights = initial_weights(NCAPConfig(), body, RNG(0))
    with pytest.raises(BadInput, match=r"expected speed: numbers of shape \(\), got 'none'"):
        NCAP(config, weights, body=body, layout=Swim().layout(body))


def test_noise_for_another_body_is_of_no_use_but_the_circuit_is() -> None:
    config, body = NCAPConfig(), swimmer(6)
    weights = {**initial_weights(config, body, RNG(0)), "log_std": np.zeros(5)}
    policy = make_policy(config, weights, SwimmerSpec(swimmer(4), Swim()))
    assert policy.act(_observe(swimmer(4), [0, 0, 0], 0), {}, None)[0].shape == (1, 3)
    with pytest.raises(BadInput, match=r"exploration noise in agent ncap: .* 3 joints, got \(5,\)"):
        policy.act(_observe(swimmer(4), [0, 0, 0], 0), {}, RNG(0))


# --- periods ---


def test_a_body_may_have_a_period_of_its_own() -> None:
    config = NCAPConfig(period=60, body_periods={"swimmer-3": 47.5, "swimmer-12": 36})
    for made_for in (3, 6):
        weights = initial_weights(config, swimmer(made_for), RNG(0))
        # Whatever body the weights were made for.
        assert [float(period_of(config, weights, swimmer(links))) for links in (3, 6, 12)] == [47.5, 60, 36]
    learned = {**weights, "period": np.array([55.0, 70.0])}
    assert period_of(config, learned, swimmer(3)).tolist() == [47.5, 47.5]
    assert period_of(config, learned, swimmer(6)).tolist() == [55.0, 70.0]


def test_whole_numbers_do_not_make_periods_whole() -> None:
    config, body = NCAPConfig(period=60, body_periods={"swimmer-4": 4.5}), swimmer(4)
    policy = _make_policy(config, body)
    head = [policy.act(_observe(body, [0, 0, 0], t), {}, None)[0][0, 0] for t in (2, 3, 4, 5, 6, 7)]
    assert head == [1, -1, -1, 1, 1, -1]  # 4 mod 4.5 >= 2.25; 6 mod 4.5 = 1.5; 7 mod 4.5 = 2.5


# --- search ---


@settings(max_examples=100)
@given(data=st.data(), share=st.booleans(), constrain=st.booleans(), learn_period=st.booleans())
def test_what_is_searched_stays_within_its_bounds(data: Any, share: bool, constrain: bool, learn_period: bool) -> None:
    names = data.draw(st.lists(st.sampled_from([*SYNAPSES, "period"]), unique=True))
    low = {name: data.draw(st.floats(1e-3, 1.0)) for name in names}
    bounds = {name: (low[name], low[name] * data.draw(st.floats(1.01, 100.0))) for name in names}
    config = NCAPConfig(
        share_weights=share,
        constrain_signs=constrain,
        learn_period=learn_period,
        speed_control=True,
        turn_control=True,
        steering="learned",
        bounds=bounds,
    )
    body, rng = swimmer(data.draw(st.integers(2, 6))), RNG(data.draw(st.integers(0, 2**32)))
    weights = initial_weights(config, body, rng)
    space = search_space(config, weights)
    vectors = np.clip(rng.normal(scale=3, size=(4, space.size)), *space.bounds.T)
    population = space.decode(vectors)
    NCAP(config, population, body=body, layout=Swim().layout(body))
    for name in (*config.synapses, "period"):
        least, most = bounds.get(name, (0.0, np.inf))
        magnitude = np.abs(population[name])
        assert (magnitude <= most * (1 + 1e-12)).all() or (name == "period" and not learn_period)
        if constrain and name != "period":
            assert (magnitude >= least * (1 - 1e-12)).all()
            assert (np.sign(population[name]) == SYNAPSES[name].sign).all()
    for index, vector in enumerate(vectors):
        one = {name: values[index] for name, values in population.items()}
        check_weights(config, one, body)
        # Magnitudes below a thousandth are searched from there.
        from_there = [np.full(p.size, np.log(1e-3) if p.sign else -np.inf) for p in space.parameters]
        np.testing.assert_allclose(space.encode(one), np.maximum(vector, np.concatenate(from_there)), atol=1e-12)


def test_starting_weights_are_searched_from_where_they_are() -> None:
    config = NCAPConfig(learn_period=True, bounds={"prop": (0.5, 4.0), "osc": (2.0, 3.0)})
    space = search_space(config, initial_weights(config, swimmer(6), RNG(0)))
    vector = space.encode(initial_weights(config, swimmer(6), RNG(0)))
    # osc starts at 1, below its bounds.
    np.testing.assert_allclose(vector, np.log([1, 2, 1, 1, 60]))
    decoded = {name: float(value) for name, value in space.decode(vector).items()}
    assert decoded == pytest.approx({"prop": 1, "osc": 2, "ipsi": 1, "contra": -1, "period": 60})
    np.testing.assert_allclose(space.bounds[:2], np.log([[0.5, 4], [2, 3]]))
    assert space.bounds[2].tolist() == [-np.inf, np.inf]
    np.testing.assert_allclose(space.bounds[4], [np.log(2), np.inf])


def test_a_period_that_is_not_learned_is_the_same_for_all() -> None:
    config = NCAPConfig(period=47)
    space = search_space(config, initial_weights(config, swimmer(6), RNG(0)))
    assert space.decode(np.zeros((3, 4)))["period"].tolist() == [47.0] * 3


# --- configuration, copies ---


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"period": 0.0}, "period in agent ncap: expected a positive number"),
        ({"period": float("nan")}, "period in agent ncap"),
        ({"body_periods": {"swimmer-3": -1.0}}, "body_periods.swimmer-3"),
        ({"bounds": {"propp": (1.0, 2.0)}}, "nearest: 'prop'"),
        ({"bounds": {"prop": (2.0, 1.0)}}, "bounds.prop"),
        ({"turn_joints": 0}, "turn_joints"),
        ({"full_speed": 0.0}, "full_speed in agent ncap: expected a positive speed"),
        ({"full_speed": 1e-320}, "full_speed in agent ncap: .* from 1e-06 to 1e\\+06"),
        ({"period": float("inf")}, "period in agent ncap"),
        ({"period": 1e300}, "period in agent ncap"),
        ({"bounds": {"prop": (1.0, float("inf"))}}, "bounds.prop"),
        ({"bounds": {"prop": (float("nan"), 2.0)}}, "bounds.prop"),
    ],
)
def test_a_wrong_setting_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        NCAPConfig(**fields)


def test_copies_act_alike() -> None:
    body = swimmer(4)
    policy, observation = _make_policy(body=body, prop=0.7), _observe(body, [0.5, -0.25, 1.0], 0)
    expected = policy.act(observation, {}, None)[0]
    for twin in (pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy)):
        np.testing.assert_array_equal(twin.act(observation, {}, None)[0], expected)
