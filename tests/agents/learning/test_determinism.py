"""Global generators as a function of seed and update."""

import random
import threading

import numpy as np
import pytest
import torch

from wormwood.agents.learning.determinism import seeded_generators
from wormwood.envs.randomness import stream

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
