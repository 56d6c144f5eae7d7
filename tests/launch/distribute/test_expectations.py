"""What users of Stable-Baselines3 expect of any model, asked of distributed ones."""

import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import ray
import torch
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback, EveryNTimesteps
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

import wormwood
from wormwood.agents.stable_baselines3.boosted import BoostedPPO
from wormwood.launch.run.ray_session import ray_session

EACH = pytest.mark.parametrize("algorithm", [PPO, A2C, SAC, TD3, DDPG, DQN])
OFF_POLICY = pytest.mark.parametrize("algorithm", [SAC, TD3, DDPG, DQN])
NUMBERS, TWO = spaces.Box(-1, 1, (3,)), spaces.Box(-2, 1, (2,))


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


class Anything(gymnasium.Env[Any, Any]):
    """Of any spaces: what is seen and earned follows from the actions of the episode, whatever the seed."""

    def __init__(self, seen: spaces.Space[Any], acts: spaces.Space[Any], length: int = 5, cut: bool = False) -> None:
        self.observation_space, self.action_space = seen, acts
        self.length, self.cut = length, cut

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.mark = 0, 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), action
        self.t += 1
        self.mark = zlib.crc32(np.asarray(action, np.float64).tobytes(), self.mark)
        over = self.t >= self.length
        return self._observe(), self.mark % 100 / 10, over and not self.cut, over and self.cut, {"mark": self.mark}

    def _observe(self) -> Any:
        self.observation_space.seed(self.mark % 2**31)
        return self.observation_space.sample()


def _acts(algorithm: Any) -> spaces.Space[Any]:
    return spaces.Discrete(3) if algorithm is DQN else TWO


def _model(
    algorithm: Any,
    env: Any = None,
    *,
    seen: spaces.Space[Any] = NUMBERS,
    acts: spaces.Space[Any] | None = None,
    distributed: bool = True,
    workers: int = 0,
    cut: bool = False,
    environments: int = 3,
    **options: Any,
) -> Any:
    sizes: dict[str, Any] = {
        PPO: {"n_steps": 12, "batch_size": 12, "n_epochs": 1},
        A2C: {"n_steps": 8},
    }.get(algorithm, {"buffer_size": 300, "learning_starts": 12, "batch_size": 8, "train_freq": 4})
    make = _maker(seen, acts or _acts(algorithm), cut)
    policy = "MultiInputPolicy" if isinstance(seen, spaces.Dict) else "MlpPolicy"
    common = {"policy_kwargs": {"net_arch": [4]}, "seed": 3, "device": "cpu"}
    model = algorithm(policy, env or DummyVecEnv([make] * environments), **(common | sizes | options))
    return wormwood.distribute(model, workers=workers, make=make) if distributed else model


def _maker(seen: spaces.Space[Any], acts: spaces.Space[Any], cut: bool) -> Callable[[], gymnasium.Env[Any, Any]]:
    return lambda: Anything(seen, acts, cut=cut)


def _parameters(model: Any) -> Any:
    return np.concatenate([value.detach().numpy().ravel() for value in model.policy.state_dict().values()])


