from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from wormwood.envs.gymnasium_spec import GymnasiumSpec, ReplayedEnvironments
from wormwood.envs.randomness import training_streams
from wormwood.envs.specs import ActionSpace
from wormwood.errors import BadInput

STREAMS = training_streams(5)


class Mixed(gymnasium.Env[Any, Any]):
    """Observes its last action and the time, as a dictionary; ``drift`` adds what no seed decides."""

    observation_space = spaces.Dict(
        {"action": spaces.Box(-9, 9, (2,)), "time": spaces.Discrete(20)},
    )
    action_space = spaces.MultiDiscrete([2, 3], start=[1, -1])
    drift = 0

    def __init__(self, *, is_drifting: bool = False, ends_at: int = 19) -> None:
        self.is_drifting, self.ends_at = is_drifting, ends_at

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.time, self.last = 0, np.zeros(2, dtype=np.float32)
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        Mixed.drift += self.is_drifting
        self.time += 1
        self.last = np.array(action, dtype=np.float32) + Mixed.drift / 1000
        return self._observe(), float(self.time), self.time == self.ends_at, False, {}

    def _observe(self) -> dict[str, Any]:
        return {"action": self.last, "time": self.time}


@pytest.fixture(autouse=True)
def _mixed() -> Iterator[None]:
    gymnasium.register("Mixed-v0", Mixed, max_episode_steps=12, disable_env_checker=True)
    yield
    del gymnasium.registry["Mixed-v0"]


def _simulate(spec: GymnasiumSpec, count: int = 3) -> ReplayedEnvironments:
    return spec.simulate(count, streams=STREAMS, first=7)


def _play(simulation: ReplayedEnvironments, steps: int, seed: int = 0) -> list[Any]:
    """Play random actions, each a function of the step alone, and return all that was seen."""
    rng, seen = np.random.default_rng(seed), []
    actions = simulation.spec.actions
    for _ in range(steps):
        if actions.choices:
            action = rng.integers(0, actions.choices, size=(simulation.count, actions.size))
        else:
            action = rng.uniform(actions.low, actions.high, size=(simulation.count, actions.size))
        step = simulation.step(action)
        seen.append((step.observation, step.reward, step.terminated, step.truncated, step.final_observation))
    return seen


def _assert_same(one: list[Any], other: list[Any]) -> None:
    assert len(one) == len(other)
    for ours, theirs in zip(one, other, strict=True):
        for left, right in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(left, right)


def test_spaces_are_described() -> None:
    cart_pole, pendulum, mixed = (GymnasiumSpec(name) for name in ("CartPole-v1", "Pendulum-v1", "Mixed-v0"))
    assert (cart_pole.layout.size, cart_pole.actions, cart_pole.horizon) == (4, ActionSpace(choices=(2,)), 500)
    assert (pendulum.layout.size, pendulum.actions, pendulum.horizon) == (3, ActionSpace((-2.0,), (2.0,)), 200)
    assert (mixed.layout.size, mixed.actions, mixed.horizon) == (22, ActionSpace(choices=(2, 3)), 12)
    assert (mixed.actions.size, mixed.actions.outputs, mixed.actions.dtype) == (2, 5, np.int64)
    assert (cart_pole.name, cart_pole.label) == ("environment CartPole-v1", "CartPole-v1")


def test_a_single_episode_is_gymnasiums_own() -> None:
    simulation, reference = _simulate(GymnasiumSpec("CartPole-v1"), 1), gymnasium.make("CartPole-v1")
    seed = int(STREAMS("reset", 7, 0).integers(2**31))
    np.testing.assert_array_equal(simulation.reset()[0], reference.reset(seed=seed)[0])
    for _ in range(500):
        observation, reward, terminated, truncated, _ = reference.step(1)
        step = simulation.step(np.array([[1]]))
        np.testing.assert_array_equal(step.final_observation[0], observation)
        assert (step.reward[0], step.terminated[0], step.truncated[0]) == (reward, terminated, truncated)
        if terminated:
            break
    assert step.ended_by.tolist() == [3]
    assert simulation.steps.tolist() == [0]
    second = int(STREAMS("reset", 7, 1).integers(2**31))
    np.testing.assert_array_equal(step.observation[0], reference.reset(seed=second)[0])


