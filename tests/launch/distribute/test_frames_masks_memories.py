"""Wrappers that stack or pick observations, masked actions, and policies that remember: as in SB3's own loops."""

import itertools
import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
import ray
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecCheckNan,
    VecEnv,
    VecExtractDictObs,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

import wormwood
from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv
from wormwood.errors import BadInput
from wormwood.launch.run.executors import InProcessExecutor
from wormwood.launch.run.ray_session import ray_session

# Workers do not have the tests.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

NUMBERS, PICTURE = spaces.Box(-1, 1, (2,)), spaces.Box(0, 255, (36, 36, 1), np.uint8)
BOTH = spaces.Dict({"a": spaces.Box(-1, 1, (2, 3)), "b": NUMBERS})
CHOICES, BOX = spaces.Discrete(3), spaces.Box(-2, 1, (2,))


class Marked(gymnasium.Env[Any, Any]):
    """What is seen, earned and allowed follows from the actions of the episode, and so does its length."""

    def __init__(self, seen: spaces.Space[Any], acts: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = seen, acts

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.mark = 0, 1
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.mark = zlib.crc32(np.asarray(action, np.float64).tobytes(), self.mark)
        over, cut = self.t >= 3 + self.mark % 5, bool(self.mark % 2)
        return self._observe(), self.mark % 100 / 10, over and not cut, over and cut, {}

    def action_masks(self) -> Any:
        masks = np.array([self.mark % 2, self.mark % 3 == 0, False], bool)
        return masks | ~masks.any()

    def _observe(self) -> Any:
        self.observation_space.seed(self.mark % 2**31)
        return self.observation_space.sample()


def _fixed(env: VecEnv) -> VecEnv:
    """Standardise by statistics that stay as they are."""
    normalize = VecNormalize(env, training=False, norm_reward=False)
    normalize.obs_rms.mean += 0.3  # type: ignore[union-attr,operator]
    normalize.obs_rms.var *= 0.25  # type: ignore[union-attr,operator]
    return normalize


Wrap = Callable[[VecEnv], VecEnv]
WRAPS: dict[str, tuple[spaces.Space[Any], Wrap]] = {
    "stacked": (NUMBERS, lambda env: VecFrameStack(env, 3)),
    "stacked on the first axis": (BOTH["a"], lambda env: VecFrameStack(VecCheckNan(env), 2, channels_order="first")),
    "stacked twice": (NUMBERS, lambda env: VecFrameStack(VecMonitor(VecFrameStack(env, 2)), 3)),
    "stacked dictionary": (BOTH, lambda env: VecFrameStack(env, 3, channels_order={"a": "first", "b": "last"})),
    "stacked pictures": (PICTURE, lambda env: VecTransposeImage(VecFrameStack(env, 4))),
    "pictures put first, and stacked": (PICTURE, lambda env: VecFrameStack(VecTransposeImage(env), 4)),
    "standardised stacks": (NUMBERS, lambda env: _fixed(VecFrameStack(env, 3))),
    "stacks of the standardised": (NUMBERS, lambda env: VecFrameStack(_fixed(env), 3)),
    "one of a dictionary": (BOTH, lambda env: VecExtractDictObs(env, "a")),
    "stacks of one of a dictionary": (BOTH, lambda env: VecFrameStack(VecExtractDictObs(env, "b"), 5)),
}
COMMON: dict[str, Any] = {"seed": 3, "device": "cpu"}
ON_POLICY: dict[str, Any] = {"n_steps": 10, "batch_size": 10, "n_epochs": 1}
OFF_POLICY: dict[str, Any] = {"buffer_size": 300, "learning_starts": 12, "batch_size": 8, "train_freq": 10}
SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [4]}}


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


