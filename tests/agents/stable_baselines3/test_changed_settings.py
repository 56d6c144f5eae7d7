"""Settings of boosted actor-critics count whenever they are set, or are refused in one line."""

import inspect
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger

from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig, BoostingConfig
from wormwood.agents.stable_baselines3.boosted import SB3_NAMES, BoostedA2C, BoostedAWR, BoostedPPO
from wormwood.agents.stable_baselines3.boosted_dqn import BoostedDQN
from wormwood.agents.stable_baselines3.boosted_sac import BoostedSAC
from wormwood.configs.checked import field_types
from wormwood.errors import BadInput
from wormwood.trees.schedules import RateSchedule

ALGORITHMS: list[Any] = [BoostedPPO, BoostedA2C, BoostedAWR]
SMALL: dict[str, Any] = {"n_steps": 32, "batch_size": 32, "seed": 0}


def test_settings_given_to_load_count(tmp_path: Path) -> None:
    BoostedPPO("CartPole-v1", **SMALL).save(tmp_path / "model")
    model = BoostedPPO.load(
        tmp_path / "model", env=make_vec_env("CartPole-v1", 1), n_epochs=9, batch_size=16, ent_coef=0.5,
        clip_range=0.01, gamma=0.5, gae_lambda=0.25, n_steps=8, policy_kwargs=model_options(),
    )  # fmt: skip
    settings = model.settings
    assert (settings.epochs, settings.batch_size, settings.steps) == (9, 16, 8)
    assert (settings.entropy_coefficient, settings.clip_range) == (0.5, 0.01)
    buffer = model.rollout_buffer
    assert (buffer.buffer_size, buffer.gamma, buffer.gae_lambda) == (8, 0.5, 0.25)
    model.learn(8)
    for wrong in ({"batch_size": 1}, {"gama": 0.5}, {"learning_rate": 0.1}, {"n_steps": 0}):
        with pytest.raises(BadInput, match="|".join(wrong)) as refused:
            BoostedPPO.load(tmp_path / "model", **wrong)
        assert "\n" not in str(refused.value)


def model_options() -> dict[str, Any]:
    return dict(BoostedPPO("CartPole-v1", **SMALL).policy_kwargs)


def test_a_discount_that_is_set_later_counts() -> None:
    for gamma, lambda_ in ((0.9, 0.8), (0.5, 1.0), (1.0, 0.0)):
        model = BoostedPPO(make_vec_env("CartPole-v1", 1, seed=0), gamma=0.99, **SMALL)
        model.gamma, model.gae_lambda = gamma, lambda_
        model.learn(32)
        buffer = model.rollout_buffer
        steps = int(np.flatnonzero(np.append(buffer.episode_starts[1:, 0], 1.0))[0]) + 1
        # The critic knows nothing yet, and CartPole pays 1 a step.
        expected = sum((gamma * lambda_) ** k for k in range(steps))
        assert buffer.advantages[0, 0] == pytest.approx(expected, rel=1e-5)


