"""What users of Stable-Baselines3 expect of any algorithm, asked of boosted ones."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import (
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor, VecNormalize

import wormwood
from wormwood.agents.stable_baselines3.boosted import BoostedA2C, BoostedAWR, BoostedPPO
from wormwood.agents.stable_baselines3.boosted_dqn import BoostedDQN
from wormwood.agents.stable_baselines3.boosted_sac import BoostedSAC
from wormwood.errors import BadInput

EACH = pytest.mark.parametrize("algorithm", [BoostedPPO, BoostedA2C, BoostedAWR])
NUMBERS, TWO = spaces.Box(-1, 1, (3,)), spaces.Box(-2, 1, (2,))
SEEN: dict[str, spaces.Space[Any]] = {
    "numbers": NUMBERS,
    "doubles": spaces.Box(-np.inf, np.inf, (2,), np.float64),
    "bytes": spaces.Box(0, 255, (2, 2), np.uint8),
    "table": spaces.Box(-1, 1, (2, 3)),
    "choice": spaces.Discrete(4, start=-1),
    "choices": spaces.MultiDiscrete([4, 3]),
    "bits": spaces.MultiBinary(5),
    "table of bits": spaces.MultiBinary([3, 2]),
    "dictionary": spaces.Dict({"a": NUMBERS, "b": spaces.Discrete(3, start=2), "c": spaces.MultiBinary(2)}),
}


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


class Drawn(gymnasium.Env[Any, Any]):
    """Shows samples of a space and takes only actions of another; episodes have 8 steps."""

    def __init__(self, seen: spaces.Space[Any], acts: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = seen, acts

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.t += 1
        return self.observation_space.sample(), float(np.mean(action)), False, self.t == 8, {"steps": self.t}


def _envs(seen: spaces.Space[Any] = NUMBERS, acts: spaces.Space[Any] = TWO, count: int = 2) -> DummyVecEnv:
    make: Callable[[], Any] = lambda: Drawn(seen, acts)  # noqa: E731
    return DummyVecEnv([make] * count)


def _model(algorithm: Any, env: Any = None, **options: Any) -> Any:
    sizes = {} if algorithm is BoostedA2C else {"batch_size": 16, "n_epochs": 1}
    return algorithm(env or _envs(), **({"n_steps": 16, "seed": 3} | sizes | options))


def _leaves(model: Any) -> Any:
    return model.policy.actor_critic.forest_arrays()["policy/leaves"]


@EACH
def test_the_seed_decides_everything(algorithm: Any) -> None:
    first, again, other = (_model(algorithm, seed=seed).learn(96) for seed in (3, 3, 4))
    np.testing.assert_array_equal(_leaves(first), _leaves(again))
    assert not np.array_equal(_leaves(first), _leaves(other))
    played = []
    for model in (first, again):
        set_random_seed(0)
        observation = model.get_env().reset()
        played.append([model.predict(observation)[0] for _ in range(5)])
        assert np.ptp(played[-1], axis=0).any(axis=-1).all()
    assert first.num_timesteps == 96


@EACH
@pytest.mark.parametrize("name", SEEN)
def test_observations_of_any_kind_are_learned_from(algorithm: Any, name: str, tmp_path: Path) -> None:
    model = _model(algorithm, _envs(SEEN[name])).learn(32)
    observation = model.get_env().reset()
    together, state = model.predict(observation, deterministic=True)
    assert (together.shape, state) == ((2, 2), None)
    for row, action in enumerate(together):
        seen = {key: each[row] for key, each in observation.items()} if name == "dictionary" else observation[row]
        alone, _ = model.predict(seen, deterministic=True)
        assert alone.shape == (2,)
        np.testing.assert_allclose(alone, action, atol=1e-6)
    assert all(model.action_space.contains(action) for action in model.predict(observation)[0])
    model.save(tmp_path / "m")
    loaded = algorithm.load(tmp_path / "m", env=_envs(SEEN[name]))
    np.testing.assert_array_equal(loaded.predict(observation, deterministic=True)[0], together)
    assert loaded.learn(32, reset_num_timesteps=False).num_timesteps == 64


@EACH
def test_parameters_and_policies_go_from_one_model_to_another(algorithm: Any, tmp_path: Path) -> None:
    model = _model(algorithm).learn(64)
    model.save(tmp_path / "m", exclude=["ep_info_buffer"])
    model.policy.save(tmp_path / "p")
    fresh = _model(algorithm, seed=9)
    fresh.set_parameters(model.get_parameters(), exact_match=True)
    alone = type(model.policy).load(tmp_path / "p")
    again = _model(algorithm, seed=8)
    again.set_parameters(str(tmp_path / "m"))
    observation = model.get_env().reset()
    for other in (fresh, alone, again):
        np.testing.assert_array_equal(
            other.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
        )
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        algorithm.load(tmp_path / "m", env=_envs(spaces.Box(-1, 1, (4,))))
    with pytest.raises(ValueError, match="Action spaces do not match"):
        algorithm.load(tmp_path / "m", env=_envs(acts=spaces.Discrete(2)))
    with pytest.raises(ValueError, match="observation shape"):
        model.predict(np.zeros((2, 5), np.float32))


@EACH
def test_callbacks_and_monitors_see_it_as_any_other(algorithm: Any, tmp_path: Path) -> None:
    model = _model(algorithm, VecMonitor(_envs(), str(tmp_path / "log"), info_keywords=("steps",)))
    saves = CheckpointCallback(1, str(tmp_path), "at")
    evaluate = EvalCallback(VecMonitor(_envs(count=1)), best_model_save_path=str(tmp_path), eval_freq=10, verbose=0)
    stop = StopTrainingOnMaxEpisodes(max_episodes=3)
    model.learn(10_000, callback=CallbackList([EveryNTimesteps(16, saves), evaluate, stop]))
    assert model.num_timesteps == 2 * 3 * 8
    assert sorted(file.name for file in tmp_path.glob("at_*")) == [f"at_{t}_steps.zip" for t in (16, 32, 48)]
    best = algorithm.load(tmp_path / "best_model")
    assert np.isfinite(evaluate_policy(best, model.get_env(), n_eval_episodes=2)[0])
    _, names, *rows = (tmp_path / "log.monitor.csv").read_text().splitlines()
    assert names == "r,l,t,steps"
    assert [row.split(",")[1] for row in rows[:6]] == ["8"] * 6
    model.learn(64, callback=lambda *_: np.bool_(0))
    assert model.num_timesteps == 2


@EACH
@pytest.mark.parametrize("seen", ["numbers", "dictionary"])
def test_normalised_and_stacked_observations_are_taken(algorithm: Any, seen: str) -> None:
    keys = ["a"] if seen == "dictionary" else None
    env = VecNormalize(_envs(SEEN[seen]), norm_obs_keys=keys, gamma=0.99)
    model = _model(algorithm, env).learn(64)
    held_out = VecNormalize(_envs(SEEN[seen], count=1), norm_obs_keys=keys, training=False)
    model.learn(32, callback=EvalCallback(held_out, eval_freq=8, n_eval_episodes=1, verbose=0, warn=False))
    for one, other in zip(_means(env), _means(held_out), strict=True):
        np.testing.assert_allclose(one, other, atol=0.5)
        assert one.any()
    if seen == "numbers":
        stacked = _model(algorithm, VecFrameStack(_envs(), 3)).learn(32)
        assert stacked.predict(np.zeros(9, np.float32))[0].shape == (2,)


def _means(env: Any) -> list[Any]:
    statistics = env.obs_rms
    return [each.mean for each in (statistics.values() if isinstance(statistics, dict) else [statistics])]


class Wide(gymnasium.Env[Any, Any]):
    """Shows one of a thousand categories, and pays for naming whether it is even."""

    observation_space, action_space = spaces.Discrete(1000), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seen = int(self.np_random.integers(1000))
        return self.seen, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(action == self.seen % 2)
        self.seen = int(self.np_random.integers(1000))
        return self.seen, reward, False, False, {}


def test_more_categories_than_a_byte_has_are_learned_from() -> None:
    model = BoostedPPO(DummyVecEnv([Wide] * 8), n_steps=256, n_epochs=1, seed=0).learn(2048)
    leaves = _leaves(model)
    assert len(leaves) == 8 and np.isfinite(leaves).all() and (leaves != 0).any()


class Broken(Drawn):
    """Gives what is no number at one step."""

    def __init__(self, what: str, seen: spaces.Space[Any], acts: spaces.Space[Any]) -> None:
        super().__init__(seen, acts)
        self.what = what

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, *rest = super().step(action)
        if self.t == 5 and self.what == "reward":
            reward = float("nan")
        if self.t == 5 and self.what == "observation":
            observation["a"][1] = np.inf
        return observation, reward, *rest


@pytest.mark.parametrize(
    ("algorithm", "acts"),
    [(BoostedPPO, TWO), (BoostedA2C, spaces.Discrete(3)), (BoostedDQN, spaces.Discrete(3)), (BoostedSAC, TWO)],
)
@pytest.mark.parametrize("what", ["reward", "observation"])
def test_what_is_no_number_is_named_by_environment_key_and_step(algorithm: Any, acts: Any, what: str) -> None:
    sound, broken = (lambda: Drawn(SEEN["dictionary"], acts)), (lambda: Broken(what, SEEN["dictionary"], acts))
    env = DummyVecEnv([sound, broken, sound])
    model = algorithm("MultiInputPolicy", env, seed=0)
    place = "environment 1, key 'a', number 1, step 5" if what == "observation" else "environment 1, step 5"
    with pytest.raises(BadInput, match=f"^{what} in {place}: expected a finite number, got (inf|nan)$"):
        model.learn(3000)


@EACH
def test_actions_in_two_dimensions_are_learned_saved_and_loaded(algorithm: Any, tmp_path: Path) -> None:
    table = spaces.Box(-1, 1, (2, 3))
    model = _model(algorithm, _envs(SEEN["table"], table)).learn(64)
    model.save(tmp_path / "m")
    loaded = algorithm.load(tmp_path / "m")
    one, several = table.sample(), np.stack([table.sample() for _ in range(4)])
    for seen, shape in ((one, (2, 3)), (several, (4, 2, 3))):
        action = model.predict(seen, deterministic=True)[0]
        assert action.shape == shape and action.dtype == np.float32
        np.testing.assert_array_equal(action, loaded.predict(seen, deterministic=True)[0])
    distributed = wormwood.distribute(
        _model(algorithm, _envs(SEEN["table"], table)), workers=0, make=lambda: Drawn(SEEN["table"], table)
    )
    distributed.learn(64)
    assert np.isfinite(_leaves(distributed)).all()


class Room(gymnasium.Env[Any, Any]):
    """Shows a small picture beside a direction, as MiniGrid does."""

    observation_space = spaces.Dict({"image": spaces.Box(0, 255, (7, 7, 3), np.uint8), "direction": spaces.Discrete(4)})
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._observe(), 1.0, self.t == 6, False, {}

    def _observe(self) -> dict[str, Any]:
        image = (np.arange(147).reshape(7, 7, 3) + self.t).astype(np.uint8)
        return {"image": image, "direction": self.t % 4}


def test_pictures_in_dictionaries_are_the_same_features_with_and_without_workers() -> None:
    rows = []
    for change in (lambda model: model, lambda model: wormwood.distribute(model, workers=0, make=Room)):
        model = change(BoostedPPO(DummyVecEnv([Room] * 2), n_steps=8, batch_size=16, n_epochs=1, seed=0))
        model.learn(16)
        kept = next(model.rollout_buffer.get())
        row = model.policy.encode(kept.observations)
        rows.append(row[np.lexsort(row.T)])
    np.testing.assert_array_equal(*rows)
    # SB3 puts the channels first; a forest sees the bytes as they are, and the direction as a category.
    first = np.arange(147).reshape(7, 7, 3).transpose(2, 0, 1).ravel()
    numbers = {tuple(row) for row in rows[0]}
    for t in range(6):
        expected = np.concatenate([[t % 4], first + t])
        assert tuple(expected) in numbers
