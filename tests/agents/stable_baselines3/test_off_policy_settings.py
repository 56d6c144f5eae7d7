"""Settings of boosted off-policy algorithms, and options of policies, count or are refused in one line."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise

from wormwood import NCAPPolicy, NCAPSACPolicy, NCAPTD3Policy, make_swimmers
from wormwood.agents.learning.sac_settings import SACConfig
from wormwood.agents.learning.td3_settings import TD3Config
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.stable_baselines3.boosted_dqn import BoostedDQN, BoostedQPolicy
from wormwood.agents.stable_baselines3.boosted_sac import BoostedSAC, BoostedSACPolicy
from wormwood.errors import BadInput
from wormwood.trees.config import TreeConfig

ENV: dict[Any, str] = {BoostedDQN: "CartPole-v1", BoostedSAC: "Pendulum-v1"}
SMALL: dict[str, Any] = {"buffer_size": 200, "learning_starts": 8, "batch_size": 8, "train_freq": 8}
BOTH: list[dict[str, Any]] = [
    {"rate": -1},
    {"rate": float("nan")},
    {"grad_clip": -1},
    {"gamma": 5},
    {"batch_size": 0},
    {"batch_size": 2.5},
    {"buffer_size": 0},
    {"learning_starts": -1},
    {"train_freq": 0},
    {"train_freq": (1, "epoch")},
    {"train_freq": None},
    {"gradient_steps": 0},
    {"gradient_steps": -2},
    {"n_steps": 0},
    {"target_update_interval": 0},
    {"stats_window_size": 0},
    {"seed": -1},
    {"verbose": -1},
    {"tau": 0.5},
    {"gama": 0.9},
]
WRONG: list[tuple[Any, dict[str, Any]]] = [
    *((algorithm, wrong) for algorithm in ENV for wrong in BOTH),
    (BoostedDQN, {"exploration_fraction": 0}),
    (BoostedDQN, {"exploration_initial_eps": 1.5}),
    (BoostedDQN, {"exploration_final_eps": -0.1}),
    (BoostedDQN, {"learning_rate": 1e-3}),
    (BoostedDQN, {"max_grad_norm": 1.0}),
    (BoostedDQN, {"action_noise": None}),
    (BoostedSAC, {"draws": 1}),
    (BoostedSAC, {"draws": 2.5}),
    (BoostedSAC, {"actor_states": 0}),
    (BoostedSAC, {"learning_rate": -1e-3}),
    (BoostedSAC, {"ent_coef": -0.1}),
    (BoostedSAC, {"ent_coef": "auto_0"}),
    (BoostedSAC, {"ent_coef": "atuo"}),
    (BoostedSAC, {"target_entropy": "low"}),
    (BoostedSAC, {"action_noise": 0.1}),
    (BoostedSAC, {"use_sde": True}),
    (BoostedSAC, {"sde_sample_freq": 4}),
]
POLICIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "ppo": (PPO, NCAPPolicy, {"n_steps": 8, "batch_size": 8}),
    "td3": (TD3, NCAPTD3Policy, {"buffer_size": 100}),
    "sac": (SAC, NCAPSACPolicy, {"buffer_size": 100}),
}
WRONG_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {"actor_rate_scale": -1}) for name in POLICIES),
    *((name, {"critic_hidden": (0,)}) for name in POLICIES),
    *((name, {"critic_hiden": (8,)}) for name in POLICIES),
    *((name, {"agent": "ncap"}) for name in POLICIES),
    *((name, {"agent": MLPConfig}) for name in POLICIES),
    *((name, {"body": "swimer-3"}) for name in POLICIES),
    *((name, {"task": "swin"}) for name in POLICIES),
    ("ppo", {"noise_std": -1}),
    ("ppo", {"critic": "nn"}),
    ("ppo", {"critic_tree_rate": 0.1}),
    ("ppo", {"critic_tree": TreeConfig(max_depth=2)}),
    ("ppo", {"critic": "forest", "critic_hidden": (8,)}),
    ("ppo", {"learn_noise": "perhaps"}),
    ("td3", {"noise_std": 0.1}),
    ("td3", {"n_critics": 0}),
    ("sac", {"noise_std": 0.6}),
    ("sac", {"n_critics": 1.5}),
]


def _named(value: Any) -> str:
    return (
        value.__name__ if isinstance(value, type) else "-".join(map(str, value)) if isinstance(value, dict) else value
    )


@pytest.mark.parametrize(("algorithm", "wrong"), WRONG, ids=_named)
def test_a_wrong_or_idle_setting_is_refused_when_the_model_is_built(algorithm: Any, wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(BadInput, match=rf"\b{name}\b|'{name}'") as error:
        algorithm(ENV[algorithm], **{"buffer_size": 10, **wrong})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "wrong"), WRONG_OPTIONS, ids=_named)
def test_a_wrong_or_idle_option_of_a_circuit_is_refused_when_the_model_is_built(name: str, wrong: Any) -> None:
    algorithm, policy, sizes = POLICIES[name]
    with pytest.raises(BadInput) as error:
        algorithm(policy, make_swimmers("swimmer-3", 1), policy_kwargs=wrong, **sizes)
    assert "\n" not in str(error.value)
    assert any(str(part) in str(error.value) for part in (*wrong, *wrong.values()))


@pytest.mark.parametrize("algorithm", ENV)
@pytest.mark.parametrize("wrong", [{"tree": "deep"}, {"tree": {"max_depth": 99}}, {"net_arch": [0]}, {"n_critics": 3}])
def test_a_wrong_option_of_a_boosted_policy_is_refused(algorithm: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="policy_kwargs") as error:
        algorithm(ENV[algorithm], buffer_size=10, policy_kwargs=wrong)
    assert "\n" not in str(error.value)


def test_names_that_are_nearly_right_are_answered_by_the_right_ones() -> None:
    for build, nearest in (
        (lambda: BoostedDQN("CartPole-v1", gama=0.9), "gamma"),
        (lambda: BoostedDQN("CartPole-v1", policy_kwargs={"tre": TreeConfig()}), "tree"),
        (lambda: PPO(NCAPPolicy, make_swimmers("swimmer-3", 1), policy_kwargs={"critic": "pool"}), "pooled"),
    ):
        with pytest.raises(BadInput, match=f"nearest: '{nearest}'"):
            build()


@pytest.mark.parametrize("kind", [SACConfig, TD3Config])
def test_settings_of_files_are_checked_in_python_too(kind: Any) -> None:
    for wrong in ({"gamma": 5.0}, {"batch_size": 0}, {"critic_hidden": (0,)}, {"noise_std": -1}):
        with pytest.raises(BadInput, match=f"value in {kind.__name__}"):
            kind(**wrong)
    with pytest.raises(BadInput, match=r"value in MLPConfig\.hidden"):
        MLPConfig(hidden=(0,))


@pytest.mark.parametrize("algorithm", ENV)
def test_what_is_set_later_counts_or_is_refused(algorithm: Any, tmp_path: Path) -> None:
    tree = {"tree": {"max_depth": 2, "max_bins": 8}}
    model = algorithm(ENV[algorithm], seed=0, policy_kwargs=dict(tree), **SMALL).learn(16)
    model.gamma, model.batch_size, model.rate, model.target_update_interval = 0.5, np.int64(4), 0.25, 3
    for name, wrong in (
        ("gamma", 5),
        ("batch_size", 0),
        ("rate", -1),
        ("tau", 0.5),
        ("buffer_size", 9),
        ("n_steps", 3),
    ):
        with pytest.raises(BadInput, match=name):
            setattr(model, name, wrong)
    assert (model.gamma, model.batch_size, model.rate, model.buffer_size) == (0.5, 4, 0.25, 200)
    model.learn(16)
    model.save(tmp_path / "m")
    with_same = dict(model.policy_kwargs)
    loaded = algorithm.load(
        tmp_path / "m", gamma=0.75, grad_clip=3, train_freq=(4, "step"), n_steps=3, seed=1, policy_kwargs=with_same
    )
    assert (loaded.gamma, loaded.grad_clip, loaded.rate) == (0.75, 3.0, 0.25)
    assert loaded.train_freq.frequency == 4
    assert (loaded.replay_buffer.n_steps, loaded.replay_buffer.gamma) == (3, 0.75)
    for wrong in ({"gamma": 5}, {"rat": 0.3}, {"tau": 0.5}, {"train_freq": 0}):
        with pytest.raises(BadInput, match="|".join(wrong)) as error:
            algorithm.load(tmp_path / "m", **wrong)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="policy kwargs do not equal the stored"):
        algorithm.load(tmp_path / "m", policy_kwargs={"tree": {"max_depth": 3}})
    with pytest.raises(BadInput, match="gamma"):
        loaded.gamma = 0.5  # the buffer sums returns of several steps by it
    loaded.set_env(model.get_env())
    loaded.learn(16, reset_num_timesteps=False)
    loaded.save(tmp_path / "m")
    again = algorithm.load(tmp_path / "m", n_steps=1)
    assert type(again.replay_buffer).__name__ == "ReplayBuffer"


@pytest.mark.parametrize("name", POLICIES)
def test_a_circuit_is_loaded_with_the_same_options(name: str, tmp_path: Path) -> None:
    algorithm, policy, sizes = POLICIES[name]
    options = {"critic_hidden": [8], "actor_rate_scale": 2.0}
    model = algorithm(policy, make_swimmers("swimmer-3", 1), policy_kwargs=dict(options), **sizes)
    model.save(tmp_path / "m")
    loaded = algorithm.load(tmp_path / "m", policy_kwargs=dict(model.policy_kwargs))
    for parameter, values in model.policy.state_dict().items():
        assert (loaded.policy.state_dict()[parameter] == values).all()


def test_policies_by_themselves_are_saved_and_loaded(tmp_path: Path) -> None:
    for algorithm, policy in ((BoostedDQN, BoostedQPolicy), (BoostedSAC, BoostedSACPolicy)):
        model = algorithm(ENV[algorithm], seed=0, **SMALL).learn(24)
        model.policy.save(tmp_path / "p")
        observation = model.get_env().reset()
        theirs = policy.load(tmp_path / "p").predict(observation, deterministic=True)[0]
        np.testing.assert_array_equal(theirs, model.predict(observation, deterministic=True)[0])


def test_what_sb3_takes_is_taken() -> None:
    noise = NormalActionNoise(np.zeros(1), np.ones(1))
    kinds: list[dict[str, Any]] = [
        {"train_freq": (1, "episode"), "gradient_steps": -1},
        {"learning_rate": lambda left: left * 1e-3, "ent_coef": "auto_0.1", "target_entropy": -1.0},
        {"ent_coef": 0.2, "action_noise": noise, "n_steps": 3, "policy_kwargs": {"net_arch": [8], "tree": None}},
    ]
    for settings in kinds:
        BoostedSAC("MlpPolicy", "Pendulum-v1", **{**SMALL, **settings}).learn(24)


@pytest.mark.parametrize("shown", [BoostedDQN, BoostedSAC, NCAPPolicy, NCAPTD3Policy, NCAPSACPolicy])
def test_help_shows_every_setting(shown: Any) -> None:
    names = set(inspect.signature(shown).parameters)
    if shown in ENV:
        assert names >= {"rate", "grad_clip", "gamma", "batch_size", "train_freq", "target_update_interval"}
    else:
        assert names >= {"agent", "body", "task", "spec", "weights", "critic_hidden", "actor_rate_scale"}
