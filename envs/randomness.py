"""Counter-based randomness: a draw depends on what it is for, never on what was drawn before.

There is no generator state to save or to ship: a generator is made from (seed, purpose, indices) where it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

__all__ = [
    "PURPOSES",
    "EpisodeStreams",
    "evaluation_streams",
    "report_stream",
    "shared_streams",
    "shifted_streams",
    "stream",
    "training_streams",
]

PURPOSES = ("reset", "task", "sensor_noise", "action", "update", "evaluation")
"""What randomness is drawn for. The order is part of the file format: append only."""

EpisodeStreams = Callable[[str, int, int], np.random.Generator]
"""(purpose, environment, episode) -> the generator of that purpose for one episode of one environment."""


def stream(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """Return the generator of one purpose at up to three indices, such as (shard, iteration).

    Philox (Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405) is keyed by seed and purpose; the indices fill
    the upper words of its counter, so that streams of different indices never overlap.

    Raises:
        ValueError: the purpose is unknown, or there are more than three indices.
    """
    if len(indices) > 3:
        raise ValueError(f"a stream has at most three indices, got {indices}")
    key = np.array([seed, PURPOSES.index(purpose)], dtype=np.uint64)
    counter = np.zeros(4, dtype=np.uint64)
    counter[1 : 1 + len(indices)] = indices
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def report_stream(seed: int) -> np.random.Generator:
    """Return the generator of a report, which draws from what has been measured: nothing learns or plays by it."""
    return np.random.default_rng(seed)


def _training_stream(seed: int, purpose: str, environment: int, episode: int) -> np.random.Generator:
    return stream(seed, purpose, environment, episode)


def _evaluation_stream(seed: int, purpose: str, environment: int, episode: int) -> np.random.Generator:
    # Each environment of an evaluation plays one episode: its own index names the start.
    return stream(seed, "evaluation", environment, PURPOSES.index(purpose), episode)


def _shared_stream(
    purpose: str, environment: int, episode: int, *, seed: int, starts: int, generation: int
) -> np.random.Generator:
    return stream(seed, purpose, environment % starts, episode, generation)


def _shifted_stream(
    purpose: str, environment: int, episode: int, *, streams: EpisodeStreams, first: int
) -> np.random.Generator:
    return streams(purpose, first + environment, episode)


def training_streams(seed: int) -> EpisodeStreams:
    """Give each environment and episode of a training run a start of its own."""
    return partial(_training_stream, seed)


def evaluation_streams(seed: int) -> EpisodeStreams:
    """Give held-out start ``e`` to environment ``e``: independent of the agent, never used by training."""
    return partial(_evaluation_stream, seed)


def shared_streams(seed: int, *, starts: int, generation: int) -> EpisodeStreams:
    """Give the candidates of one generation the same ``starts`` starts (common random numbers)."""
    return partial(_shared_stream, seed=seed, starts=starts, generation=generation)


def shifted_streams(streams: EpisodeStreams, *, first: int) -> EpisodeStreams:
    """Give environment ``e`` what ``streams`` give to environment ``first + e``."""
    return partial(_shifted_stream, streams=streams, first=first)
