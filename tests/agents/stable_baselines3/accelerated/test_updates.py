"""Updates beside those of SB3's own ``train``, from the same buffer, minibatches and start."""

import copy
import io
import math
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from wormwood import BadInput
from wormwood.agents.stable_baselines3.accelerated.models import accelerate

ACTIONS: dict[str, spaces.Space[Any]] = {
    "gaussian": spaces.Box(-1.0, 1.0, (3,)),
    "categorical": spaces.Discrete(4),
    "multi-categorical": spaces.MultiDiscrete([2, 5, 3]),
}
OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "box": spaces.Box(-2.0, 2.0, (5,)),
    "matrix": spaces.Box(-2.0, 2.0, (3, 2), dtype=np.float64),
    "discrete": spaces.Discrete(6),
    "dict": spaces.Dict({"a": spaces.Box(-1.0, 1.0, (2,)), "b": spaces.MultiBinary(3)}),
}


class RandomEnv(gymnasium.Env[Any, Any]):
    """Observations and rewards are noise; an episode takes nine steps."""

    def __init__(self, observation: str = "box", action: str = "gaussian") -> None:
        self.observation_space, self.action_space = map(copy.deepcopy, (OBSERVATIONS[observation], ACTIONS[action]))
        self._rng, self._steps = np.random.default_rng(0), 0
        self.observation_space.seed(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        return self.observation_space.sample(), float(self._rng.normal()), False, self._steps == 9, {}


def _model(algorithm: type[BaseAlgorithm] = PPO, **changes: Any) -> Any:
    """Return a small model that has collected and learned once, so that its optimiser remembers something."""
    space = {key: changes.pop(key) for key in ("observation", "action") if key in changes}
    environments = DummyVecEnv([lambda: RandomEnv(**space)] * 2)
    policy = "MultiInputPolicy" if space.get("observation") == "dict" else "MlpPolicy"
    settings: dict[str, Any] = {"n_steps": 21, "seed": 0, "device": "cpu"}
    if algorithm is PPO:
        settings |= {"batch_size": 10, "n_epochs": 3}
    settings |= {"policy_kwargs": {"net_arch": [16, 8]}} | changes
    model: Any = algorithm(policy, environments, **settings)
    model.learn(settings["n_steps"] * 2)
    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def _twin(model: Any) -> Any:
    file = io.BytesIO()
    model.save(file)
    file.seek(0)
    twin = type(model).load(file, env=model.env, device="cpu")
    twin.rollout_buffer = copy.deepcopy(model.rollout_buffer)
    twin.set_logger(Logger(folder=None, output_formats=[]))
    return accelerate(twin)


def _train(model: Any) -> tuple[dict[str, float], float]:
    """Return what one update logs, and the next random number behind it."""
    np.random.seed(7)  # noqa: NPY002
    model.train()
    return dict(model.logger.name_to_value), float(np.random.random())  # noqa: NPY002


def _largest_difference(one: Any, other: Any) -> float:
    pairs = zip(one.policy.parameters(), other.policy.parameters(), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


WAYS: list[dict[str, Any]] = [
    {},
    {"observation": "matrix", "policy_kwargs": {"net_arch": {"pi": [8], "vf": [32, 32, 8]}, "activation_fn": nn.ReLU}},
    {"observation": "discrete", "action": "categorical", "ent_coef": 0.01, "policy_kwargs": {"activation_fn": nn.ELU}},
    {
        "observation": "dict",
        "action": "multi-categorical",
        "ent_coef": 0.1,
        "policy_kwargs": {"activation_fn": nn.GELU},
    },
    {"policy_kwargs": {"net_arch": []}, "clip_range_vf": 0.1, "normalize_advantage": False},
    {"target_kl": 1e-3, "learning_rate": 3e-2, "n_epochs": 10, "verbose": 1},
    {"batch_size": 41, "clip_range": lambda left: 0.3 * left, "max_grad_norm": 0.01, "vf_coef": 2.0},  # leaves one row
    {
        "policy_kwargs": {
            "optimizer_class": torch.optim.RMSprop,
            "log_std_init": -1.0,
            "share_features_extractor": False,
        }
    },
]


@pytest.mark.parametrize("changes", WAYS)
def test_an_update_of_ppo_is_that_of_sb3(changes, capsys):
    model = _model(**changes)
    twin = _twin(model)
    capsys.readouterr()
    (theirs, number), said = _train(model), capsys.readouterr().out
    ours, own_number = _train(twin)
    assert capsys.readouterr().out == said
    assert _largest_difference(model, twin) <= 1e-5
    assert ours.keys() == theirs.keys() and number == own_number
    assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-4)
    if "target_kl" in changes:
        assert "Early stopping" in said and model._n_updates < 20
    # What the optimiser remembers is carried, too: the next update goes on alike.
    _train(model)
    _train(twin)
    assert _largest_difference(model, twin) <= 1e-4


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("changes", [{}, {"use_rms_prop": False, "normalize_advantage": True, "ent_coef": 0.01}])
def test_an_update_of_a2c_is_that_of_sb3(action, changes):
    model = _model(A2C, action=action, **changes)
    twin = _twin(model)
    assert _train(twin)[0] == pytest.approx(_train(model)[0], rel=1e-4, abs=1e-5)
    assert _largest_difference(model, twin) <= 1e-6


def test_one_minibatch_moves_weights_as_sb3_does():
    model = _model(batch_size=42, n_epochs=1)
    twin = _twin(model)
    _train(model)
    _train(twin)
    assert _largest_difference(model, twin) <= 1e-6


@pytest.mark.parametrize(
    ("name", "value"), [("advantages", math.nan), ("returns", math.inf), ("observations", -math.inf)]
)
def test_what_is_no_number_is_named_before_the_update(name, value):
    model = _twin(_model())
    before = copy.deepcopy(model.policy.state_dict())
    getattr(model.rollout_buffer, name).reshape(42, -1)[25, 0] = value  # the fifth step of the second environment
    with pytest.raises(BadInput, match=f"^{name} in the rollout, environment 1, step 4: expected finite numbers, got"):
        model.train()
    for key, values in model.policy.state_dict().items():
        assert torch.equal(values, before[key])