def test_actions_of_several_choices_arrive_with_the_start_of_each() -> None:
    simulation = _simulate(GymnasiumSpec("Mixed-v0"), 2)
    simulation.reset()
    step = simulation.step(np.array([[0, 2], [1, 0]]))
    assert step.observation[:, :2].tolist() == [[1, 1], [2, -1]]
    assert step.observation[:, 2:].argmax(axis=1).tolist() == [1, 1]


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Mixed-v0"])
@pytest.mark.parametrize("steps", [0, 5, 12, 30])
def test_an_episode_goes_on_elsewhere_as_if_it_had_not_moved(name: str, steps: int) -> None:
    spec = GymnasiumSpec(name)
    here, there = _simulate(spec), _simulate(spec)
    here.reset()
    _play(here, steps)
    there.reset()
    _play(there, 3, seed=9)  # whatever it did before does not matter
    state = {name: values.copy() for name, values in here.state().items()}
    assert not there.restore(state).any()
    np.testing.assert_array_equal(there.observation, here.observation)
    assert there.steps.tolist() == here.steps.tolist()
    _assert_same(_play(there, 25, seed=1), _play(here, 25, seed=1))


def test_an_end_that_is_also_a_cut_is_an_end() -> None:
    simulation = _simulate(GymnasiumSpec("Mixed-v0", {"ends_at": 12}))  # where its time is over, too
    simulation.reset()
    seen = _play(simulation, 12)
    assert seen[-1][2].all()
    assert not seen[-1][3].any()


def test_environments_that_stand_there_already_are_not_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = _simulate(GymnasiumSpec("CartPole-v1"))
    simulation.reset()
    _play(simulation, 30)
    monkeypatch.setattr(simulation, "_replay", lambda *_: pytest.fail("played again"))
    assert not simulation.restore(simulation.state()).any()


def test_an_episode_that_cannot_be_repeated_is_lost_and_said_to_be() -> None:
    spec = GymnasiumSpec("Mixed-v0", {"is_drifting": True})
    here, there = _simulate(spec), _simulate(spec)
    here.reset()
    _play(here, 5)
    lost = there.restore(here.state())
    assert lost.all()
    assert there.steps.tolist() == [0, 0, 0]
    assert there.state()["episodes"].tolist() == (here.state()["episodes"] + 1).tolist()
    # The new episode is the next one of its environment, and the observation is of its start.
    np.testing.assert_array_equal(there.observation[:, :3], [[0, 0, 1]] * 3)


def test_an_episode_that_ends_earlier_when_repeated_is_lost() -> None:
    here, there = _simulate(GymnasiumSpec("Mixed-v0")), _simulate(GymnasiumSpec("Mixed-v0", {"ends_at": 3}))
    here.reset()
    _play(here, 5)
    assert there.restore(here.state()).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("CartPol-v1", {}, "Did you mean: `CartPole`.* in configuration: expected an id .*nearest: 'CartPole-v1'"),
        ("nothing:Nothing-v0", {}, "No module named 'nothing'.*expected an id that gymnasium knows"),
        (
            "CartPole-v1",
            {"sutton_barto_reward": True, "colour": 3},
            r"environment_options\.colour \(TypeError: .*unexpected keyword argument 'colour'.* expected .*, got 3",
        ),
    ],
)
def test_what_cannot_be_made_is_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        _ = GymnasiumSpec(name, options).layout
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("FrozenLake-v1", {"is_slippery": True, "map_name": "9x9"}, r"\.map_name \(KeyError: '9x9'\)"),
        ("Swimmer-v5", {"xml_file": "./missing.xml", "frame_skip": 2}, r"\.xml_file \(OSError: .*missing\.xml"),
        ("Swimmer-v5", {"xml_file": "/dev/null"}, r"\.xml_file"),
        ("Swimmer-v5", {"xml_file": "/dev/zero"}, r"\.xml_file"),
        ("Swimmer-v5", {"xml_file": __file__}, r"\.xml_file \(ValueError"),
        ("CartPole-v1", {"max_episode_steps": 0}, r"\.max_episode_steps \(ValueError: .* positive, actually: 0\)"),
        ("CartPole-v1", {"max_episode_steps": 2.5}, r"\.max_episode_steps \(TypeError: .* integer"),
        ("CartPole-v1", {"entry_point": "os:system", "sutton_barto_reward": True}, r"\.entry_point \(TypeError: .*"),
        ("CartPole-v1", {"id": "os:system"}, r"\.id \(TypeError: .*multiple values for argument 'id'"),
        ("Blackjack-v1", {"sab": 1, "nat": True, "natural": 2}, r"\.nat \(TypeError"),
        ("Strict-v0", {"least": 3}, r"\.least \(SystemExit: 3\)"),
        ("Strict-v0", {"least": -1}, r"\.least \(ZeroDivisionError: .*"),
    ],
)
def test_whatever_a_constructor_raises_is_one_line_that_names_the_option(name: str, options: Any, message: str) -> None:
    def strict(least: int) -> gymnasium.Env[Any, Any]:
        if least < 0:
            raise ZeroDivisionError("least\nis\nless")
        raise SystemExit(least)

    gymnasium.register("Strict-v0", strict)
    try:
        with pytest.raises(BadInput, match=rf"environment(_options)?{message}.* in configuration: expected") as caught:
            GymnasiumSpec(name, options).make()
    finally:
        del gymnasium.registry["Strict-v0"]
    assert "\n" not in str(caught.value)


