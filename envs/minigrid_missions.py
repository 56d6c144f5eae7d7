"""What MiniGrid's missions ask for, as numbers beside what is seen."""

from __future__ import annotations

import itertools
import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from wormwood.errors import bad_input

__all__ = ["MissionWords"]

MOST_MISSIONS = 100_000
"""Missions of one environment that are told apart."""

Placeholders = tuple[tuple[str, ...], ...]


class MissionWords(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Observes ``{"image": ..., "mission": ...}``: the image as it is, and for each word of the mission that varies
    which of its alternatives it is, as zeros and a one.

    MiniGrid writes a mission by filling alternatives into a sentence, such as a colour and a kind of object, and its
    mission space says which. Where they are the same in each episode, nothing of the mission is observed.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Wrap an environment of MiniGrid.

        Raises:
            BadInput: its observation has no image and no such mission, or there are too many missions.
        """
        super().__init__(env)
        space = env.observation_space
        parts = space.spaces if isinstance(space, spaces.Dict) else {}
        mission: Any = parts.get("mission")
        if "image" not in parts or not hasattr(mission, "ordered_placeholders"):
            expected = "MiniGrid's image and mission, with no wrapper that leaves them out"
            raise bad_input("observation space", where="wrapper MissionWords", expected=expected, got=space)
        alternatives: Placeholders = tuple(map(tuple, mission.ordered_placeholders or ()))
        self._rows = _rows(mission.mission_func, alternatives)
        columns = _columns(alternatives)
        words = {"mission": spaces.MultiBinary(columns)} if columns else {}
        self.observation_space = spaces.Dict({"image": parts["image"], **words})

    def observation(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Return image and mission.

        Raises:
            BadInput: the mission is none of the environment's mission space.
        """
        image, mission = observation["image"], observation["mission"]
        if "mission" not in self.observation_space.spaces:  # type: ignore[attr-defined]
            return {"image": image}
        if mission not in self._rows:
            expected = "a mission of the environment's mission space"
            raise bad_input("mission", where="wrapper MissionWords", expected=expected, got=mission)
        return {"image": image, "mission": self._rows[mission]}


def _columns(alternatives: Placeholders) -> int:
    return sum(len(words) for words in alternatives if len(words) > 1)


def _rows(write: Any, alternatives: Placeholders) -> dict[str, NDArray[np.int8]]:
    """Return each mission with its zeros and ones, of missions that read the same the first."""
    count = math.prod(map(len, alternatives))
    if count > MOST_MISSIONS:
        raise bad_input("missions", where="wrapper MissionWords", expected=f"at most {MOST_MISSIONS:,}", got=count)
    rows: dict[str, NDArray[np.int8]] = {}
    for words in itertools.product(*alternatives):
        chosen = [
            word == chosen_word
            for chosen_word, all_ in zip(words, alternatives, strict=True)
            if len(all_) > 1
            for word in all_
        ]
        rows.setdefault(write(*words), np.array(chosen, np.int8))
    return rows
