"""Workers play the environments that the script has: as it changed them, or not at all."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
import ray
import torch
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleEnv
from stable_baselines3 import A2C, PPO, SAC, HerReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

import wormwood
from wormwood.errors import BadInput
from wormwood.launch.distribute.environments import Change, GymnasiumVecEnv
from wormwood.launch.run.executors import InProcessExecutor

# Workers do not have the tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

SHORT: dict[str, Any] = {"n_steps": 32, "batch_size": 64, "n_epochs": 1, "seed": 0, "device": "cpu"}


class Level(gymnasium.Env[Any, Any]):
    """Rewards what it is told to; its observation counts its steps. `reset` knows no options."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,))
    action_space = spaces.Discrete(2)
    level = 1.0

    def reset(self, seed: int | None = None) -> tuple[Any, dict[str, Any]]:  # type: ignore[override]
        super().reset(seed=seed)
        self.steps = 0
        return np.array([self.level, 0.0], np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        over = self.steps >= 20
        return np.array([self.level, self.steps], np.float32), self.level, over, False, {"level": self.level}

    def raise_level(self, by: float) -> None:
        self.level += by

    def get_level(self) -> float:
        return self.level


class Optional(Level):
    """`gymnasium.make` asks for options."""

    def reset(self, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return super().reset(seed)


def _viscous() -> gymnasium.Env[Any, Any]:
    environment = gymnasium.make("Swimmer-v5")
    model: Any = environment.unwrapped
    model.model.opt.viscosity = 0.7
    return environment


def _heavy() -> gymnasium.Env[Any, Any]:
    environment = gymnasium.make("CartPole-v1")
    cart: Any = environment.unwrapped
    cart.gravity = 99.0
    return environment


def _labelled() -> gymnasium.Env[Any, Any]:
    environment = gymnasium.make("CartPole-v1")
    cart: Any = environment.unwrapped
    cart.difficulty = 3
    return environment


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_viscous, r"got 'SwimmerEnv\.model\.opt\.viscosity = 0\.7 in environment 1, made with 0\.1'"),
        (_heavy, r"got 'CartPoleEnv\.gravity = 99\.0 in environment 1, made with 9\.8'"),
        (_labelled, r"got 'CartPoleEnv\.difficulty = 3 in environment 1, made with None'"),
    ],
)
def test_environments_that_were_changed_after_they_were_made_are_refused(make: Callable[[], Any], message: str) -> None:
    plain = "Swimmer-v5" if make is _viscous else "CartPole-v1"
    vector = DummyVecEnv([lambda: gymnasium.make(plain), make])
    with pytest.raises(BadInput, match=message) as caught:
        wormwood.distribute(PPO("MlpPolicy", vector, **SHORT), workers=0)
    assert "make=, a function that makes and changes one" in str(caught.value)
    if make is _viscous:
        told = wormwood.distribute(PPO("MlpPolicy", DummyVecEnv([make] * 2), **SHORT), workers=0, make=make)
        told.learn(64)


def test_changes_are_seen_in_processes_of_their_own_too() -> None:
    vector = SubprocVecEnv([lambda: gymnasium.make("CartPole-v1"), _heavy])
    try:
        with pytest.raises(BadInput, match=r"gravity = 99\.0 in environment 1"):
            wormwood.distribute(PPO("MlpPolicy", vector, **SHORT), workers=0)
    finally:
        vector.close()


@pytest.mark.parametrize("name", ["CartPole-v1", "Swimmer-v5", "Pendulum-v1", "Acrobot-v1", "FrozenLake-v1"])
def test_environments_that_were_used_but_not_changed_are_taken(name: str) -> None:
    vector = make_vec_env(name, 2, seed=3)
    vector.reset()
    for _ in range(50):
        vector.step(np.array([vector.action_space.sample() for _ in range(2)]))
    wormwood.distribute(PPO("MlpPolicy", vector, **SHORT), workers=0)


class Curriculum(BaseCallback):
    """Raises the level of the first environment, and sets that of the others, in the middle of the second rollout."""

    def _on_step(self) -> bool:
        if self.num_timesteps == 4 * 48:
            self.training_env.env_method("raise_level", 1.5, indices=[0])
            self.training_env.set_attr("level", 7.0, indices=[1, 3])
            assert self.training_env.env_method("get_level") == [2.5, 7.0, 1.0, 7.0]
        return True


class _Forgetful(InProcessExecutor):
    """Loses all environments before each rollout, as if their worker had died."""

    def start(self, request: Any) -> Any:
        self._worker._environments.clear()
        return super().start(request)


