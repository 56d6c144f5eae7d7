"""One update of SB3's PPO and A2C, compiled: what their ``train`` does, to single precision's rounding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.utils import explained_variance

from wormwood.agents.learning.compiled.perceptrons import Singles
from wormwood.agents.learning.compiled.policy_gradient import Experience, Objective
from wormwood.agents.learning.compiled.updates import Outcome, Progress, update
from wormwood.agents.stable_baselines3.accelerated.optimizers import read_descent, write_descent
from wormwood.agents.stable_baselines3.accelerated.policies import (
    features_of,
    networks_of,
    parameter_views,
    read_parameters,
)
from wormwood.errors import bad_input

__all__ = ["train_a2c", "train_ppo"]


def train_ppo(model: PPO) -> None:
    """Do what ``PPO.train`` does.

    Raises:
        BadInput: the model is no longer what ``accelerate`` took, or the experience holds what is no number.
    """
    policy, progress = model.policy, model._current_progress_remaining
    policy.set_training_mode(True)
    model._update_learning_rate(policy.optimizer)
    schedules: Any = model
    clip_range = schedules.clip_range(progress)
    value_clip = None if model.clip_range_vf is None else schedules.clip_range_vf(progress)
    objective = Objective(
        surrogate=True,
        clip_range=float(clip_range),
        value_clip=math.inf if value_clip is None else float(value_clip),
        value_coefficient=float(model.vf_coef),
        entropy_coefficient=float(model.ent_coef),
        max_grad_norm=float(model.max_grad_norm),
        target_kl=math.inf if model.target_kl is None else float(model.target_kl),
        normalize=bool(model.normalize_advantage),
    )
    outcome = _update(model, objective, passes=model.n_epochs, batch_size=model.batch_size)
    model._n_updates += outcome.passes
    if outcome.stopped and model.verbose >= 1:
        print(f"Early stopping at step {outcome.passes - 1} due to reaching max kl: {outcome.kl[-1]:.2f}")
    logger = model.logger
    for name, value in outcome.metrics().items():
        logger.record(f"train/{name}", value)
    _log_state(model)
    logger.record("train/clip_range", clip_range)
    if value_clip is not None:
        logger.record("train/clip_range_vf", value_clip)


def train_a2c(model: A2C) -> None:
    """Do what ``A2C.train`` does.

    Raises:
        BadInput: the model is no longer what ``accelerate`` took, or the experience holds what is no number.
    """
    policy = model.policy
    policy.set_training_mode(True)
    model._update_learning_rate(policy.optimizer)
    objective = Objective(
        surrogate=False,
        clip_range=math.inf,
        value_clip=math.inf,
        value_coefficient=float(model.vf_coef),
        entropy_coefficient=float(model.ent_coef),
        max_grad_norm=float(model.max_grad_norm),
        target_kl=math.inf,
        normalize=bool(model.normalize_advantage),
    )
    metrics = _update(model, objective, passes=1, batch_size=None).metrics()
    model._n_updates += 1
    _log_state(model)
    model.logger.record("train/entropy_loss", metrics["entropy_loss"])
    model.logger.record("train/policy_loss", metrics["policy_gradient_loss"])
    model.logger.record("train/value_loss", metrics["value_loss"])


def _log_state(model: Any) -> None:
    buffer, logger = model.rollout_buffer, model.logger
    logger.record("train/explained_variance", explained_variance(buffer.values.ravel(), buffer.returns.ravel()))
    if hasattr(model.policy, "log_std"):
        logger.record("train/std", torch.exp(model.policy.log_std).mean().item())
    logger.record("train/n_updates", model._n_updates, exclude="tensorboard")


def _update(model: Any, objective: Objective, *, passes: int, batch_size: int | None) -> Outcome:
    """Improve a model's policy from its rollout buffer, in the minibatches that SB3 would draw."""
    policy, data = model.policy, _experience(model)
    rows = len(data.returns)
    batch_size = min(batch_size or rows, rows)
    networks = networks_of(policy, batch_size)
    progress = Progress(read_parameters(policy, networks), *read_descent(policy, networks))
    orders, states = _orders(passes, rows, keep_states=objective.target_kl < math.inf)
    outcome = update(networks, progress, objective, data, orders, batch_size=batch_size)
    if states:
        np.random.set_state(states[outcome.passes - 1])  # noqa: NPY002 # passes that were left out drew nothing
    with torch.no_grad():
        for tensor, view in parameter_views(policy, networks, progress.parameters):
            tensor.copy_(torch.from_numpy(view))
        write_descent(policy, networks, progress.descent, progress.steps)
    return outcome


def _orders(passes: int, rows: int, *, keep_states: bool) -> tuple[NDArray[np.int64], list[Any]]:
    """Draw the order of rows in each pass ``[E, N]``, as SB3 does; also return the generator's states after them."""
    orders = np.empty((passes, rows), dtype=np.int64)
    states: list[Any] = []
    for order in orders:
        order[:] = np.random.permutation(rows)  # noqa: NPY002 # SB3's own source of randomness
        if keep_states:
            states.append(np.random.get_state())  # noqa: NPY002
    return orders, states


def _experience(model: Any) -> Experience:
    """Return a full rollout buffer's transitions, one row for each.

    Raises:
        BadInput: a number is not finite.
    """
    buffer: RolloutBuffer | DictRolloutBuffer = model.rollout_buffer
    if not buffer.generator_ready:
        state = np.random.get_state()  # noqa: NPY002
        next(buffer.get(1))  # flattens the buffer, as the first pass of SB3's own update
        np.random.set_state(state)  # noqa: NPY002
    rows = buffer.buffer_size * buffer.n_envs
    actions = np.asarray(buffer.actions, dtype=np.float32).reshape(rows, -1)
    flat = [getattr(buffer, name).reshape(rows) for name in ("log_probs", "values", "advantages", "returns")]
    features = features_of(model.policy, buffer.observations)
    data = Experience(features, features, np.ascontiguousarray(actions), *flat)
    for name, values in {"observations": features, **data._asdict()}.items():
        finite = np.isfinite(values).reshape(rows, -1).all(axis=1)
        if not finite.all():
            environment, step = divmod(int(np.argmin(finite)), buffer.buffer_size)
            where = f"the rollout, environment {environment}, step {step}"
            raise bad_input(name, where=where, expected="finite numbers", got=str(_first(values, finite)))
    return data


def _first(values: Singles, finite: NDArray[np.bool_]) -> Any:
    row = values[int(np.argmin(finite))]
    return row if row.ndim == 0 else row[~np.isfinite(row)][0]
