"""Any space of gymnasium: encoded and acted in without a loss, or refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.agents.policies.acting import act_steps
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import initial_weights
from wormwood.envs.gymnasium_spaces import MOST_COLUMNS, action_space_of, flat_observation, layout_of, native_action
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.randomness import training_streams
from wormwood.envs.specs import ActionSpace
from wormwood.errors import BadInput
from wormwood.launch.run.agent_files import Agent, load_agent, save_agent

MANY = pytest.mark.parametrize("examples", [200, pytest.param(1500, marks=pytest.mark.slow)])
WHOLE = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
REAL = ["float16", "float32", "float64"]
shapes = st.lists(st.integers(0, 3), max_size=3).map(tuple)


@st.composite
def boxes(draw: Callable[..., Any]) -> spaces.Box:
    dtype, shape = np.dtype(draw(st.sampled_from([*WHOLE, *REAL, "bool"]))), draw(shapes)
    if dtype.kind == "b":
        return spaces.Box(0, 1, shape, dtype)  # type: ignore[arg-type]
    if dtype.kind == "f":
        # Without -0.0, which gymnasium does not sample up to. What is learned is kept in 32 bits.
        widest = st.floats(-1e38, 1e38) | st.sampled_from([-np.inf, np.inf])
        narrow = st.floats(width=8 * min(4, dtype.itemsize), allow_nan=False)  # type: ignore[arg-type]
        numbers = (widest if dtype.itemsize == 8 else narrow).map(lambda number: number + 0.0)
    else:
        most = min(int(np.iinfo(dtype).max), 2**63 - 2)  # gymnasium samples no more
        numbers = st.integers(int(np.iinfo(dtype).min), most)
    ends = [sorted(draw(st.tuples(numbers, numbers))) for _ in range(int(np.prod(shape)))]
    low, high = (np.array([end[side] for end in ends], dtype).reshape(shape) for side in (0, 1))
    if dtype.kind == "f":  # gymnasium takes no bound below that is inf, and the other way round
        low, high = np.where(low == np.inf, -np.inf, low), np.where(high == -np.inf, np.inf, high)
    return spaces.Box(low.astype(dtype), high.astype(dtype), shape, dtype)  # type: ignore[arg-type]


@st.composite
def discretes(draw: Callable[..., Any]) -> spaces.Discrete[Any]:
    dtype = np.dtype(draw(st.sampled_from([name for name in WHOLE if name != "uint64"])))
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    count = draw(st.integers(1, min(300, high)))
    return spaces.Discrete(count, start=draw(st.integers(low, high - count)), dtype=dtype.type)


@st.composite
def multi_discretes(draw: Callable[..., Any]) -> spaces.MultiDiscrete:
    dtype, shape = np.dtype(draw(st.sampled_from(WHOLE[:-1]))), draw(shapes.filter(lambda shape: len(shape) > 0))
    low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    size = int(np.prod(shape))
    counts = [draw(st.integers(1, 9)) for _ in range(size)]
    starts = [draw(st.integers(low, high - count)) for count in counts]
    shaped = (np.array(values, dtype).reshape(shape) for values in (counts, starts))
    nvec, start = shaped
    return spaces.MultiDiscrete(nvec, dtype=dtype.type, start=start)  # type: ignore[arg-type]


binaries = st.one_of(st.integers(1, 5), shapes.filter(lambda s: len(s) > 0 and all(s))).map(spaces.MultiBinary)
texts = st.integers(1, 4).map(lambda length: spaces.Text(length, charset="abcXYZ"))
of_actions = st.one_of(boxes(), discretes(), multi_discretes(), binaries)
odd = st.one_of(
    discretes().map(spaces.Sequence),
    boxes().map(lambda box: spaces.Graph(box, None)),
    boxes().map(lambda box: spaces.Sequence(box, stack=True)),
)


def _nested(inner: Any) -> Any:
    return st.one_of(
        st.lists(inner, max_size=3).map(spaces.Tuple),
        st.dictionaries(st.sampled_from("abcd"), inner, max_size=3).map(spaces.Dict),
        st.lists(inner, min_size=1, max_size=3).map(spaces.OneOf),
    )


of_observations = st.recursive(st.one_of(of_actions, texts), _nested, max_leaves=6)
of_any_kind = st.recursive(st.one_of(of_actions, texts, odd), _nested, max_leaves=6)


def _same(space: spaces.Space[Any], one: Any, other: Any) -> bool:
    """Compare two values of a space: numbers as 64-bit floats, in which all is learned."""
    if isinstance(space, spaces.Dict):
        return set(one) == set(other) and all(_same(part, one[key], other[key]) for key, part in space.items())
    if isinstance(space, spaces.Tuple):
        return len(one) == len(other) and all(map(_same, space.spaces, one, other))
    if isinstance(space, spaces.OneOf):
        return int(one[0]) == int(other[0]) and _same(space.spaces[int(one[0])], one[1], other[1])
    if isinstance(space, spaces.Text):
        return bool(one == other)
    return np.array_equal(np.asarray(one, np.float64), np.asarray(other, np.float64))


def _has(space: spaces.Space[Any], kinds: tuple[type, ...]) -> bool:
    if isinstance(space, spaces.Dict | spaces.Tuple | spaces.OneOf):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        return any(_has(part, kinds) for part in parts)
    return isinstance(space, kinds)


def _decoded(space: spaces.Space[Any], row: Any) -> Any:
    """Return the observation that a row says, written apart from what makes rows."""
    if isinstance(space, spaces.Dict):
        return dict(zip(space.spaces, _decoded(spaces.Tuple(space.spaces.values()), row), strict=True))
    if isinstance(space, spaces.Tuple):
        ends = np.cumsum([spaces.flatdim(part) for part in space.spaces], dtype=int)
        return tuple(map(_decoded, space.spaces, np.split(row, ends[:-1]) if len(ends) else ()))
    if isinstance(space, spaces.OneOf):
        part = space.spaces[int(row[0])]
        return int(row[0]), _decoded(part, row[1 : 1 + spaces.flatdim(part)])
    if isinstance(space, spaces.Discrete):
        return int(np.flatnonzero(row).item()) + int(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        counts = space.nvec.ravel().astype(int)
        ones = np.split(row, np.cumsum(counts)[:-1]) if len(counts) else []
        chosen = np.array([np.flatnonzero(part).item() for part in ones], dtype=np.int64)
        return chosen.reshape(space.shape) + space.start.astype(np.int64)
    text = isinstance(space, spaces.Text)
    return spaces.unflatten(space, row.astype(int)) if text else row.reshape(space.shape)


@MANY
def test_observations_are_encoded_without_a_loss_or_their_space_is_refused(examples: int) -> None:
    @settings(max_examples=examples)
    @given(of_any_kind, st.integers(0, 2**31))
    def check(space: spaces.Space[Any], seed: int) -> None:
        space.seed(seed)
        try:
            layout = layout_of(space, where="here")
        except BadInput as error:
            assert "\n" not in str(error)
            assert _has(space, (spaces.Graph, spaces.Sequence)) or spaces.flatdim(space) == 0
            return
        assert not _has(space, (spaces.Graph, spaces.Sequence))
        observation = space.sample()
        row = flat_observation(space, observation, where="here")
        assert row.shape == (layout.size,) == (spaces.flatdim(space),)
        assert row.dtype == np.float64
        assert _same(space, _decoded(space, row), observation)

    check()


@MANY
def test_actions_are_in_their_space_and_every_native_one_can_be_taken(examples: int) -> None:
    @settings(max_examples=examples)
    @given(of_actions, st.integers(0, 2**31), st.sampled_from([1.0, 1e3, 1e20, 1e300, np.inf]))
    def check(space: spaces.Space[Any], seed: int, scale: float) -> None:
        space.seed(seed)
        try:
            actions = action_space_of(space, where="here")
        except BadInput:
            assert int(np.prod(space.shape or ())) == 0
            return
        rng = np.random.default_rng(seed)
        if actions.choices:
            drawn = rng.integers(0, actions.choices)
            native = native_action(space, drawn)
            back = (np.asarray(native, dtype=np.int64) - np.asarray(getattr(space, "start", 0), np.int64)).ravel()
            assert back.tolist() == drawn.tolist()
        else:
            drawn = actions.clip(rng.choice([-1.0, 1.0], actions.size) * rng.uniform(0, 1, actions.size) * scale)
            native = native_action(space, drawn)
            assert np.isfinite(np.asarray(native, dtype=np.float64)).all()
            for end in (space.low, space.high):  # type: ignore[attr-defined]
                reached = native_action(space, end.ravel().astype(np.float64))
                most = np.finfo(end.dtype).max if end.dtype.kind == "f" else None
                wanted = end if most is None else np.clip(end, -most, most)
                exact = np.abs(end.astype(float)) < 2**53  # floats do not have all of 64 bits
                assert np.array_equal(reached[exact], wanted[exact]) or end.dtype.kind == "f"
                assert np.array_equal(reached, wanted) or end.dtype.kind != "f"
            if space.dtype.kind != "f":  # type: ignore[union-attr]
                assert (np.abs(np.asarray(native, float).ravel() - drawn) <= 0.5 + 1e-9 * np.abs(drawn)).all()
        assert space.contains(native)
        sample = space.sample()
        if actions.choices:
            encoded = (np.asarray(sample, np.int64) - np.asarray(getattr(space, "start", 0), np.int64)).reshape(-1)
        else:
            encoded = np.asarray(sample, np.float64).reshape(-1)
        if np.asarray(sample).dtype.itemsize < 8 or actions.choices:
            assert np.array_equal(native_action(space, encoded), sample)

    check()


class Anything(gymnasium.Env[Any, Any]):
    """Shows samples of a space, and asserts that actions are of another."""

    def __init__(self, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        return self.observation_space.sample(), 1.0, False, False, {}


@MANY
def test_agents_act_in_any_space_and_act_the_same_after_they_were_exported(examples: int, tmp_path: Any) -> None:
    @settings(max_examples=examples)
    @given(of_observations, of_actions, st.sampled_from([MLPConfig(hidden=(3,)), ForestConfig()]), st.integers(0, 99))
    def check(observations: Any, actions: Any, config: Any, seed: int) -> None:
        gymnasium.register(
            "Anything-v0", lambda: Anything(observations, actions), max_episode_steps=3, disable_env_checker=True
        )
        try:
            spec = GymnasiumSpec("Anything-v0")
            _ = spec.layout
        except BadInput as error:
            assert "\n" not in str(error)
            return
        finally:
            entry = gymnasium.registry.pop("Anything-v0")
        gymnasium.registry["Anything-v0"] = entry
        try:
            weights = initial_weights(config, spec, np.random.default_rng(seed))
            if config.kind == "mlp":
                weights["layer1_bias"] = weights["layer1_bias"] + np.linspace(-2, 2, spec.actions.outputs)
            save_agent(tmp_path / "agent", Agent("any", config, weights, spec))
            loaded = load_agent(str(tmp_path / "agent"))
            assert loaded.spec == spec
            played = []
            for agent in (Agent("any", config, weights, spec), loaded):
                simulation = spec.simulate(2, streams=training_streams(seed))
                simulation.reset()
                steps = act_steps(agent.policy(spec), simulation, spec.actions)
                with np.errstate(over="ignore", invalid="ignore"):  # of an observation of 1e308
                    played.append([next(steps).action for _ in range(4)])
            assert np.array_equal(played[0], played[1], equal_nan=True)
        finally:
            del gymnasium.registry["Anything-v0"]

    check()


def test_whole_numbers_are_rounded_so_that_both_ends_are_reached() -> None:
    space = spaces.Box(-1, 1, (3,), np.int32)
    assert action_space_of(space, where="here") == ActionSpace((-1.0,) * 3, (1.0,) * 3)
    assert native_action(space, np.array([0.9, -0.9, 0.4])).tolist() == [1, -1, 0]
    largest = spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max - 1, (2,), np.int64)
    assert native_action(largest, np.array([-np.inf, 1e30])).tolist() == [largest.low[0], largest.high[0]]
    unbounded = native_action(spaces.Box(-np.inf, np.inf, (2,), np.float32), np.array([3.0, 1e300]))
    assert unbounded.tolist() == [3.0, float(np.finfo(np.float32).max)]


def test_choices_in_two_dimensions_have_each_their_own_range() -> None:
    space = spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, 3]])
    assert action_space_of(space, where="here").choices == (2, 3, 4, 5)
    native = native_action(space, np.array([1, 2, 3, 4]))
    assert native.tolist() == [[1, 3], [5, 7]]
    assert flat_observation(space, native, where="here").tolist() == [0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (spaces.Discrete(3, start=1), 0, "IndexError: no such choice as .-1., counted from 0"),
        (spaces.Discrete(3), 1.5, "ValueError: 1.5 is no whole number"),
        (spaces.MultiDiscrete([2, 2]), [0, 2], "IndexError"),
        (spaces.MultiDiscrete([2, 2]), [0], r"shape \(1,\)"),
        (spaces.Box(0, 1, (2,)), 0.5, r"shape \(\)"),
        (spaces.Box(0, 255, (1,), np.uint8), [300], "OverflowError|values that uint8 does not have"),
        (spaces.Box(0, 255, (1,), np.uint8), np.array([300]), "values that uint8 does not have"),
        (spaces.Box(0, 9, (1,), np.int32), [0.5], "values that int32 does not have"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"b": 1}, "KeyError"),
        (spaces.Tuple([spaces.Discrete(2)]), (1, 1), "ValueError"),
        (spaces.OneOf([spaces.Discrete(2)]), (1, 1), "no such alternative as 1"),
        (spaces.Text(2, charset="ab"), "aba", "IndexError"),
        (spaces.Text(2, charset="ab"), "c", "KeyError"),
        (spaces.Box(0, 1, (2,)), None, "TypeError|shape"),
    ],
)
def test_an_observation_outside_its_space_is_refused(space: Any, observation: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        flat_observation(space, observation, where="environment X-v0")
    assert "\n" not in str(caught.value)


class Own(spaces.Space[Any]):
    """A space of somebody's own."""


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (spaces.Dict({"a": spaces.Tuple([spaces.Sequence(spaces.Discrete(2))])}), "one that can be flattened"),
        (spaces.Graph(spaces.Discrete(2), None), "one that can be flattened"),
        (spaces.Tuple([Own()]), "one that can be flattened"),
        (Own(), "one that can be flattened"),
        (spaces.Tuple([]), f"expected 1 to {MOST_COLUMNS} numbers.* got '0 of"),
        (spaces.Discrete(2**40), f"expected 1 to {MOST_COLUMNS} numbers"),
        (spaces.MultiDiscrete([2**31 - 1] * 4), f"expected 1 to {MOST_COLUMNS} numbers"),
    ],
)
def test_spaces_that_cannot_be_observed_are_refused(space: Any, message: str) -> None:
    with pytest.raises(BadInput, match=rf"observation space in X: .*{message}") as caught:
        layout_of(space, where="X")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(2**40),
        spaces.Box(0, 1, (0,)),
        spaces.Dict({"a": spaces.Discrete(2)}),
        spaces.Tuple([spaces.Discrete(2)]),
        spaces.OneOf([spaces.Discrete(2)]),
        spaces.Text(3),
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Graph(spaces.Discrete(2), None),
        Own(),
    ],
)
def test_spaces_that_cannot_be_acted_in_are_refused(space: Any) -> None:
    with pytest.raises(BadInput, match="action space in X: expected") as caught:
        action_space_of(space, where="X")
    assert "\n" not in str(caught.value)