class Looks(BaseCallback):
    """Keeps what was played, step by step."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names, self.kept = names, []  # type: ignore[var-annotated]

    def _on_step(self) -> bool:
        self.kept.append([np.copy(self.locals[name]) for name in self.names])
        return True


def _spaces(*, act: bool) -> st.SearchStrategy[Any]:
    """Spaces that Stable-Baselines3 takes: choices begin at 0."""
    sizes, shapes = st.integers(1, 4), st.lists(st.integers(1, 3), min_size=1, max_size=2).map(tuple)
    low, width = st.floats(-3, 3), st.floats(0.5, 3)
    kinds = [
        st.builds(lambda low, width, shape: spaces.Box(low, low + width, shape), low, width, shapes),
        st.lists(sizes, min_size=1, max_size=3).map(spaces.MultiDiscrete),
        sizes.map(spaces.MultiBinary),
        sizes.map(spaces.Discrete),
    ]
    if act:
        return st.one_of(*kinds)
    kinds += [
        shapes.map(lambda shape: spaces.Box(-np.inf, np.inf, shape, np.float64)),
        shapes.map(lambda shape: spaces.Box(0, 255, shape, np.uint8)),
        shapes.map(spaces.MultiBinary),
    ]
    plain = st.one_of(*kinds)
    return plain | st.dictionaries(st.sampled_from("abc"), plain, min_size=1).map(spaces.Dict)


def _equal(one: Any, other: Any, message: str = "") -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            _equal(one[key], other[key], f"{message} {key}")
    else:
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5, err_msg=message)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(seen=_spaces(act=False), acts=_spaces(act=True), cut=st.booleans(), algorithm=st.sampled_from([PPO, A2C]))
def test_a_rollout_in_any_spaces_is_that_of_sb3s_loop_with_these_actions(
    seen: Any, acts: Any, cut: bool, algorithm: Any
) -> None:
    buffers: list[Any] = []
    for distributed in (True, False):
        model = _model(algorithm, seen=seen, acts=acts, cut=cut, distributed=distributed, n_steps=12)
        model.train = lambda: None
        if not distributed:
            _act_as(model, buffers[0].actions)
        model.learn(36)
        buffers.append(model.rollout_buffer)
    for name in ("observations", "actions", "rewards", "episode_starts", "values", "log_probs", "returns"):
        _equal(getattr(buffers[0], name), getattr(buffers[1], name), name)
    assert buffers[0].rewards.any()


@pytest.mark.parametrize("distributed", [True, False])
def test_choices_that_begin_elsewhere_are_refused_as_by_sb3s_loop(distributed: bool) -> None:
    for seen in (spaces.Discrete(1, start=2), spaces.Dict({"a": spaces.Discrete(2, start=-2)})):
        with pytest.raises(RuntimeError, match="Class values must be"):
            _model(PPO, seen=seen, distributed=distributed).learn(36)


def _act_as(model: Any, kept: Any) -> None:
    """Let SB3's own loop take actions ``[T, N, ...]`` that are known, and the policy say how likely they were."""
    steps = iter(torch.as_tensor(kept, dtype=torch.float32))

    def forward(observation: Any) -> Any:
        actions, space = next(steps), model.action_space
        whole = isinstance(space, spaces.Discrete | spaces.MultiDiscrete)
        taken = actions.flatten() if isinstance(space, spaces.Discrete) else actions
        values, log_prob, _ = model.policy.evaluate_actions(observation, taken)
        actions = actions.reshape(len(actions), *space.shape)
        return actions.long() if whole else actions, values, log_prob

    model.policy.forward = forward


@pytest.mark.parametrize(
    "acts",
    [
        spaces.Discrete(3, start=1),
        spaces.MultiDiscrete([2, 3], start=[1, -5]),
        spaces.Box(-1, 1, (2,)),
        spaces.Box(-1, 1, (2,), np.float64),
        spaces.Box(0, 3, (2,), np.uint8),
    ],
    ids=str,
)
def test_actions_of_forests_are_in_their_space(acts: Any) -> None:
    make = _maker(NUMBERS, acts, False)
    model: Any = BoostedPPO(DummyVecEnv([make] * 3), n_steps=12, batch_size=12, seed=0)
    wormwood.distribute(model, workers=0, make=make)
    model.learn(36)
    model.train = lambda: None
    kept = next(model.learn(36, reset_num_timesteps=False).rollout_buffer.get())
    taken = kept.actions.flatten() if isinstance(acts, spaces.Discrete) else kept.actions
    values, log_prob, _ = model.policy.evaluate_actions(kept.observations, taken)
    np.testing.assert_allclose(kept.old_log_prob, log_prob, atol=1e-5)
    np.testing.assert_allclose(kept.old_values, values.ravel(), atol=1e-5)


