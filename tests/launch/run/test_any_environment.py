"""Whole trainings in environments of every kind: they end, in actions that the environment takes, or are refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import wormwood
from wormwood.errors import BadInput
from wormwood.launch.cli.main import main

PPO = {"kind": "ppo", "environments": 2, "steps": 8, "batch_size": 8, "epochs": 1}
LEARNERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "openai-es": ({"kind": "mlp", "hidden": [3]}, {"kind": "openai-es", "population": 2, "starts": 1}),
    "ppo": ({"kind": "mlp", "hidden": [3]}, PPO),
    "boosted": ({"kind": "forest", "tree": {"max_depth": 2}}, {**PPO, "kind": "boosted"}),
    "td3": (
        {"kind": "mlp", "hidden": [3]},
        {"kind": "td3", "environments": 2, "steps": 8, "batch_size": 4, "buffer_size": 40, "critic_hidden": [4]},
    ),
}
BOXES = [
    spaces.Box(-1, 1, (3,), np.int32),
    spaces.Box(-np.inf, np.inf, (2, 2), np.float32),
    spaces.Box(0, 255, (2, 3), np.uint8),
    spaces.Box(np.array([-1, -np.inf]), np.array([np.inf, 3]), dtype=np.float64),
    spaces.Box(-2, 1, (), np.float16),
    spaces.Box(0, 1, (2,), np.bool_),  # type: ignore[arg-type]
]
CHOICES = [
    spaces.Discrete(3, start=5),
    spaces.Discrete(4, start=-120, dtype=np.int8),
    spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[1, -1], [0, 7]]),
    spaces.MultiBinary((2, 2)),
]
NESTED = [
    spaces.Dict({"b": spaces.Tuple([BOXES[2], CHOICES[0]]), "a": spaces.OneOf([BOXES[1], CHOICES[2]])}),
    spaces.Tuple([CHOICES[1], spaces.Text(3, charset="ab"), spaces.Dict({"x": CHOICES[3], "y": BOXES[4]})]),
    spaces.Discrete(1000),
]
ODD = [
    spaces.Sequence(BOXES[0]),
    spaces.Graph(BOXES[4], None),
    spaces.Tuple([]),
    spaces.Dict({"a": spaces.Sequence(CHOICES[0])}),
]


def _name(space: spaces.Space[Any]) -> str:
    return f"{type(space).__name__}-{space.dtype}"


class Anything(gymnasium.Env[Any, Any]):
    """Shows samples of a space, and asserts that actions are of another."""

    def __init__(self, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        return self.observation_space.sample(), float(np.sum(np.clip(action, -9, 9))), False, False, {}


def _train(observations: spaces.Space[Any], actions: spaces.Space[Any], learner: str) -> dict[str, Any]:
    agent, settings = LEARNERS[learner]
    gymnasium.register(
        "Anything-v0", lambda: Anything(observations, actions), max_episode_steps=5, disable_env_checker=True
    )
    try:
        config = {"agent": agent, "learner": settings, "environment": "Anything-v0"}
        summary = wormwood.train({**config, "iterations": 2, "shards": 2, "evaluation_episodes": 2}, out="run")
        assert wormwood.evaluate("run", episodes=2).returns.mean() == summary["return_mean"]
        return summary
    finally:
        del gymnasium.registry["Anything-v0"]


@pytest.mark.parametrize("learner", ["openai-es", "ppo", "boosted"])
@pytest.mark.parametrize("space", [*BOXES, *CHOICES, *NESTED], ids=_name)
def test_any_space_is_observed_and_acted_in(space: spaces.Space[Any], learner: str) -> None:
    flat = [*BOXES, *CHOICES]
    actions = space if space in flat else flat[NESTED.index(space)]
    assert np.isfinite(_train(space, actions, learner)["return_mean"])


@pytest.mark.parametrize("space", [*BOXES, *CHOICES], ids=_name)
def test_off_policy_learners_take_numbers_with_bounds(space: spaces.Space[Any]) -> None:
    if isinstance(space, spaces.Box) and space.is_bounded():
        assert np.isfinite(_train(space, space, "td3")["return_mean"])
        return
    with pytest.raises(BadInput, match="action") as caught:
        _train(space, space, "td3")
    assert "\n" not in str(caught.value)
    assert not Path("run").exists()


@pytest.mark.parametrize("space", ODD, ids=_name)
def test_spaces_that_cannot_be_taken_are_refused_before_anything_is_written(space: spaces.Space[Any]) -> None:
    for observations, actions in ((space, CHOICES[0]), (BOXES[0], space), (BOXES[0], NESTED[0])):
        with pytest.raises(
            BadInput, match=r"(observation|action) space in environment Anything-v0: expected"
        ) as caught:
            _train(observations, actions, "ppo")
        assert "\n" not in str(caught.value)
        assert not Path("run").exists()


class Plain(gymnasium.Env[Any, Any]):
    """Shows zeros; what an action earns, and whether that ends it, is up to the one who makes it."""

    observation_space = spaces.Box(-1, 1, (2,))
    earn: Callable[[Any, int], float] = staticmethod(lambda action, number: 1.0)
    end: Callable[[int], tuple[bool, bool]] = staticmethod(lambda number: (False, False))
    action_space: spaces.Space[Any] = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.number = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.number += 1
        return np.zeros(2, np.float32), self.earn(action, self.number), *self.end(self.number), {}


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Return what writes the configuration of a training in ``Plain``, changed as it is told."""

    def write(agent: dict[str, Any], learner: dict[str, Any], iterations: int, **changes: Any) -> Path:
        for name, value in changes.items():
            monkeypatch.setattr(Plain, name, staticmethod(value) if callable(value) else value)
        config = {"agent": agent, "learner": learner, "environment": "Plain-v0", "iterations": iterations}
        Path("plain.yaml").write_text(json.dumps({**config, "shards": 2, "evaluation_episodes": 1}))
        return Path("plain.yaml")

    gymnasium.register("Plain-v0", Plain, max_episode_steps=50, disable_env_checker=True)
    yield write
    del gymnasium.registry["Plain-v0"]


