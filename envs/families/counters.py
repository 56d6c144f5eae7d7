"""Counter-based draws for many environments at once: a draw is a function of a key and a step, nothing is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["philox", "uniforms"]

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]

ROUNDS = 10
MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counters: tuple[Words, Words, Words, Words], keys: tuple[Words, Words]) -> tuple[Words, ...]:
    """Return four random words of 32 bits for each entry: Philox4x32-10.

    One round multiplies ``c₀ M₀`` and ``c₂ M₁`` to 64 bits and sets
    ``c = (hi₁ ⊕ c₁ ⊕ k₀, lo₁, hi₀ ⊕ c₃ ⊕ k₁, lo₀)``, then ``k += W`` (Salmon et al. 2011,
    https://doi.org/10.1145/2063384.2063405).

    Args:
        counters: four words of 32 bits, held in 64, each ``[N]``.
        keys: two such words, each ``[N]``.
    """
    c0, c1, c2, c3 = counters
    k0, k1 = keys
    for _ in range(ROUNDS):
        first, second = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = (second >> HALF) ^ c1 ^ k0, second & LOW, (first >> HALF) ^ c3 ^ k1, first & LOW
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW, (k1 + KEY_STEPS[1]) & LOW
    return c0, c1, c2, c3


def uniforms(keys: NDArray[Any], steps: NDArray[Any]) -> tuple[Floats, Floats]:
    """Return two numbers strictly between 0 and 1 for each environment, each ``[N]``.

    Args:
        keys: ``[N]`` of 64 bits, one for each trial.
        steps: ``[N]`` the step within the trial.
    """
    key, step = keys.astype(np.uint64), steps.astype(np.uint64)
    none = np.zeros_like(key)
    c0, c1, c2, c3 = philox((step & LOW, step >> HALF, none, none), (key & LOW, key >> HALF))
    return _unit(c0, c1), _unit(c2, c3)


def _unit(high: Words, low: Words) -> Floats:
    # The upper 52 bits and a half: never 0, never 1, and exact in float64.
    return (((high << HALF) | low) >> np.uint64(12)).astype(np.float64) * 2.0**-52 + 2.0**-53
