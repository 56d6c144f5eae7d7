"""Streams: Philox as published, one for each purpose and index, whatever was drawn before."""

import pickle
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wormwood.envs.randomness import PURPOSES, evaluation_streams, shared_streams, stream, training_streams

MASK = 2**64 - 1


def _philox4x64(counter: list[int], key: list[int]) -> list[int]:
    """Ten rounds of Philox4x64, as in Salmon et al. 2011."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        product0, product1 = 0xD2E7470EE14C6C93 * c0, 0xCA5A826395121157 * c2
        c0, c1, c2, c3 = (product1 >> 64) ^ c1 ^ k0, product1 & MASK, (product0 >> 64) ^ c3 ^ k1, product0 & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return [c0, c1, c2, c3]


def test_the_reference_generator_gives_the_published_vector() -> None:
    # Random123's known answer for counter 0 and key 0.
    published = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert _philox4x64([0, 0, 0, 0], [0, 0]) == published


@given(
    seed=st.integers(0, MASK),
    purpose=st.sampled_from(PURPOSES),
    indices=st.lists(st.integers(0, MASK), max_size=3),
)
def test_a_stream_is_philox_keyed_by_seed_and_purpose_with_indices_in_its_counter(
    seed: int, purpose: str, indices: list[int]
) -> None:
    raw = stream(seed, purpose, *indices).bit_generator.random_raw(8)
    upper = indices + [0] * (3 - len(indices))
    key = [seed, PURPOSES.index(purpose)]
    # NumPy counts up before it draws: blocks 1 and 2.
    assert raw.tolist() == _philox4x64([1, *upper], key) + _philox4x64([2, *upper], key)


def test_the_order_of_purposes_is_part_of_the_file_format() -> None:
    assert PURPOSES[:6] == ("reset", "task", "sensor_noise", "action", "update", "evaluation")


def test_an_unknown_purpose_and_a_fourth_index_are_refused() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        stream(0, "weather")
    with pytest.raises(ValueError, match="at most three"):
        stream(0, "reset", 1, 2, 3, 4)


def test_training_evaluation_and_shared_streams_share_no_draw() -> None:
    families = [training_streams(3), evaluation_streams(3), shared_streams(3, starts=4, generation=1)]
    keys = product(families, ("reset", "task", "sensor_noise"), range(4), range(3))
    draws = [family(purpose, e, k).random() for family, purpose, e, k in keys]
    assert len(set(draws)) == len(draws)


def test_candidates_of_one_generation_share_their_starts() -> None:
    streams = shared_streams(5, starts=2, generation=7)
    first, second, third = (streams("reset", environment, 0).random() for environment in range(3))
    assert first == third != second
    assert shared_streams(5, starts=2, generation=8)("reset", 0, 0).random() != first


@pytest.mark.parametrize(
    "streams", [training_streams(1), evaluation_streams(1), shared_streams(1, starts=2, generation=3)]
)
def test_streams_travel_to_workers(streams: object) -> None:
    copy = pickle.loads(pickle.dumps(streams))
    np.testing.assert_array_equal(copy("reset", 3, 4).random(5), streams("reset", 3, 4).random(5))
