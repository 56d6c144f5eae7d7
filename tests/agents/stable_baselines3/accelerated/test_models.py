import functools
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

import wormwood
from wormwood import BadInput


def _environments(name: str = "CartPole-v1", count: int = 2) -> DummyVecEnv:
    return DummyVecEnv([lambda: gymnasium.make(name)] * count)


def _model(name: str = "CartPole-v1", algorithm: Any = PPO, **changes: Any) -> Any:
    settings = {"n_steps": 64, "seed": 0, "device": "cpu"} | changes
    return algorithm("MlpPolicy", _environments(name), **settings)


def _weights(model: Any) -> torch.Tensor:
    return torch.cat([each.detach().ravel() for each in model.policy.parameters()])


class Seen(BaseCallback):
    """Remembers what a callback can look at in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        names = ("actions", "clipped_actions", "rewards", "dones", "new_obs", "values", "log_probs")
        self.steps.append({name: np.asarray(self.locals[name]) for name in names} | {"self": self.locals["self"]})
        self.keys = set(self.locals)
        return True


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_a_training_is_that_of_sb3(name):
    models, seen = [], [Seen(), Seen()]
    for callback in seen:  # one after the other: SB3 draws from generators of the whole process, which a model seeds
        models.append(_model(name) if callback is seen[0] else wormwood.accelerate(_model(name)))
        models[-1].learn(256, callback=callback)
    for theirs, ours in zip(seen[0].steps, seen[1].steps, strict=True):
        assert theirs.pop("self") is models[0] and ours.pop("self") is models[1]
        for key, values in theirs.items():
            assert ours[key].shape == values.shape and ours[key].dtype == values.dtype, key
            np.testing.assert_allclose(ours[key], values, atol=1e-3, err_msg=key)
    assert seen[0].keys - {"idx", "done"} <= seen[1].keys  # these two are of the step before
    assert float((_weights(models[0]) - _weights(models[1])).abs().max()) <= 1e-4
    assert models[0].ep_info_buffer == models[1].ep_info_buffer and models[0].num_timesteps == models[1].num_timesteps


def test_what_is_saved_goes_on_in_plain_sb3_and_back(tmp_path):
    model = wormwood.accelerate(_model())
    model.learn(128)
    model.save(tmp_path / "model.zip")
    plain = PPO.load(tmp_path / "model.zip", env=_environments(), device="cpu")
    assert type(plain).train is PPO.train and "train" not in vars(plain) and "collect_rollouts" not in vars(plain)
    assert torch.equal(_weights(plain), _weights(model))
    state = plain.policy.optimizer.state_dict()["state"]
    assert {float(entry["step"]) for entry in state.values()} == {20.0}  # two minibatches of 64 for ten epochs
    for one, other in zip(state.values(), model.policy.optimizer.state_dict()["state"].values(), strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    wormwood.accelerate(plain).learn(128)
    assert plain._n_updates == 20


def test_weights_that_are_set_between_rollouts_act(tmp_path):
    model = wormwood.accelerate(_model("Pendulum-v1"))
    model.learn(128)
    with torch.no_grad():
        model.policy.action_net.bias.data += 100.0  # in a way that no counter of torch's sees
    seen = Seen()
    model.learn(64, callback=seen)
    assert min(step["actions"].min() for step in seen.steps) > 50


def test_accelerate_and_distribute_go_together(tmp_path):
    def learned(*changes: Any) -> Any:
        model = PPO("MlpPolicy", wormwood.make_swimmers("swimmer-3", 4), n_steps=32, seed=0, device="cpu")
        for change in changes:
            change(model)
        return model.learn(256)

    distribute = functools.partial(wormwood.distribute, workers=0)
    one = learned(wormwood.accelerate, distribute)
    other = learned(distribute, wormwood.accelerate)
    plain = learned(distribute)
    assert torch.equal(_weights(one), _weights(other))
    assert float((_weights(one) - _weights(plain)).abs().max()) <= 1e-5
    one.save(tmp_path / "model.zip")
    assert torch.equal(_weights(PPO.load(tmp_path / "model.zip", device="cpu")), _weights(one))


class _Extractor(BaseFeaturesExtractor):
    def __init__(self, space: Any) -> None:
        super().__init__(space, 3)
        self.layer = nn.Linear(4, 3)


class _Policy(ActorCriticPolicy):
    def evaluate_actions(self, obs: Any, actions: Any) -> Any:
        return super().evaluate_actions(obs, actions)


class _PPO(PPO):
    def train(self) -> None:
        super().train()


class _Buffer(RolloutBuffer):
    pass


def _tied() -> Any:
    model = _model()
    model.policy.mlp_extractor.value_net = model.policy.mlp_extractor.policy_net
    model.policy.optimizer = torch.optim.Adam(model.policy.parameters())
    return model


REFUSED = {
    "extractor": (lambda: _model(policy_kwargs={"features_extractor_class": _Extractor}), "extractor without layers"),
    "gsde": (lambda: _model("Pendulum-v1", use_sde=True), "Gaussian without gSDE"),
    "bits": (lambda: PPO("MlpPolicy", _bits(), device="cpu"), "BernoulliDistribution"),
    "optimizer": (lambda: _model(policy_kwargs={"optimizer_class": torch.optim.AdamW}), "torch.optim.Adam or"),
    "tf": (lambda: _model(algorithm=A2C, policy_kwargs={"optimizer_class": RMSpropTFLike}), "torch.optim.Adam or"),
    "decay": (lambda: _model(policy_kwargs={"optimizer_kwargs": {"weight_decay": 0.1}}), "expected no weight_decay"),
    "activation": (lambda: _model(policy_kwargs={"activation_fn": nn.SiLU}), "Tanh, ReLU, ELU, GELU"),
    "policy": (lambda: PPO(_Policy, _environments(), device="cpu"), "their own evaluate_actions"),
    "algorithm": (lambda: _PPO("MlpPolicy", _environments(), device="cpu"), "PPO or A2C with their own train"),
    "sac": (lambda: SAC("MlpPolicy", _environments("Pendulum-v1"), device="cpu"), "PPO or A2C"),
    "buffer": (lambda: _model(rollout_buffer_class=_Buffer), "RolloutBuffer or DictRolloutBuffer"),
    "shared": (_tied, "separate layers"),
    "circuit": (lambda: PPO(wormwood.NCAPPolicy, wormwood.make_swimmers("swimmer-3", 1), device="cpu"), "NCAPPolicy"),
}


def _bits() -> Any:
    env = gymnasium.make("CartPole-v1")
    env.action_space = spaces.MultiBinary(3)
    return DummyVecEnv([lambda: env])


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_compiled_is_refused_and_left_as_it_was(kind):
    build, message = REFUSED[kind]
    model = build()
    before = dict(vars(model))
    with pytest.raises(BadInput, match=message) as refused:
        wormwood.accelerate(model)
    assert "accelerate" in str(refused.value) and "\n" not in str(refused.value)
    assert vars(model) == before


def test_a_model_that_was_changed_later_is_refused_at_its_update():
    model = wormwood.accelerate(_model())
    model.policy.action_net.register_forward_hook(lambda *_: None)
    with pytest.raises(BadInput, match="layers without options or hooks"):
        model.learn(128)
    with pytest.raises(BadInput, match="expected a model"):
        wormwood.accelerate("PPO")