@pytest.mark.parametrize("forgets", [False, True])
def test_a_curriculum_arrives_with_the_next_rollout_also_after_a_death(
    forgets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if forgets:
        monkeypatch.setattr("wormwood.launch.distribute.collecting.InProcessExecutor", _Forgetful)
    model: Any = wormwood.distribute(PPO("MlpPolicy", DummyVecEnv([Level] * 4), **SHORT), workers=0, make=Level)
    rewards = []

    class Watch(Curriculum):
        def _on_rollout_end(self) -> None:
            rewards.append(model.rollout_buffer.rewards.mean(axis=0).tolist())

    model.learn(4 * 32 * 4, callback=Watch())
    expected = [[1.0] * 4] * 2 + [[2.5, 7.0, 1.0, 7.0]] * 2
    np.testing.assert_allclose(rewards, expected)
    # Its environments stay changed when learning begins anew.
    model.learn(4 * 32, callback=Watch())
    np.testing.assert_allclose(rewards[-1], expected[-1])
    with pytest.raises(BadInput, match="value in set_attr: expected one that can be sent to workers"):
        model.env.set_attr("level", (each for each in "generator"))


def test_a_curriculum_arrives_in_workers() -> None:
    def learned(workers: int) -> list[float]:
        model: Any = PPO("MlpPolicy", DummyVecEnv([Level] * 4), **SHORT)
        wormwood.distribute(model, workers=workers, make=Level).learn(4 * 32 * 3, callback=Curriculum())
        rewards: list[float] = model.rollout_buffer.rewards.mean(axis=0).tolist()
        model._collector.close()
        return rewards

    assert learned(1) == learned(0) == [2.5, 7.0, 1.0, 7.0]


def test_changes_are_repeated_where_they_were_made() -> None:
    raised = cloudpickle.dumps(("raise_level", (1.0,), {}))
    original = GymnasiumVecEnv([Level], 0)
    original.restore({"run_seed": 1, "changes": [[]]})
    for _ in range(25):  # the second episode has 5 steps
        original.step([0])
    state = original.state()
    assert (state["episodes"], [len(each) for each in state["actions"]]) == ([1], [5])
    original.restore({**state, "changes": [[Change(raised, 1, 5)]]})
    original.step([0])
    after = original.state()
    assert after["observation"].tolist() == [[2.0, 6.0]]
    elsewhere = GymnasiumVecEnv([Level], 0)
    np.testing.assert_array_equal(elsewhere.restore(after), after["observation"])
    assert elsewhere.get_attr("level") == [2.0]
    # One that knows of a later change makes itself anew.
    assert original.restore(state).tolist() == [[1.0, 5.0]]
    assert original.get_attr("level") == [1.0]


def test_monitors_write_what_they_write_without_workers(tmp_path: Path) -> None:
    def rows(folder: str, *, distributed: bool) -> list[list[str]]:
        keywords = {"info_keywords": ("level",)}
        vector = make_vec_env(Level, 2, monitor_dir=str(tmp_path / folder), monitor_kwargs=keywords)
        model = PPO("MlpPolicy", vector, **SHORT)
        if distributed:
            gymnasium.register("Level-v0", Optional)
            vector = make_vec_env("Level-v0", 2, monitor_dir=str(tmp_path / folder), monitor_kwargs=keywords)
            model = wormwood.distribute(PPO("MlpPolicy", vector, **SHORT), workers=0)
        model.learn(128)
        vector.close()
        found = []
        for file in sorted((tmp_path / folder).glob("*.csv")):
            _, *lines = file.read_text().splitlines()
            found += [[row["r"], row["l"], row["level"]] for row in csv.DictReader(lines)]
        return found

    expected = rows("plain", distributed=False)
    assert expected == [["20.0", "20", "1.0"]] * 6
    assert rows("distributed", distributed=True) == expected


class Seven(ActorCriticPolicy):
    """Its values are 7 and its actions 0, which only `forward` says."""

    def forward(self, obs: Any, deterministic: bool = False) -> Any:
        actions, values, log_prob = super().forward(obs, deterministic)
        return torch.zeros_like(actions), torch.full_like(values, 7.0), log_prob


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_a_forward_of_the_policys_own_is_called(algorithm: Any) -> None:
    options = SHORT if algorithm is PPO else {"n_steps": 32, "seed": 0, "device": "cpu"}
    model: Any = wormwood.distribute(algorithm(Seven, make_vec_env("CartPole-v1", 4), **options), workers=0)
    model.learn(128)
    assert model.rollout_buffer.values.min() == model.rollout_buffer.values.max() == 7.0
    assert not model.rollout_buffer.actions.any()


class Missing(Level):
    """A sensor that is sometimes not there."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, *rest = super().step(action)
        observation[0] = np.nan if self.steps % 3 else 0.2
        return observation, *rest


def test_what_is_missing_is_the_same_as_what_is_missing() -> None:
    state: Any = {"run_seed": 3}
    one, other = GymnasiumVecEnv([Missing] * 3, 0), GymnasiumVecEnv([Missing] * 3, 0)
    one.restore(state)
    for _ in range(4):
        one.step([0, 1, 1])
    reached = one.state()
    assert np.isnan(reached["observation"]).any()
    np.testing.assert_array_equal(other.restore(reached), reached["observation"])
    assert other.state()["episodes"] == reached["episodes"]


def test_the_actions_of_a_long_episode_are_kept_and_compared_as_one_array() -> None:
    class Long(Level):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, reward, *_ = super().step(action)
            return observation, reward, False, False, {}

    vector = GymnasiumVecEnv([Long], 0)
    vector.restore({"run_seed": 3})
    played = np.random.default_rng(0).integers(2, size=1000)
    for action in played:
        vector.step([action])
    (actions,) = vector.state()["actions"]
    np.testing.assert_array_equal(actions, played)
    assert vector.restore(vector.state()).tolist() == [[1.0, 1000.0]]


class Foreign(VecEnv):
    """A vector of another library, which knows no attributes."""

    def __init__(self) -> None:
        super().__init__(2, CartPoleEnv().observation_space, CartPoleEnv().action_space)

    def reset(self) -> Any:
        return np.zeros((2, 4), np.float32)

    def step_async(self, actions: Any) -> None: ...

    def step_wait(self) -> Any:
        return np.zeros((2, 4), np.float32), np.zeros(2), np.zeros(2, bool), [{}, {}]

    def close(self) -> None: ...

    def get_attr(self, attr_name: str, indices: Any = None) -> Any:
        if attr_name == "render_mode":
            return [None, None]
        raise NotImplementedError

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None: ...

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any: ...

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Any:
        raise NotImplementedError


def test_what_workers_cannot_make_asks_for_a_function_that_does() -> None:
    her: dict[str, Any] = {"replay_buffer_class": HerReplayBuffer, "learning_starts": 20, "train_freq": 32}
    flips = SAC("MultiInputPolicy", DummyVecEnv([lambda: BitFlippingEnv(7, continuous=True)]), device="cpu", **her)
    with pytest.raises(BadInput, match=r"environment in distribute: expected .*make=.*entry_point no-entry-point"):
        wormwood.distribute(flips, workers=0)
    told: Any = wormwood.distribute(flips, workers=0, make=lambda: BitFlippingEnv(7, continuous=True))
    told.learn(300)
    assert 0 < told.replay_buffer.ep_length.max() <= 7
    with pytest.raises(BadInput, match=r"environments in distribute: expected a DummyVecEnv, .*, got 'Foreign'"):
        wormwood.distribute(PPO("MlpPolicy", Foreign(), **SHORT), workers=0)
    gymnasium.register("Mine-v0", "__main__:Mine")
    spec = gymnasium.spec("Mine-v0")
    from wormwood.launch.distribute.environments import GymnasiumRecipe, _SpecMaker

    with pytest.raises(BadInput, match=r"entry_point in distribute: expected a class, or make=.*got '__main__:Mine'"):
        GymnasiumRecipe((_SpecMaker(spec, False),)).for_workers()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"workers": -1}, "workers in distribute: expected a whole number of at least 0, got -1"),
        ({"workers": 0, "shards": 0}, "shards in distribute"),
        ({"workers": 0, "lag": 2}, "lag in distribute"),
        ({"workers": 0, "deadline": 0}, "deadline in distribute"),
        ({"workers": 0, "make": gymnasium.make("CartPole-v1")}, "make in distribute: expected a function"),
    ],
)
def test_arguments_are_checked_at_once(arguments: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        wormwood.distribute(PPO("MlpPolicy", make_vec_env("CartPole-v1", 2), **SHORT), **arguments)
    nothing: Any = PPO
    with pytest.raises(BadInput, match="model in distribute: expected a model"):
        wormwood.distribute(nothing, workers=0)
