"""CMA-ES: learning, repeatable questions, and going on from a state, against the library's own loop."""

from collections.abc import Callable

import numpy as np
import pytest
from cmaes import CMA

from wormwood.agents.learning.evolution.cma_es import CMAES
from wormwood.agents.learning.evolution.settings import CMAESConfig
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.policies.search_space import Parameter, SearchSpace
from wormwood.envs.randomness import stream

SIZE = 5
TARGET = np.array([1.0, -2.0, 0.5, 0.0, 1.5])
# A long valley that lies across the axes: covariance and eigenvectors matter.
SKEW = np.linalg.qr(np.random.default_rng(0).standard_normal((SIZE, SIZE)))[0] * np.sqrt([1, 3, 10, 30, 100])


def _score(x: np.ndarray) -> np.ndarray:
    score: np.ndarray = -np.square((x - TARGET) @ SKEW).sum(axis=1)
    return score


def _make(seed: int = 0, population: int = 8, **bounds: float) -> CMAES:
    space = SearchSpace((Parameter("x", (SIZE,), **bounds),))  # type: ignore[arg-type]
    return CMAES(CMAESConfig(population=population), space, {"x": np.zeros(SIZE)}, seed=seed)


def _assert_same_state(one: CMAES, two: CMAES) -> None:
    assert one.state().keys() == two.state().keys()
    for name, values in one.state().items():
        np.testing.assert_array_equal(two.state()[name], values, err_msg=name)


def test_it_finds_the_end_of_a_valley(evolve: Callable[..., list[float]]) -> None:
    learner = _make()
    means = evolve(learner, _score, range(120))
    np.testing.assert_allclose(learner.policy_weights()["x"], TARGET, atol=1e-3)
    assert means[-1] > -1e-4 > means[0]


def test_it_equals_the_librarys_loop_fed_the_same_random_numbers(evolve: Callable[..., object]) -> None:
    learner = _make(seed=3, low=-1.0, high=1.2)
    bounds = np.tile([-1.0, 1.2], (SIZE, 1))
    theirs = CMA(mean=np.zeros(SIZE), sigma=0.3, bounds=bounds, population_size=8)
    for generation in range(20):
        theirs._rng = np.random.RandomState(stream(3, "update", generation).bit_generator)
        asked = np.stack([theirs.ask() for _ in range(8)])
        np.testing.assert_array_equal(learner.candidates(), asked)
        theirs.tell([(x, -score) for x, score in zip(asked, _score(asked), strict=True)])
        evolve(learner, _score, range(generation, generation + 1))
        np.testing.assert_array_equal(learner.policy_weights()["x"], theirs.mean)
        assert learner.state()["sigma"] == theirs._sigma


def test_asking_is_repeatable_and_changes_nothing(evolve: Callable[..., object]) -> None:
    asked, quiet = _make(), _make()
    for generation in range(6):
        first = asked.candidates()
        for _ in range(generation):
            np.testing.assert_array_equal(asked.candidates(), first)
            np.testing.assert_array_equal(asked.weights()["x"], first)
        _assert_same_state(asked, quiet)
        evolve(asked, _score, range(generation, generation + 1))
        evolve(quiet, _score, range(generation, generation + 1))
    assert (_make(seed=1).candidates() != _make().candidates()).any()


def test_it_goes_on_from_any_state_bit_for_bit(evolve: Callable[..., object]) -> None:
    whole, states = _make(), []
    for generation in range(10):
        before = whole.state()
        whole.candidates()
        states.append((generation, before))
        states.append((generation, whole.state()))  # between asking and telling
        evolve(whole, _score, range(generation, generation + 1))
    states.append((10, whole.state()))
    for generation, state in states:
        resumed = _make()
        evolve(resumed, _score, range(2))  # what it learned before must not matter
        resumed.restore(state)
        evolve(resumed, _score, range(generation, 10))
        _assert_same_state(resumed, whole)
        np.testing.assert_array_equal(resumed.candidates(), whole.candidates())
        np.testing.assert_array_equal(resumed.policy_weights()["x"], whole.policy_weights()["x"])


def test_a_state_is_copies_of_numbers(evolve: Callable[..., object]) -> None:
    learner = _make()
    evolve(learner, _score, range(2))
    state = learner.state()
    kept = {name: values.copy() for name, values in state.items()}
    assert {str(values.dtype) for values in state.values()} == {"float64", "int64"}
    evolve(learner, _score, range(2, 4))
    learner.restore(state)
    evolve(learner, _score, range(2, 4))
    for name, values in kept.items():
        np.testing.assert_array_equal(state[name], values)


def test_it_keeps_to_the_bounds(evolve: Callable[..., object]) -> None:
    learner = _make(low=-1.0, high=0.75)
    for generation in range(60):
        evolve(learner, _score, range(generation, generation + 1))
        assert (np.abs(learner.candidates() + 0.125) <= 0.875).all()
        assert (np.abs(learner.policy_weights()["x"] + 0.125) <= 0.875).all()


def test_a_start_outside_the_bounds_is_put_inside() -> None:
    space = SearchSpace((Parameter("x", sign=-1, low=0.1, high=0.5),))
    learner = CMAES(CMAESConfig(), space, {"x": np.array(-3.0)}, seed=0)
    np.testing.assert_allclose(learner.policy_weights()["x"], -0.5)
    assert (np.abs(learner.weights()["x"] + 0.3) <= 0.2 + 1e-15).all()


def test_the_metrics_are_returns_and_step_size(make_fragment: Callable[..., Fragment]) -> None:
    learner = _make(population=4)
    metrics = learner.update([make_fragment([3, 2, 1, 0], [4.0, 1.0, 2.0, -3.0])], 0)
    assert metrics["sigma"] == learner.state()["sigma"]
    assert {name: metrics[name] for name in ("return_mean", "return_best", "return_worst")} == {
        "return_mean": 1.0,
        "return_best": 4.0,
        "return_worst": -3.0,
    }


def test_one_parameter_is_enough(make_fragment: Callable[..., Fragment]) -> None:
    learner = CMAES(CMAESConfig(), SearchSpace((Parameter("x", (1,)),)), {"x": np.zeros(1)}, seed=0)
    for generation in range(40):
        returns = -np.square(learner.weights()["x"][:, 0] - 2.0)
        learner.update([make_fragment(range(8), returns)], generation)
    assert learner.policy_weights()["x"] == pytest.approx(2.0, abs=1e-3)


def test_numpys_global_generator_is_left_alone(evolve: Callable[..., object]) -> None:
    before = repr(np.random.get_state())  # noqa: NPY002
    evolve(_make(), _score, range(3))
    assert repr(np.random.get_state()) == before  # noqa: NPY002
