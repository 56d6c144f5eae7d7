"""What a script or a callback changes in environments, on its way to those in workers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import cloudpickle
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv
from wormwood.errors import bad_input
from wormwood.launch.distribute.environments import Change

__all__ = ["Changes"]

QUESTIONS = {"action_masks", "close", "compute_reward", "render", "valid_action_mask"}
ASKING = ("get_", "has_", "is_")
"""Methods, and beginnings of their names, that ask something and change nothing."""


class Changes:
    """Notes each ``set_attr`` and ``env_method`` on environments, and sends it along with the next rollout.

    Every worker then makes the change where the driver made it: after the same actions of the same episode.
    """

    def __init__(self, venv: VecEnv) -> None:
        """Note from now on what is done to ``venv``. Swimmers have nothing to change."""
        self._venv = venv
        self._made: list[tuple[bytes, tuple[int, ...]]] = []
        self._sent = 0
        if not isinstance(venv, SwimmerVecEnv):
            changed: Any = venv
            changed.set_attr = functools.partial(self._set_attr, type(venv).set_attr)
            changed.env_method = functools.partial(self._env_method, type(venv).env_method)

    def detach(self) -> None:
        """Note nothing more."""
        for name in ("set_attr", "env_method"):
            vars(self._venv).pop(name, None)

    def _set_attr(self, original: Any, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        self._note(None, (attr_name, value), {}, indices)
        original(self._venv, attr_name, value, indices)

    def _env_method(
        self, original: Any, method_name: str, *arguments: Any, indices: VecEnvIndices = None, **keywords: Any
    ) -> Any:
        if method_name not in QUESTIONS and not method_name.startswith(ASKING):
            self._note(method_name, arguments, keywords, indices)
        return original(self._venv, method_name, *arguments, indices=indices, **keywords)

    def _note(self, name: str | None, arguments: tuple[Any, ...], keywords: Any, indices: VecEnvIndices) -> None:
        try:
            call = cloudpickle.dumps((name, arguments, keywords))
        except Exception as error:
            where, got = "set_attr" if name is None else f"env_method {name}", " ".join(str(error).split())
            raise bad_input("value", where=where, expected="one that can be sent to workers", got=got) from error
        self._made.append((call, tuple(self._venv._get_indices(indices))))

    def forget_places(self) -> None:
        """Let all changes so far be made before the first episode: the run begins anew, the changes stay."""
        self._sent = 0

    def placed_in(self, states: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the states of all shards with the changes since the last time, where their environments stand."""
        new, self._sent = self._made[self._sent :], len(self._made)
        if not new:
            return list(states)
        placed, first = [], 0
        for state in states:
            changes = []
            for row, before in enumerate(state["changes"]):
                began = "episodes" in state
                where = (state["episodes"][row], len(state["actions"][row])) if began else (-1, 0)
                changes.append([*before, *(Change(call, *where) for call, rows in new if first + row in rows)])
            placed.append({**state, "changes": changes})
            first += len(changes)
        return placed
