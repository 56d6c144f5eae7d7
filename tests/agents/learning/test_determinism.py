"""Global generators as a function of seed and update, and one thread of torch."""

import random
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from wormwood.agents.learners import make_learner
from wormwood.agents.learning.determinism import one_torch_thread, seeded_generators
from wormwood.agents.policies.table import initial_weights
from wormwood.envs.randomness import stream
from wormwood.launch.run.settings import load_config

Draws = tuple[list[float], list[float]]


def _draw() -> Draws:
    return np.random.rand(4).tolist(), torch.rand(4).tolist()  # noqa: NPY002 # what SB3 draws from


def _seeded_draw(seed: int, index: int) -> Draws:
    with seeded_generators(seed, index):
        return _draw()


def _states() -> tuple[str, list[int]]:
    return repr(np.random.get_state()), torch.get_rng_state().tolist()  # noqa: NPY002


def test_draws_depend_on_seed_and_index_only() -> None:
    first = _seeded_draw(3, 5)
    _draw()
    assert _seeded_draw(3, 5) == first
    others = [_seeded_draw(3, 6), _seeded_draw(4, 5), _seeded_draw(2**64 - 1, 0)]
    assert len({str(draws) for draws in [first, *others]}) == 4


def test_the_seeds_are_two_draws_of_the_stream_of_updates() -> None:
    low, high = stream(3, "update", 5).integers(2**32, size=2)
    generator = torch.Generator().manual_seed(int(high))
    expected = np.random.RandomState(low).rand(4).tolist(), torch.rand(4, generator=generator).tolist()
    assert _seeded_draw(3, 5) == expected


def test_the_generators_go_on_as_if_nothing_had_been() -> None:
    np.random.rand()  # noqa: NPY002
    np.random.standard_normal()  # noqa: NPY002 # leaves a second normal draw in store
    before, python = _states(), random.getstate()
    _seeded_draw(1, 2)
    assert _states() == before
    with pytest.raises(RuntimeError, match="in between"), seeded_generators(1, 2):
        _draw()
        raise RuntimeError("in between")
    assert _states() == before
    assert random.getstate() == python


def test_an_inner_one_gives_the_outer_one_its_draws_back() -> None:
    whole = _seeded_draw(1, 1)
    with seeded_generators(1, 1):
        assert _seeded_draw(2, 2) != whole
        assert _draw() == whole


def test_threads_wait_for_each_other() -> None:
    expected = {index: [_seeded_draw(0, index) for _ in range(2)] for index in range(4)}
    got: dict[int, list[Draws]] = {}

    def work(index: int) -> None:
        got[index] = []
        for _ in range(2):
            with seeded_generators(0, index):
                half = np.random.rand(2).tolist()  # noqa: NPY002
                inside.wait(timeout=0.02)  # gives the other threads every chance to interfere
                got[index].append(((half + np.random.rand(2).tolist()), torch.rand(4).tolist()))  # noqa: NPY002

    inside = threading.Event()
    before = _states()
    threads = [threading.Thread(target=work, args=(index,)) for index in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected
    assert _states() == before


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_torch_computes_on_one_thread_inside_and_on_as_many_as_before_outside() -> None:
    @one_torch_thread()
    def fail() -> None:
        raise RuntimeError(str(torch.get_num_threads()))

    for _ in range(2):
        with pytest.raises(RuntimeError, match="1"):
            fail()
        assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(
    "preset", ["swim-mlp-ppo", "cartpole-boosted-ppo", "swim-ncap-sac", "bandit-5-10-rl2", "bandit-5-10-fastslow"]
)
def test_a_learner_leaves_the_process_s_threads_as_they_were(preset: str) -> None:
    config = load_config(preset)
    weights = initial_weights(config.agent, config.spec, stream(0, "update"))
    make_learner(config.learner, weights, config.learner_context)
    assert torch.get_num_threads() == 3