def test_what_is_set_later_is_checked() -> None:
    model = BoostedPPO("CartPole-v1", **SMALL)
    model.ent_coef, model.n_steps = 0.3, 32
    assert model.settings.entropy_coefficient == 0.3
    for name, value in (("n_steps", 64), ("gamma", 5.0), ("n_epochs", 0), ("temperature", 2.0)):
        with pytest.raises(BadInput, match=rf"\b{name} in BoostedPPO|BoostedPPO\.{name}"):
            setattr(model, name, value)
    assert model.settings == BoostedPPO("CartPole-v1", **SMALL, ent_coef=0.3).settings


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BoostedPPO(), "environment in BoostedPPO: expected an environment or its id, as "),
        (lambda: BoostedPPO("MlpPolicy"), "environment in BoostedPPO"),
        (lambda: BoostedDQN(), "environment in BoostedDQN"),
        (lambda: BoostedSAC("MlpPolicy"), "environment in BoostedSAC"),
        (lambda: BoostedPPO("FooPolicy", "CartPole-v1"), "policy in BoostedPPO: expected one of MlpPolicy"),
        (lambda: BoostedPPO("CartPole-v1", policy_kwargs={"agent": "mlp"}), r"policy_kwargs\.agent: expected .*'mlp'"),
        (lambda: BoostedPPO("CartPole-v1", policy_kwargs={"agnt": None, "a": 1}), "unknown option in policy_kwargs"),
        (lambda: BoostedPPO("CartPole-v1", policy_kwargs={"noise_std": -1}), r"policy_kwargs\.noise_std"),
        (lambda: BoostedPPO("CartPole-v1", boosting={}), None),
        (lambda: BoostedPPO("CartPole-v1", boosting={"merge": 0}), r"BoostedPPO\.boosting\.merge"),
        (lambda: BoostedPPO("CartPole-v1", noise_std=0.3), "noise_std .*unless actions are numbers"),
        (lambda: BoostedPPO("CartPole-v1", critic_rate=0.1), "critic_rate in BoostedPPO: .*unless critic is mlp"),
        (lambda: BoostedPPO("CartPole-v1", temperature=2.0), "temperature in BoostedPPO: .*unless loss is awr"),
        (lambda: BoostedPPO("CartPole-v1", learning_rate=1e-3), "learning_rate in BoostedPPO: expected boosting="),
        (lambda: BoostedPPO("CartPole-v1", max_grad_norm=1.0), "max_grad_norm in BoostedPPO: expected boosting="),
        (lambda: BoostedPPO("CartPole-v1", lag=1), "unknown setting in BoostedPPO"),
        (lambda: BoostedA2C("CartPole-v1", n_epochs=5), "n_epochs in BoostedA2C: .*unless loss is not a2c"),
        (lambda: BoostedA2C("CartPole-v1", batch_size=32), "batch_size in BoostedA2C"),
        (lambda: BoostedA2C("CartPole-v1", target_kl=0.1), "target_kl in BoostedA2C"),
        (lambda: BoostedAWR("CartPole-v1", clip_range=0.3), "clip_range in BoostedAWR: .*unless loss is ppo"),
        (lambda: BoostedA2C("CartPole-v1", settings=BoostedLearnerConfig(epochs=7)), "epochs in BoostedA2C"),
    ],
)  # fmt: skip
def test_what_is_wrong_or_does_nothing_is_refused_in_one_line(build: Any, message: str | None) -> None:
    if message is None:
        assert build().settings.boosting == BoostingConfig()
        return
    with pytest.raises(BadInput, match=message) as refused:
        build()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_help_shows_every_setting_with_its_default(algorithm: Any) -> None:
    shown = inspect.signature(algorithm).parameters
    usual = BoostedLearnerConfig(loss=algorithm.loss)
    idle = {name for name, (used, needs) in usual.uses().items() if not used and needs.startswith("loss")}
    names = {name for name in field_types(BoostedLearnerConfig) if name not in {"kind", "loss", "environments", "lag"}}
    for name in names - idle:
        assert shown[SB3_NAMES.get(name, name)].default == getattr(usual, name)
    assert not {*shown} & {"changes", "kwargs", *idle}
    assert [*shown][:2] == ["policy", "env"] and {"verbose", "seed", "tensorboard_log"} <= {*shown}

    class Own(algorithm):  # type: ignore[misc]
        def __init__(self, env: Any) -> None:
            super().__init__(env, n_steps=8)

    assert [*inspect.signature(Own).parameters] == ["env"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_logs_say_what_sb3s_do(algorithm: Any, name: str) -> None:
    rate = RateSchedule(first=0.2, last=0.1, trees=4)
    sizes = {} if algorithm is BoostedA2C else {"batch_size": 16, "n_epochs": 3}
    model = algorithm(make_vec_env(name, 1, seed=0), n_steps=32, seed=0, boosting={"policy_rate": rate}, **sizes)
    model.set_logger(Logger(folder=None, output_formats=[]))
    assert model.learning_rate == 0.2
    logged = []
    for _ in range(2):
        model.learn(32, reset_num_timesteps=False)
        logged.append({key.removeprefix("train/"): each for key, each in model.logger.name_to_value.items()})
    first, second = logged
    loss = "policy_gradient_loss" if algorithm is BoostedPPO else "policy_loss"
    assert {"n_updates", "explained_variance", "value_loss", "entropy_loss", "loss", "learning_rate", loss} <= {*first}
    assert ("std" in first) == (name == "Pendulum-v1")
    passes = 1 if algorithm is BoostedA2C else 3
    assert (first["n_updates"], second["n_updates"]) == (passes, 2 * passes)
    trees = 1 if algorithm is BoostedA2C else 6
    assert (first["learning_rate"], second["learning_rate"]) == pytest.approx((0.2, rate.rate(trees)))
    assert first["entropy_loss"] == -first["entropy"]
    if algorithm is BoostedA2C:  # its one minibatch is all there is
        whole = first[loss] + model.vf_coef * first["value_loss"]
        assert first["loss"] == pytest.approx(whole)
        advantages = model.rollout_buffer.advantages.ravel()
        standard = (advantages - advantages.mean()) / advantages.std(ddof=1)
        assert second[loss] == pytest.approx(-(standard * model.rollout_buffer.log_probs.ravel()).mean(), rel=1e-3)


def test_a_last_minibatch_of_one_row_leaves_finite_leaves() -> None:
    for algorithm in (BoostedPPO, BoostedAWR):
        model = algorithm(make_vec_env("CartPole-v1", 1, seed=0), n_steps=65, batch_size=64, n_epochs=2, seed=0)
        model.learn(65)
        assert np.isfinite(model.policy.actor_critic.forest_arrays()["policy/leaves"]).all()
        assert len(model.policy.actor_critic.forests["policy"]) == 4


def test_a_model_is_saved_without_what_only_its_process_knows() -> None:
    file = io.BytesIO()
    model = BoostedPPO("CartPole-v1", **SMALL, gamma=0.5)
    model.save(file)
    file.seek(0)
    assert BoostedPPO.load(file).settings == model.settings
