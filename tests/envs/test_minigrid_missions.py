"""Missions of MiniGrid as numbers."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.minigrid_missions import MissionWords
from wormwood.errors import BadInput

WRAPPER = "wormwood.envs.minigrid_missions:MissionWords"


class Text(spaces.Space[str]):
    """As MiniGrid's space of missions."""

    def __init__(self, *alternatives: list[str]) -> None:
        super().__init__(dtype=str)
        self.ordered_placeholders = list(alternatives) or None
        self.mission_func = lambda *words: " ".join(("put", *words))


class Grid(gymnasium.Env[Any, Any]):
    """An image of one number and a mission."""

    action_space = spaces.Discrete(2)

    def __init__(self, mission: str, space: spaces.Space[Any]) -> None:
        self.mission = mission
        self.observation_space = spaces.Dict({"image": spaces.Box(0, 9, (1,), np.uint8), "mission": space})

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return {"image": np.array([7], np.uint8), "mission": self.mission, "direction": 2}, {}


def test_words_that_vary_are_told_apart_place_by_place() -> None:
    space = Text(["red", "blue"], ["a"], ["ball", "key", "red"])
    for mission, row in {"put blue a red": [0, 1, 0, 0, 1], "put red a ball": [1, 0, 1, 0, 0]}.items():
        wrapped = MissionWords(Grid(mission, space))
        observation, _ = wrapped.reset()
        assert observation.keys() == {"image", "mission"}
        assert (observation["image"].tolist(), observation["mission"].tolist()) == ([7], row)
        assert wrapped.observation_space.contains(observation)


def test_a_mission_that_never_varies_is_left_out() -> None:
    for space in (Text(), Text(["a"])):
        wrapped = MissionWords(Grid("put", space))
        assert wrapped.reset()[0] == {"image": np.array([7])}
        assert wrapped.observation_space.contains(wrapped.reset()[0])


def test_what_is_no_mission_is_refused() -> None:
    with pytest.raises(BadInput, match=r"mission in wrapper MissionWords: expected a mission of .*, got 'take red'"):
        MissionWords(Grid("take red", Text(["red", "blue"]))).reset()
    with pytest.raises(BadInput, match="missions in wrapper MissionWords: expected at most 100,000"):
        MissionWords(Grid("", Text(*[[str(word) for word in range(400)]] * 2)))
    with pytest.raises(BadInput, match="observation space in wrapper MissionWords: expected MiniGrid's image"):
        MissionWords(Grid("", spaces.Text(5)))
    with pytest.raises(BadInput, match="observation space in wrapper MissionWords"):
        GymnasiumSpec("CartPole-v1", wrappers=(WRAPPER,)).make()


def test_minigrid_tells_what_to_fetch() -> None:
    pytest.importorskip("minigrid")
    environment = GymnasiumSpec("minigrid:MiniGrid-Fetch-5x5-N2-v0", wrappers=(WRAPPER,)).make()
    phrases, colours, kinds = 5, ["blue", "green", "grey", "purple", "red", "yellow"], ["key", "ball"]
    for seed in range(20):
        observation, _ = environment.reset(seed=seed)
        _, colour, kind = np.split(observation["mission"], [phrases, phrases + len(colours)])
        target: Any = environment.unwrapped
        assert observation["mission"].sum() == 3
        assert (colours[colour.argmax()], kinds[kind.argmax()]) == (target.targetColor, target.targetType)
