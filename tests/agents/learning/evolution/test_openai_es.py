"""OpenAI-ES: ranks, Adam, its gradient by hand, and learning."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from wormwood.agents.learning.evolution.openai_es import OpenAIES, adam_step, centred_ranks
from wormwood.agents.learning.evolution.settings import OpenAIESConfig
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.policies.search_space import Parameter, SearchSpace
from wormwood.envs.randomness import stream

SPACE = SearchSpace((Parameter("x", (3,)),))
TARGET = np.array([1.0, -2.0, 0.5])


def _score(x: np.ndarray) -> np.ndarray:
    score: np.ndarray = -np.square(x - TARGET).sum(axis=1)
    return score


def _make(seed: int = 0, **settings: float) -> OpenAIES:
    return OpenAIES(OpenAIESConfig(**settings), SPACE, {"x": np.zeros(3)}, seed=seed)  # type: ignore[arg-type]


def _assert_same_state(one: OpenAIES, two: OpenAIES) -> None:
    assert one.state().keys() == two.state().keys()
    for name, values in one.state().items():
        np.testing.assert_array_equal(two.state()[name], values, err_msg=name)


def test_ranks_by_hand() -> None:
    assert centred_ranks(np.array([3.0, 100.0, -5.0])).tolist() == [0.0, 0.5, -0.5]
    assert centred_ranks(np.array([1.0, 1.0, 7.0, 1.0, 9.0])).tolist() == [-0.25, -0.25, 0.25, -0.25, 0.5]
    assert centred_ranks(np.array([4.0, 4.0])).tolist() == [0.0, 0.0]


def test_adam_equals_torchs() -> None:
    rng = np.random.default_rng(0)
    parameter = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.Adam([parameter], lr=0.1, betas=(0.9, 0.999), eps=1e-8)
    ours, first, second = np.zeros(4), np.zeros(4), np.zeros(4)
    for step in range(1, 30):
        gradient = rng.standard_normal(4) * 10.0 ** rng.integers(-4, 3, 4)
        direction, first, second = adam_step(gradient, first, second, step=step)
        ours -= 0.1 * direction
        parameter.grad = torch.from_numpy(gradient.copy())
        theirs.step()
        np.testing.assert_allclose(ours, parameter.detach().numpy(), rtol=1e-12, atol=1e-14)


def test_the_gradient_of_one_generation_by_hand(make_fragment: Callable[..., Fragment]) -> None:
    # Four candidates: rank 3 of 4 is 0.5 * 1/3 above the middle, and so on.
    config = OpenAIESConfig(population=4, sigma=0.5, learning_rate=0.1, weight_decay=0.25)
    learner = OpenAIES(config, SPACE, {"x": np.array([1.0, 2.0, 3.0])}, seed=0)
    one, two = stream(0, "update", 0).standard_normal((2, 3))
    candidates = [1.0, 2.0, 3.0] + 0.5 * np.array([one, two, -one, -two])
    np.testing.assert_allclose(learner.weights()["x"], candidates, rtol=1e-15)
    metrics = learner.update([make_fragment(range(4), [8.0, -1.0, 3.0, 4.0])], 0)
    # Ranks: 1/2, -1/2, -1/6, 1/6.
    gradient = (one / 2 - two / 2 + one / 6 - two / 6) / (4 * 0.5) - 0.25 * np.array([1.0, 2.0, 3.0])
    assert metrics["gradient_norm"] == pytest.approx(np.sqrt((gradient**2).sum()), rel=1e-12)
    assert (metrics["return_mean"], metrics["return_best"], metrics["return_worst"]) == (3.5, 8.0, -1.0)
    # Adam's first step is of the same length for every coordinate.
    np.testing.assert_allclose(learner.policy_weights()["x"], [1.0, 2.0, 3.0] + 0.1 * np.sign(gradient), rtol=1e-6)
    np.testing.assert_allclose(learner.state()["first_moment"], 0.1 * gradient, rtol=1e-12)
    np.testing.assert_allclose(learner.state()["second_moment"], 0.001 * gradient**2, rtol=1e-12)


def test_the_mean_return_over_starts_is_what_counts(make_fragment: Callable[..., Fragment]) -> None:
    one = OpenAIES(OpenAIESConfig(population=4), SPACE, {"x": np.zeros(3)}, seed=0)
    two = OpenAIES(OpenAIESConfig(population=4, starts=2), SPACE, {"x": np.zeros(3)}, seed=0)
    one.update([make_fragment(range(4), [1.0, 2.0, 3.0, 4.0])], 0)
    two.update([make_fragment(range(8), [9.0, -7.0, 2.0, 2.0, 0.0, 6.0, 3.0, 5.0])], 0)
    _assert_same_state(one, two)


def test_each_generation_has_noise_of_its_own_the_same_at_every_call(evolve: Callable[..., object]) -> None:
    learner = _make()
    first = learner.weights()["x"]
    np.testing.assert_array_equal(learner.weights()["x"], first)
    np.testing.assert_allclose(first[:8], -first[8:])
    evolve(learner, _score, range(1))
    assert (learner.weights()["x"] != first).all()
    assert (_make(seed=1).weights()["x"] != first).all()


def test_it_climbs_a_quadratic(evolve: Callable[..., list[float]]) -> None:
    learner = _make(population=16, sigma=0.1, learning_rate=0.05)
    evolve(learner, _score, range(150))
    np.testing.assert_allclose(learner.policy_weights()["x"], TARGET, atol=0.05)


def test_it_keeps_to_the_bounds(evolve: Callable[..., list[float]]) -> None:
    space = SearchSpace((Parameter("x", (3,), low=-1.0, high=0.75),))
    learner = OpenAIES(OpenAIESConfig(), space, {"x": np.zeros(3)}, seed=0)
    for iteration in range(100):
        evolve(learner, _score, range(iteration, iteration + 1))
        assert (np.abs(learner.weights()["x"] + 0.125) <= 0.875).all()
    np.testing.assert_allclose(learner.policy_weights()["x"], [0.75, -1.0, 0.5], atol=0.06)


def test_it_goes_on_from_any_state_bit_for_bit(evolve: Callable[..., object]) -> None:
    whole, states = _make(weight_decay=0.01), []
    for iteration in range(8):
        states.append(whole.state())
        evolve(whole, _score, range(iteration, iteration + 1))
    for iteration, state in enumerate(states):
        resumed = _make(weight_decay=0.01)
        resumed.restore(state)
        evolve(resumed, _score, range(iteration, 8))
        _assert_same_state(resumed, whole)
        np.testing.assert_array_equal(resumed.weights()["x"], whole.weights()["x"])


def test_a_state_and_weights_are_copies(evolve: Callable[..., object]) -> None:
    learner, same = _make(), _make()
    for values in (*learner.state().values(), *learner.policy_weights().values(), *learner.weights().values()):
        values[...] = 7
    _assert_same_state(learner, same)
    state = learner.state()
    learner.restore(state)
    evolve(learner, _score, range(3))
    assert state["generation"] == 0
    assert not state["mean"].any()
