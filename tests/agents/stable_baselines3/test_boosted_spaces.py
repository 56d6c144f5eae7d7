"""Random spaces through BoostedPPO: learned from without a loss, or refused when the model is built."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv

from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.stable_baselines3.boosted import BoostedPPO
from wormwood.errors import BadInput
from wormwood.trees.config import TreeConfig

MANY = pytest.mark.parametrize("examples", [pytest.param(2500, marks=pytest.mark.slow)])
AGENT = ForestConfig(tree=TreeConfig(max_depth=2, max_bins=8))
shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)


@st.composite
def boxes(draw: Callable[..., Any]) -> spaces.Box:
    dtype = np.dtype(draw(st.sampled_from(["int8", "int32", "int64", "uint8", "float32", "float64"])))
    shape = draw(shapes)
    if dtype.kind == "f" and draw(st.booleans()):
        return spaces.Box(-np.inf, np.inf, shape, dtype)  # type: ignore[arg-type]
    low = draw(st.integers(0 if dtype.kind == "u" else -100, 100))
    return spaces.Box(low, low + draw(st.integers(1, 20)), shape, dtype)  # type: ignore[arg-type]


discretes = st.builds(lambda n, start: spaces.Discrete(n, start=start), st.integers(1, 400), st.integers(-50, 50))
multi_discretes = st.lists(st.tuples(st.integers(1, 9), st.integers(-9, 9)), min_size=1, max_size=3).map(
    lambda pairs: spaces.MultiDiscrete([n for n, _ in pairs], start=[start for _, start in pairs])
)
binaries = st.one_of(st.integers(1, 4).map(spaces.MultiBinary), shapes.filter(len).map(spaces.MultiBinary))
plain = st.one_of(boxes(), discretes, multi_discretes, binaries)
dictionaries = st.dictionaries(st.sampled_from("abcd"), plain, min_size=1, max_size=3).map(spaces.Dict)
refused_by_sb3 = st.one_of(
    st.tuples(plain).map(spaces.Tuple), st.builds(lambda each: spaces.Dict(a=each), dictionaries)
)
observed = st.one_of(plain, dictionaries, plain, dictionaries, refused_by_sb3)
acted = st.one_of(boxes(), discretes, multi_discretes, boxes(), discretes, multi_discretes, binaries)


class Drawn(gymnasium.Env[Any, Any]):
    """Shows samples of a space and takes only actions of another; episodes have 5 steps."""

    def __init__(self, seen: spaces.Space[Any], acts: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space, self.t = seen, acts, 0
        seen.seed(0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (action, self.action_space)
        self.t += 1
        return self.observation_space.sample(), float(self.t), False, self.t == 5, {}


def _flat(space: spaces.Space[Any], observation: Any) -> list[float]:
    """Return the numbers of an observation, written apart from what makes rows."""
    if isinstance(space, spaces.Dict):
        return [number for key, part in space.items() for number in _flat(part, observation[key])]
    numbers: list[float] = np.asarray(observation, np.float64).ravel().tolist()
    return numbers


@MANY
def test_any_space_is_learned_from_or_refused_when_the_model_is_built(examples: int) -> None:
    torch.set_num_threads(1)
    learned = []

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(observed, acted)
    def check(seen: spaces.Space[Any], acts: spaces.Space[Any]) -> None:
        try:
            environments = DummyVecEnv([lambda: Drawn(seen, acts)])
            model = BoostedPPO(
                environments, n_steps=6, batch_size=6, n_epochs=1, seed=0, policy_kwargs={"agent": AGENT}
            )
        except (AssertionError, NotImplementedError, BadInput) as refused:  # SB3's own words, or ours
            nests = isinstance(seen, spaces.Tuple) or "Nested" in str(refused)
            unbounded = isinstance(acts, spaces.Box) and not acts.is_bounded()
            assert nests or unbounded or isinstance(acts, spaces.MultiBinary), refused
            return
        model.learn(12)
        observation = seen.sample()
        batched = (
            {key: each[None] for key, each in observation.items()} if isinstance(seen, spaces.Dict) else observation
        )
        row = model.policy.encode(model.policy.obs_to_tensor(batched)[0])[0]
        np.testing.assert_allclose(row, _flat(seen, observation), rtol=1e-6)
        action = model.predict(observation, deterministic=True)[0]
        assert acts.contains(action.item() if isinstance(acts, spaces.Discrete) else action), action
        file = io.BytesIO()
        model.save(file)
        file.seek(0)
        again = BoostedPPO.load(file).predict(observation, deterministic=True)[0]
        np.testing.assert_array_equal(again, action)
        learned.append(seen)

    check()
    assert len(learned) > examples / 5