class Looks(BaseCallback):
    """Keeps what was played, and each rollout's buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.actions: list[Any] = []
        self.buffers: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        self.actions.append(np.copy(self.locals["actions"]))
        return True

    def _on_rollout_end(self) -> None:
        kept = vars(getattr(self.model, "rollout_buffer", object)).items()
        self.buffers.append({name: _copied(each) for name, each in kept if isinstance(each, np.ndarray | dict)})


def _copied(values: Any) -> Any:
    return {key: np.copy(each) for key, each in values.items()} if isinstance(values, dict) else np.copy(values)


def _policy(seen: spaces.Space[Any], wrap: Wrap | None, kind: str = "") -> str:
    env = DummyVecEnv([partial(Marked, seen, CHOICES)])
    space = (wrap(env) if wrap else env).observation_space
    if isinstance(space, spaces.Dict):
        return f"MultiInput{kind}Policy"
    return f"{'Cnn' if seen is PICTURE else 'Mlp'}{kind}Policy"


def _model(
    algorithm: Any,
    seen: spaces.Space[Any] = NUMBERS,
    wrap: Wrap | None = None,
    *,
    acts: spaces.Space[Any] = CHOICES,
    workers: int | None = 0,
    **options: Any,
) -> Any:
    """Make a model of three environments; with None for workers, of which SB3's own loop plays."""
    make = partial(Marked, seen, acts)
    env: VecEnv = DummyVecEnv([make] * 3)
    sizes = OFF_POLICY if algorithm is DQN else ON_POLICY
    policy = _policy(seen, wrap, "Lstm" if algorithm is RecurrentPPO else "")
    model = algorithm(policy, wrap(env) if wrap else env, **{**COMMON, **sizes, **SMALL, **options})
    return model if workers is None else wormwood.distribute(model, workers=workers, make=make)


def _equal(one: Any, other: Any, message: str = "", atol: float = 1e-5) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _equal(one[key], other[key], f"{message} {key}", atol)
    else:
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=atol, err_msg=message)


def _parameters(model: Any) -> Any:
    return np.concatenate([value.detach().numpy().ravel() for value in model.policy.state_dict().values()])


def _act_as(model: Any, actions: list[Any]) -> None:
    """Let SB3's own loop take actions ``[N, ...]`` that are known, and the policy say how likely they were."""
    steps, own = iter(torch.as_tensor(np.stack(actions))), model.policy.forward

    def forward(observation: Any, *states: Any, **masks: Any) -> Any:
        _, values, _, *after = own(observation, *states, **masks)
        taken = next(steps)
        if isinstance(model.policy.action_space, spaces.Discrete):
            taken = taken.flatten().long()
        given = (states[0].pi, states[1]) if states else ()
        distribution = model.policy.get_distribution(observation, *given, **masks)
        log_prob = (distribution[0] if states else distribution).log_prob(taken)
        return taken, values, log_prob, *after

    model.policy.forward = forward


def _as_in_sb3s_loop(build: Callable[..., Any], learn: dict[str, Any] | None = None) -> Looks:
    """Check that rollouts, of which the third begins anew, fill the buffer as SB3's own loop with these actions."""
    looks = []
    for workers in (0, None):
        model, look = build(workers=workers), Looks()
        model.train = lambda: None
        if workers is None:
            _act_as(model, looks[0].actions)
        model.learn(60, callback=look, **learn or {})
        model.learn(30, callback=look, **learn or {})
        looks.append(look)
    ours, theirs = looks
    assert len(ours.buffers) == 3
    for one, other in zip(ours.buffers, theirs.buffers, strict=True):
        _equal(one, other)
    return ours


@pytest.mark.parametrize("name", WRAPS)
def test_wrapped_rollouts_are_those_of_sb3s_loop_with_these_actions(name: str) -> None:
    ours = _as_in_sb3s_loop(partial(_model, PPO, *WRAPS[name]))
    assert all(each["rewards"].any() for each in ours.buffers)


@pytest.mark.parametrize("name", [name for name in WRAPS if name != "stacks of the standardised"])
def test_wrapped_replay_buffers_are_those_of_sb3s_loop_with_these_actions(name: str) -> None:
    look, ours = Looks(), _model(DQN, *WRAPS[name])
    theirs = _model(DQN, *WRAPS[name], workers=None)
    for model in (ours, theirs):
        model.train = lambda *_, **__: None
    ours.learn(120, callback=look)
    played = iter(look.actions)
    theirs._sample_action = lambda *_: (taken := next(played), taken)
    theirs.learn(120)
    one, other = ours.replay_buffer, theirs.replay_buffer
    assert one.pos == other.pos == 40
    for kept in ("observations", "next_observations", "rewards", "dones", "timeouts"):
        _equal(getattr(one, kept), getattr(other, kept), kept)


