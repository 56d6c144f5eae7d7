"""The ledger: which experience each update consumed, so that a run can prove that nothing was lost or used twice.

One line of ``ledger.jsonl`` stands for one shard's fragment, with the SHA-256 of everything in it. The lines form a
chain: each one's hash is taken over the hash before it, and the last hash is part of the learner's state, so of every
checkpoint and of ``state_sha256``. A line that is missing, doubled, changed or out of order breaks the chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.learning.interfaces import Episodes, Fragment, Transitions
from wormwood.errors import BadInput
from wormwood.launch.storage.states import State, nest, state_sha256

__all__ = ["EMPTY", "Audit", "Entry", "audit", "chain", "fragment_sha256", "make_entry"]

EMPTY: NDArray[np.uint8] = np.zeros(32, dtype=np.uint8)
"""The hash ``[32]`` before the first line."""

Entry = dict[str, Any]
"""One line: iteration, shard, policy_version, steps, episodes, fragment_sha256."""


@dataclass(frozen=True)
class Audit:
    """What a ledger proves."""

    iterations: int
    """Updates, each of which consumed every shard exactly once."""
    fragments: int
    steps: int
    """Environment steps that the updates consumed."""


def fragment_sha256(fragment: Fragment) -> str:
    """Hash everything that a learner can see of a fragment."""
    state: State = nest("episodes", _arrays(fragment.episodes))
    if fragment.transitions is not None:
        state |= nest("transitions", _arrays(fragment.transitions))
    return state_sha256(state)


def _arrays(record: Episodes | Transitions) -> State:
    arrays: State = {}
    for field in fields(record):
        value = getattr(record, field.name)
        arrays |= nest(field.name, value) if isinstance(value, dict) else {field.name: value}
    return arrays


def make_entry(fragment: Fragment, *, policy_version: int) -> Entry:
    """Describe a fragment that an update consumes, collected by the policy that had seen ``policy_version`` updates."""
    return {
        "iteration": fragment.iteration + 1,
        "shard": fragment.shard,
        "policy_version": policy_version,
        "steps": fragment.steps,
        "episodes": len(fragment.episodes.reward),
        "fragment_sha256": fragment_sha256(fragment),
    }


def chain(last: NDArray[np.uint8], entries: Iterable[Entry]) -> NDArray[np.uint8]:
    """Return the hash ``[32]`` after some entries: ``h = SHA-256(h, entry)`` for one after the other."""
    digest = last.tobytes()
    for entry in entries:
        digest = hashlib.sha256(digest + json.dumps(entry, sort_keys=True).encode()).digest()
    return np.frombuffer(digest, dtype=np.uint8).copy()


def audit(entries: list[Entry], state: Mapping[str, NDArray[Any]], *, shards: int) -> Audit:
    """Check a ledger against the state that a checkpoint holds.

    Args:
        entries: the lines of the ledger up to that checkpoint.
        state: with ``ledger [32]``, and the scalars ``iteration`` and ``steps``.
        shards: of each iteration.

    Raises:
        BadInput: something was lost, used twice or changed; the message says which line.
    """
    for line, entry in enumerate(entries):
        expected = (line // shards + 1, line % shards)
        if (entry.get("iteration"), entry.get("shard")) != expected:
            got = f"iteration {entry.get('iteration')}, shard {entry.get('shard')}"
            raise BadInput(f"ledger line {line + 1}: expected iteration {expected[0]}, shard {expected[1]}, got {got}")
    iterations, steps = int(state["iteration"]), int(state["steps"])
    if len(entries) != iterations * shards:
        raise BadInput(f"ledger: expected {iterations * shards} lines for {iterations} iterations, got {len(entries)}")
    counted = sum(entry.get("steps") or 0 for entry in entries)
    if counted != steps:
        raise BadInput(f"ledger: expected {steps} environment steps, which the learner has consumed, got {counted}")
    if not np.array_equal(chain(EMPTY, entries), state["ledger"]):
        raise BadInput("ledger: its lines do not have the hash that the learner's state holds: one of them was changed")
    return Audit(iterations, len(entries), steps)
