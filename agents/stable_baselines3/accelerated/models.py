"""``accelerate``: an unmodified model of Stable-Baselines3 whose ``train`` is compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from wormwood.agents.stable_baselines3.accelerated.collecting import collect_rollouts
from wormwood.agents.stable_baselines3.accelerated.optimizers import check_optimizer
from wormwood.agents.stable_baselines3.accelerated.policies import check_policy
from wormwood.agents.stable_baselines3.accelerated.updates import train_a2c, train_ppo
from wormwood.agents.stable_baselines3.replaced_methods import replace_method
from wormwood.errors import bad_input

__all__ = ["accelerate"]

Model = TypeVar("Model", bound=BaseAlgorithm)
WHERE = "accelerate"


def accelerate(model: Model) -> Model:
    """Let a PPO or A2C of Stable-Baselines3 learn by a compiled update in place of torch's.

    ``model = wormwood.accelerate(PPO("MlpPolicy", env))`` learns, calls callbacks, logs, predicts, saves and loads as
    before. Weights are those of SB3's own ``train`` within the rounding of single precision, from the same
    minibatches, and the optimiser's state stays in ``model.policy.optimizer``: what is saved goes on in plain SB3.

    Args:
        model: PPO or A2C whose policy is an ``MlpPolicy`` or ``MultiInputPolicy`` with layers of its own for actor and
            critic, of one activation (tanh, ReLU, ELU or GELU), and whose optimiser is torch's Adam or RMSprop. It is
            changed, and returned.

    Raises:
        BadInput: it is another algorithm, policy or optimiser. The model stays as it was.
    """
    if not isinstance(model, BaseAlgorithm):
        raise bad_input("model", where=WHERE, expected='a model, as PPO("MlpPolicy", env) makes one', got=model)
    train = _compiled(model)
    replace_method(model, "train", functools.partial(_train, model, train))
    if collects_as_sb3(model):
        replace_method(model, "collect_rollouts", functools.partial(collect_rollouts, model))
    return model


def collects_as_sb3(model: Any) -> bool:
    """Return whether a model's ``collect_rollouts`` is SB3's own: neither its class's nor that of ``distribute``."""
    own = OnPolicyAlgorithm.collect_rollouts
    return "collect_rollouts" not in vars(model) and type(model).collect_rollouts is own


def _train(model: Any, train: Callable[[Any], None]) -> None:
    """Update a model, if it is still one that can be compiled."""
    _compiled(model)
    train(model)


def _compiled(model: Any) -> Callable[[Any], None]:
    """Return what takes the place of a model's ``train``.

    Raises:
        BadInput: nothing does.
    """
    ours: dict[Any, Callable[[Any], None]] = {PPO.train: train_ppo, A2C.train: train_a2c}
    train = ours.get(getattr(type(model), "train", None))
    if train is None:
        expected = "PPO or A2C with their own train"
        raise bad_input("algorithm", where=WHERE, expected=expected, got=type(model).__name__)
    if type(model.rollout_buffer) not in (RolloutBuffer, DictRolloutBuffer):
        expected = "RolloutBuffer or DictRolloutBuffer"
        raise bad_input("rollout_buffer", where=WHERE, expected=expected, got=type(model.rollout_buffer).__name__)
    check_policy(model.policy, where=WHERE)
    check_optimizer(model.policy.optimizer, model.policy, where=WHERE)
    return train