def test_workers_have_to_find_the_environment_too() -> None:
    for name in ("CartPole-v1", "CartPole", "wormwood.envs:Swim6-v0", "minigrid:MiniGrid-Empty-5x5-v0", "own:Own-v0"):
        GymnasiumSpec(name).require_importable()
    gymnasium.register("Text-v0", "__main__:Mine")
    try:
        for name in ("Text-v0", "__main__:Text-v0", "Mixed-v0"):
            with pytest.raises(BadInput, match=r"train with workers: expected module:.*-v0, whose module"):
                GymnasiumSpec(name).require_importable(["__main__", "own"])
        GymnasiumSpec("Mixed-v0").require_importable([Mixed.__module__])
    finally:
        del gymnasium.registry["Text-v0"]


def test_wrappers_are_put_around_it() -> None:
    spec = GymnasiumSpec("Mixed-v0", wrappers=("gymnasium.wrappers:FlattenObservation",))
    assert isinstance(spec.make(), gymnasium.wrappers.FlattenObservation)
    assert (spec.layout.size, spec.horizon) == (22, 12)


def test_the_time_limit_of_an_environment_counts_that_keeps_it_to_itself() -> None:
    Mixed.max_steps = 17  # type: ignore[attr-defined] # as MiniGrid does
    gymnasium.register("Own-v0", Mixed, disable_env_checker=True)
    try:
        assert GymnasiumSpec("Own-v0").horizon == 17
    finally:
        del Mixed.max_steps  # type: ignore[attr-defined]
        del gymnasium.registry["Own-v0"]


def test_an_environment_without_a_time_limit_has_no_horizon() -> None:
    gymnasium.register("Endless-v0", Mixed)
    try:
        with pytest.raises(
            BadInput, match=r"expected a time limit, such as environment_options.max_episode_steps=1000"
        ):
            _ = GymnasiumSpec("Endless-v0").horizon
        assert GymnasiumSpec("Endless-v0", {"max_episode_steps": 8}).horizon == 8
    finally:
        del gymnasium.registry["Endless-v0"]


def test_spaces_that_policies_cannot_take_are_refused() -> None:
    class Odd(Mixed):
        action_space = spaces.Dict({"a": spaces.Discrete(2)})  # type: ignore[assignment]

    class Odder(Mixed):
        observation_space = spaces.Sequence(spaces.Discrete(2))  # type: ignore[assignment]

    for kind, what in ((Odd, "action space"), (Odder, "observation space")):
        gymnasium.register("Odd-v0", kind, max_episode_steps=3, disable_env_checker=True)
        with pytest.raises(BadInput, match=rf"{what} in environment Odd-v0"):
            _ = GymnasiumSpec("Odd-v0").actions
        del gymnasium.registry["Odd-v0"]
