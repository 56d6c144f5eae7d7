"""What makes an update a function of its input: global generators by seed and update, and one thread of torch."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import torch

from wormwood.envs.randomness import stream

__all__ = ["one_torch_thread", "seeded_generators"]

_LOCK = threading.RLock()


@contextlib.contextmanager
def seeded_generators(seed: int, index: int) -> Iterator[None]:
    """Seed NumPy's and torch's global generators for update ``index`` of a learner, and put them back afterwards.

    Stable-Baselines3 shuffles minibatches with NumPy's, and torch draws initial weights from its own. One lock for the
    process keeps learners of other threads out meanwhile. CUDA's generators, which an update draws nothing from, stay
    as they are.
    """
    with _LOCK:
        saved_numpy, saved_torch = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        low, high = stream(seed, "update", index).integers(2**32, size=2)
        np.random.seed(low)  # noqa: NPY002
        torch.default_generator.manual_seed(int(high))
        try:
            yield
        finally:
            np.random.set_state(saved_numpy)  # noqa: NPY002
            torch.set_rng_state(saved_torch)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute on one thread, also as a decorator: the order of sums, and so the bits, depend on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