def _recurrent(seen: spaces.Space[Any] = NUMBERS, *, workers: int | None, **options: Any) -> Any:
    options["policy_kwargs"] = {"net_arch": [4], "lstm_hidden_size": 6, **options.get("policy_kwargs", {})}
    return _model(RecurrentPPO, seen, workers=workers, **options)


RECURRENT: dict[str, dict[str, Any]] = {
    "both remember": {},
    "two layers": {"policy_kwargs": {"n_lstm_layers": 2}},
    "one memory for both": {"policy_kwargs": {"shared_lstm": True, "enable_critic_lstm": False}},
    "the critic remembers nothing": {"policy_kwargs": {"enable_critic_lstm": False}, "acts": BOX},
    "a dictionary": {"seen": BOTH, "acts": BOX},
    "stacked": {"wrap": lambda env: VecFrameStack(env, 2)},
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_rollouts_are_those_of_sb3s_loop_with_these_actions(name: str) -> None:
    ours = _as_in_sb3s_loop(partial(_recurrent, **RECURRENT[name]))
    last = ours.buffers[1]
    assert last["hidden_states_pi"][0].any(), "it goes on from what it remembers"
    assert {"cell_states_pi", "hidden_states_vf", "cell_states_vf", "values", "returns"} <= last.keys()


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("name", ["plain", "stacked", "stacked dictionary"])
def test_masked_rollouts_are_those_of_sb3s_loop_with_these_actions(name: str, masked: bool) -> None:
    build = partial(_model, MaskablePPO, *WRAPS.get(name, (NUMBERS, None)))
    ours = _as_in_sb3s_loop(build, {"use_masking": masked})
    for each in ours.buffers:
        allowed = each["action_masks"].reshape(10, 3, 3)
        taken = np.take_along_axis(allowed, each["actions"].astype(int), axis=-1)
        assert taken.all()
        assert allowed.all() == (not masked)


def test_masks_that_are_not_there_are_what_sb3_says_of_them() -> None:
    model = MaskablePPO("MlpPolicy", "CartPole-v1", **COMMON, **ON_POLICY)
    wormwood.distribute(model, workers=0).learn(10, use_masking=False)
    with pytest.raises(ValueError, match="Environment does not support action masking"):
        model.learn(10)


class _Forgetful(InProcessExecutor):
    """Loses all environments before each rollout, as if their worker had died."""

    def start(self, request: Any) -> Any:
        worker: Any = self._worker
        worker._environments.clear()
        return super().start(request)


BUILDS: dict[str, Callable[..., Any]] = {
    "frames": partial(_model, PPO, NUMBERS, lambda env: VecNormalize(VecFrameStack(env, 3))),
    "frames, standardised": partial(_model, PPO, NUMBERS, lambda env: VecFrameStack(VecNormalize(env), 3)),
    "frames, off-policy": partial(_model, DQN, NUMBERS, lambda env: VecFrameStack(env, 3)),
    "masks": partial(_model, MaskablePPO, NUMBERS, lambda env: VecFrameStack(env, 2)),
    "memory": partial(_recurrent, acts=BOX),
    "memory, gSDE": partial(_recurrent, acts=BOX, use_sde=True, sde_sample_freq=4),
}


@pytest.mark.parametrize("name", BUILDS)
def test_a_death_before_each_rollout_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _parameters(BUILDS[name](workers=0).learn(120))
    monkeypatch.setattr("wormwood.launch.distribute.collecting.InProcessExecutor", _Forgetful)
    np.testing.assert_array_equal(_parameters(BUILDS[name](workers=0).learn(120)), expected)
    assert not np.array_equal(_parameters(BUILDS[name](workers=0)), expected)


@pytest.mark.parametrize("name", ["frames", "masks", "memory"])
def test_what_stops_in_the_middle_goes_on_and_can_be_saved(name: str, tmp_path: Path) -> None:
    model = BUILDS[name](workers=0)
    model.learn(90, callback=lambda *_: model.num_timesteps < 45)
    assert model.num_timesteps == 45
    np.testing.assert_array_equal(model.get_env().reset().shape, model._last_obs.shape)
    model.learn(30, reset_num_timesteps=False)
    model.save(tmp_path / "m")
    loaded = type(model).load(tmp_path / "m", env=model.get_env())
    np.testing.assert_array_equal(_parameters(loaded), _parameters(model))
    again = wormwood.distribute(loaded, workers=0, make=partial(Marked, NUMBERS, model.action_space))
    assert not np.array_equal(_parameters(again.learn(30, reset_num_timesteps=False)), _parameters(model))


def test_frames_go_on_where_a_callback_stopped_and_not_after_a_reset() -> None:
    class Endless(gymnasium.Env[Any, Any]):
        observation_space, action_space = spaces.Box(0, np.inf, (1,)), CHOICES

        def reset(self, seed: int | None = None) -> tuple[Any, dict[str, Any]]:  # type: ignore[override]
            self.seen = itertools.count(1)
            return np.array([next(self.seen)], np.float32), {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return np.array([next(self.seen)], np.float32), 0.0, False, False, {}

    env = VecFrameStack(DummyVecEnv([Endless] * 2), 3)
    model: Any = wormwood.distribute(PPO("MlpPolicy", env, **COMMON, **ON_POLICY, **SMALL), workers=0, make=Endless)
    model.train = lambda: None
    model.learn(20, callback=lambda *_: model.num_timesteps < 10)
    np.testing.assert_array_equal(model._last_obs, [[9, 10, 11]] * 2)
    model.learn(20, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.rollout_buffer.observations[0], [[9, 10, 11]] * 2)
    model.learn(20)
    np.testing.assert_array_equal(model.rollout_buffer.observations[:3, 0], [[0, 0, 1], [0, 1, 2], [1, 2, 3]])


def test_frames_of_swimmers_are_taken_too() -> None:
    learned = []
    for shards in (1, 3):
        env = VecFrameStack(SwimmerVecEnv("swimmer-4", 3, seed=0, horizon=12), 2)
        model: Any = wormwood.distribute(PPO("MlpPolicy", env, **COMMON, **ON_POLICY), workers=0, shards=shards)
        model.train = lambda: None
        model.learn(60)
        seen = model.rollout_buffer.observations
        half = seen.shape[-1] // 2
        starts = model.rollout_buffer.episode_starts[1:].astype(bool)
        np.testing.assert_array_equal(seen[1:, :, :half][~starts], seen[:-1, :, half:][~starts])
        assert not seen[1:, :, :half][starts].any()
        learned.append(seen)
    assert learned[0].shape == learned[1].shape


class Own(VecFrameStack):
    """Shows something else."""

    def step_wait(self) -> Any:
        observation, *rest = super().step_wait()
        return -observation, *rest  # type: ignore[operator]


def test_wrappers_of_ones_own_are_refused() -> None:
    env = Own(DummyVecEnv([lambda: gymnasium.make("CartPole-v1")]), 2)
    with pytest.raises(BadInput, match=r"wrapper in distribute: expected one of .*VecFrameStack.*, got 'Own'"):
        wormwood.distribute(PPO("MlpPolicy", env, device="cpu"), workers=0)


@pytest.fixture(scope="module")
def _one_ray_for_all() -> Iterator[None]:
    with ray_session(2):
        yield


class Kills(BaseCallback):
    """Ends a worker after the second rollout."""

    rollouts = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.rollouts += 1
        if self.rollouts == 2:
            workers = self.model._collector._executor.status()  # type: ignore[attr-defined]
            os.kill(next(worker["process"] for worker in workers if worker["state"] == "idle"), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("_one_ray_for_all")
@pytest.mark.parametrize("name", BUILDS)
def test_what_is_learned_does_not_depend_on_the_workers_nor_their_deaths(name: str) -> None:
    learned = []
    for workers, callback in ((0, None), (1, None), (2, None), (2, Kills())):
        model = BUILDS[name](workers=workers)
        learned.append(_parameters(model.learn(150, callback=callback)))
        model._collector.close()
    for each in learned[1:]:
        np.testing.assert_array_equal(each, learned[0])
