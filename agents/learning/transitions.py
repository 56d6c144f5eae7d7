"""Experience: one iteration's fragments as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wormwood.agents.learning.interfaces import Fragment, Transitions

__all__ = ["collate"]


def collate(fragments: Sequence[Fragment]) -> Transitions:
    """Put the environments of all fragments beside each other, in the order of the shards.

    Raises:
        ValueError: a fragment has no transitions.
    """
    parts = [fragment.transitions for fragment in fragments if fragment.transitions is not None]
    if len(parts) != len(fragments):
        raise ValueError("this learner learns from transitions, and a fragment has none")
    steps = {
        name: np.concatenate([getattr(part, name) for part in parts], axis=1)
        for name in ("observation", "action", "log_prob", "reward", "episode_start", "terminated", "truncated")
    }
    size = parts[0].observation.shape[2]
    final = np.zeros((*steps["truncated"].shape, size))
    for part, columns in zip(parts, _columns(parts), strict=True):
        final[:, columns][part.truncated] = part.final_observation
    return Transitions(
        **steps,
        final_observation=final[steps["truncated"]],
        next_observation=np.concatenate([part.next_observation for part in parts]),
        memory={name: np.concatenate([part.memory[name] for part in parts]) for name in parts[0].memory},
    )


def _columns(parts: Sequence[Transitions]) -> list[slice]:
    ends = np.cumsum([part.reward.shape[1] for part in parts])
    return [slice(int(end) - part.reward.shape[1], int(end)) for part, end in zip(parts, ends, strict=True)]
