"""Philox against the published answers, and the draws made of it."""

import numpy as np
import pytest

from wormwood.envs.families.counters import philox, uniforms

PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((0,) * 6, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 6, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (PI, (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
    ],
)
def test_the_known_answers_of_random123(words: tuple[int, ...], expected: tuple[int, ...]) -> None:
    c0, c1, c2, c3, k0, k1 = (np.array([word, 1], dtype=np.uint64) for word in words)
    assert tuple(int(word[0]) for word in philox((c0, c1, c2, c3), (k0, k1))) == expected


def test_draws_depend_on_key_and_step_alone() -> None:
    keys, steps = np.array([7, 8, 7, 7 + 2**40], dtype=np.uint64), np.array([0, 0, 1, 0])
    together = np.array(uniforms(keys, steps))
    alone = np.concatenate([np.array(uniforms(keys[i : i + 1], steps[i : i + 1])) for i in range(4)], axis=1)
    np.testing.assert_array_equal(together, alone)
    assert len(np.unique(together)) == 8


def test_draws_are_uniform_and_independent_of_each_other() -> None:
    first, second = uniforms(np.arange(100_000, dtype=np.uint64), np.full(100_000, 3))
    for drawn in (first, second):
        assert (drawn > 0).all()
        assert (drawn < 1).all()
        assert drawn.mean() == pytest.approx(0.5, abs=0.004)
        assert drawn.var() == pytest.approx(1 / 12, abs=0.001)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.013
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.013