@pytest.mark.parametrize("learner", ["ppo", "boosted"])
def test_actions_without_bounds_are_finite_and_move_to_what_pays(learner: str, plain: Any) -> None:
    box, (agent, settings) = spaces.Box(-np.inf, np.inf, (2,), np.float32), LEARNERS[learner]
    rate = {"actor_rate": 0.01, "epochs": 8} if learner == "ppo" else {"boosting": {"policy_rate": 0.1}, "epochs": 4}
    settings = {**settings, **rate, "environments": 8, "steps": 64, "batch_size": 64}
    played: list[float] = []

    def earn(action: Any, number: int) -> float:
        played.extend(np.asarray(action).tolist())
        return -float(np.square(np.asarray(action) - 3).sum())

    summary = wormwood.train(plain(agent, settings, 6, action_space=box, earn=earn), out="run")
    assert np.isfinite(played).all()
    assert -900 < summary["return_mean"] < 0  # 0 everywhere returns -900
    assert np.mean(played[-200:]) > np.mean(played[:200]) + 0.05


def test_a_reward_that_is_no_number_is_one_line_and_leaves_none(plain: Any, capsys: Any) -> None:
    agent, settings = LEARNERS["ppo"]
    file = plain(agent, settings, 9, earn=lambda action, number: float("nan") if number == 37 else 1.0)
    for words in (["train", str(file), "--out", "run"], ["train", "--resume", "--out", "run"]):
        assert main(words) == 1
        error = capsys.readouterr().err
        assert "reward is nan in environment 0 of environment Plain-v0: shard 0, iteration 4, step 37" in error
        assert "Traceback" not in error
    for kept in (path for path in Path("run").rglob("*") if path.is_file()):
        assert b"NaN" not in kept.read_bytes()


def test_nothing_follows_an_end_that_is_also_a_cut(plain: Any) -> None:
    """Five rewards of 1, discounted by 0.5: 1.9375 at the start. Without an end, 2 at every step."""
    agent, settings = LEARNERS["ppo"]
    settings = {**settings, "environments": 8, "steps": 50, "gamma": 0.5, "gae_lambda": 1.0, "batch_size": 400}
    both = {"end": lambda number: (number == 5, number == 5)}
    wormwood.train(plain(agent, settings, 1, **both), out="run")
    losses = [json.loads(line)["value_loss"] for line in Path("run", "metrics.jsonl").read_text().splitlines()]
    returns = np.array([1.9375, 1.875, 1.75, 1.5, 1.0])
    # The critic begins near 0: its first loss is the mean square of what it is to learn.
    np.testing.assert_allclose(losses[0], np.mean(returns**2), rtol=0.1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["environment=FrozenLake-v1", "environment_options.map_name=9x9"], "environment_options.map_name (KeyError"),
        (["environment=Swimmer-v5", "environment_options.xml_file=./no.xml"], "environment_options.xml_file (OSError"),
        (["environment_options.max_episode_steps=0"], "environment_options.max_episode_steps (ValueError"),
        (["environment_options.max_episode_steps=-1"], "expected a time limit"),
        (
            ["environment_wrappers=[gymnasium.wrappers:RecordVideo]"],
            "wrapper gymnasium.wrappers:RecordVideo (TypeError",
        ),
        (["environment_wrappers=[gymnasium.wrappers:TimeLimits]"], "nearest: 'TimeLimit'"),
        (["environment=gymnasium:b:C-v0"], "environment in configuration: expected an id of gymnasium"),
        (
            ["environment=nowhere:C-v0"],
            "module of nowhere:C-v0 in configuration: expected a module that can be imported",
        ),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_nothing(settings: list[str], said: str, capsys: Any) -> None:
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["train", "cartpole-mlp-ppo", *words, "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not Path("run").exists()


def test_the_status_of_a_run_needs_no_module_of_it(plain: Any, capsys: Any) -> None:
    agent, settings = LEARNERS["openai-es"]
    wormwood.train(plain(agent, settings, 1), out="run")
    for file in ("config.yaml", "agent/agent.json"):
        path = Path("run", file)
        path.write_text(path.read_text().replace("Plain-v0", "nowhere:Plain-v0"))
    assert main(["status", "run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["iteration"] == 1
    assert main(["evaluate", "run"]) == 2
    assert "Traceback" not in capsys.readouterr().err