@OFF_POLICY
@pytest.mark.parametrize("options", [{}, {"n_steps": 3}, {"optimize_memory_usage": True}])
def test_a_replay_buffer_is_that_of_sb3s_loop_with_these_actions(algorithm: Any, options: Any) -> None:
    if "optimize_memory_usage" in options:
        options = {**options, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
    model = _model(algorithm, cut=True, **options)
    look = Looks("actions", "buffer_actions")
    model.learn(120, callback=look)
    played = iter(look.kept)
    plain = _model(algorithm, cut=True, distributed=False, **options)
    plain._sample_action = lambda *_: next(played)
    plain.learn(120)
    ours, theirs = model.replay_buffer, plain.replay_buffer
    assert (ours.pos, ours.full) == (theirs.pos, theirs.full) == (40, False)
    names = ["observations", "actions", "rewards", "dones", "timeouts"]
    for name in names + ["next_observations"] * hasattr(ours, "next_observations"):
        np.testing.assert_array_equal(getattr(ours, name)[:40], getattr(theirs, name)[:40], err_msg=name)
    drawn = []
    for buffer in (ours, theirs):
        set_random_seed(0)
        drawn.append(buffer.sample(20))
    for one, other in zip(*drawn, strict=True):
        assert (one is None and other is None) or torch.equal(one, other)


RUNS: list[tuple[Any, dict[str, Any]]] = [
    (PPO, {"clip_range_vf": 0.2, "normalize_advantage": False}),
    (PPO, {"target_kl": 1e-9, "n_epochs": 3}),
    (A2C, {"use_rms_prop": False, "normalize_advantage": True}),
    (SAC, {"ent_coef": "auto_0.1", "train_freq": (2, "episode"), "gradient_steps": -1, "environments": 1}),
    (SAC, {"use_sde": True, "use_sde_at_warmup": True, "sde_sample_freq": 3}),
    (TD3, {"train_freq": (1, "step"), "action_noise": NormalActionNoise(np.zeros(2), np.full(2, 0.1))}),
    (DDPG, {"train_freq": 7, "gradient_steps": 2}),
    (DQN, {"target_update_interval": 10, "exploration_fraction": 0.5}),
]


@pytest.mark.parametrize(("algorithm", "options"), RUNS)
def test_settings_mean_what_they_mean_without_workers(algorithm: Any, options: Any) -> None:
    def counted(**how: Any) -> Any:
        model = _model(algorithm, **how, **options).learn(100, log_interval=2)
        logged = {name for name in model.logger.name_to_value if name.startswith("train/")}
        rate = getattr(model, "exploration_rate", 0)
        return (model.num_timesteps, model._n_updates, model._episode_num, rate, logged), _parameters(model)

    theirs, _ = counted(distributed=False)
    (ours, learned), (_, again), (_, other) = counted(), counted(), counted(seed=4)
    assert ours == theirs
    np.testing.assert_array_equal(learned, again)
    assert np.isfinite(learned).all()
    assert (learned != other).any()


@EACH
def test_a_saved_model_predicts_goes_on_and_can_be_distributed_again(algorithm: Any, tmp_path: Path) -> None:
    model = _model(algorithm).learn(72)
    model.save(tmp_path / "m", exclude=["ep_info_buffer"])
    loaded = algorithm.load(tmp_path / "m", env=DummyVecEnv([_maker(NUMBERS, _acts(algorithm), False)] * 3))
    observation = model.get_env().reset()
    together, _ = model.predict(observation, deterministic=True)
    np.testing.assert_array_equal(loaded.predict(observation, deterministic=True)[0], together)
    alone = [model.predict(seen, deterministic=True)[0] for seen in observation]
    np.testing.assert_allclose(alone, together, atol=1e-6)
    assert all(model.action_space.contains(action) for action in model.predict(observation)[0])
    with pytest.raises(ValueError, match="observation shape"):
        model.predict(np.zeros((2, 5), np.float32))
    if hasattr(model, "replay_buffer"):
        model.save_replay_buffer(tmp_path / "b")
        loaded.load_replay_buffer(tmp_path / "b")
        assert loaded.replay_buffer.pos == model.replay_buffer.pos > 0
    again = wormwood.distribute(loaded, workers=0, make=_maker(NUMBERS, _acts(algorithm), False))
    before = _parameters(again)
    again.learn(36, reset_num_timesteps=False)
    assert again.num_timesteps >= model.num_timesteps + 36
    assert (_parameters(again) != before).any()
    again.set_parameters(model.get_parameters(), exact_match=True)
    np.testing.assert_array_equal(_parameters(again), _parameters(model))
    mean: Any = evaluate_policy(again, DummyVecEnv([_maker(NUMBERS, _acts(algorithm), False)]), 3, warn=False)[0]
    assert 0 < mean < 50


@EACH
@pytest.mark.parametrize("answer", [False, np.bool_(0), torch.tensor(False)])
def test_the_first_step_may_be_the_last(algorithm: Any, answer: Any) -> None:
    model = _model(algorithm).learn(100, callback=lambda *_: answer)
    assert model.num_timesteps == 3
    assert model.observation_space.contains(model._last_obs[0])


@EACH
def test_callbacks_are_called_when_they_are_without_workers(algorithm: Any, tmp_path: Path) -> None:
    class Counts(BaseCallback):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        def _note(self) -> None:
            self.calls.append(f"{sys._getframe(1).f_code.co_name} {self.num_timesteps}")

        def _on_training_start(self) -> None:
            self._note()

        def _on_rollout_start(self) -> None:
            self._note()

        def _on_rollout_end(self) -> None:
            self._note()

        def _on_training_end(self) -> None:
            self._note()

        def _on_step(self) -> bool:
            self._note()
            return True

    def calls(folder: Path, *, distributed: bool) -> Any:
        env: Any = VecNormalize(DummyVecEnv([_maker(NUMBERS, _acts(algorithm), False)] * 3), gamma=0.99)
        held_out: Any = VecNormalize(DummyVecEnv([_maker(NUMBERS, _acts(algorithm), False)]), training=False)
        counts, events = Counts(), Counts()
        model = _model(algorithm, env, distributed=distributed)
        evaluate = EvalCallback(held_out, eval_freq=5, n_eval_episodes=1, verbose=0, warn=False)
        save = CheckpointCallback(8, str(folder), save_replay_buffer=True, save_vecnormalize=True)
        model.learn(60, callback=[counts, EveryNTimesteps(10, events), evaluate, save])
        model.learn(12, callback=lambda _locals, _globals: True, reset_num_timesteps=False)
        np.testing.assert_array_equal(held_out.obs_rms.mean.shape, (3,))
        assert model.observation_space.contains(env.get_original_obs()[0])
        np.testing.assert_array_equal(env.normalize_obs(env.get_original_obs()), model._last_obs)
        assert env.obs_rms.count > held_out.obs_rms.count > 1
        return counts.calls, events.calls, evaluate.n_calls, sorted(file.name for file in folder.iterdir())

    assert calls(tmp_path / "ours", distributed=True) == calls(tmp_path / "theirs", distributed=False)


@EACH
@pytest.mark.parametrize("keys", [None, ["a"]])
def test_normalised_dictionaries_are_those_of_sb3(algorithm: Any, keys: Any) -> None:
    seen = spaces.Dict({"a": NUMBERS, "b": spaces.Box(-5, 9, (2,))} | ({"c": spaces.Discrete(3)} if keys else {}))
    env: Any = VecNormalize(DummyVecEnv([_maker(seen, _acts(algorithm), False)] * 3), norm_obs_keys=keys)
    model, look = _model(algorithm, env, seen=seen), Looks("new_obs", "rewards", "dones")
    model.learn(60, callback=look)
    statistics = {"a", "b"} if keys is None else {"a"}
    assert env.obs_rms.keys() == statistics
    for each in env.obs_rms.values():
        assert each.count == pytest.approx(3 * (len(look.kept) + 1) + 1e-4)
    original = env.get_original_obs()
    for key, values in env.normalize_obs(original).items():
        np.testing.assert_array_equal(values, model._last_obs[key])
        assert (values == original[key]).all() == (key not in statistics)
    if hasattr(model, "replay_buffer"):  # keeps what was seen before it was normalised
        kept = model.replay_buffer.observations["b"][: model.replay_buffer.pos]
        assert kept.max() > 5


@pytest.mark.parametrize("algorithm", [PPO, SAC, DQN])
def test_a_dictionary_of_one_array_teaches_what_the_array_teaches(algorithm: Any) -> None:
    def named_one() -> Any:
        make, space = _maker(NUMBERS, _acts(algorithm), False), spaces.Dict({"only": NUMBERS})
        return gymnasium.wrappers.TransformObservation(make(), lambda seen: {"only": seen}, space)

    alone = _model(algorithm).learn(72)
    named = _model(algorithm, DummyVecEnv([named_one] * 3), seen=spaces.Dict({"only": NUMBERS}), distributed=False)
    wormwood.distribute(named, workers=0, make=named_one).learn(72)
    np.testing.assert_allclose(_parameters(alone), _parameters(named), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_a_vectors_monitor_writes_every_episode_with_its_infos(algorithm: Any, tmp_path: Path) -> None:
    env = VecMonitor(DummyVecEnv([_maker(NUMBERS, TWO, False)] * 3), str(tmp_path / "log"), info_keywords=("mark",))
    model = _model(algorithm, env).learn(60)
    env.close()
    head, names, *rows = (tmp_path / "log.monitor.csv").read_text().splitlines()
    assert head.startswith("#")
    assert names == "r,l,t,mark"
    assert [row.split(",")[1] for row in rows] == ["5"] * (3 * (model.num_timesteps // 15))
    earned = [float(row.split(",")[0]) for row in rows]
    assert [episode["r"] for episode in model.ep_info_buffer] == pytest.approx(earned)


@pytest.fixture(scope="module")
def _ray_session() -> Iterator[None]:
    with ray_session(1):
        cloudpickle: Any = ray.cloudpickle
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        yield


@pytest.mark.usefixtures("_ray_session")
def test_a_worker_plays_what_this_process_plays() -> None:
    buffers = []
    for workers in (0, 1):
        model = _model(SAC, cut=True, workers=workers, n_steps=3)
        model.train = lambda *_, **__: None
        buffers.append(model.learn(60).replay_buffer)
        model._collector.close()
    for kept in ("observations", "actions", "rewards", "dones", "timeouts"):
        _equal(getattr(buffers[0], kept), getattr(buffers[1], kept), kept)
