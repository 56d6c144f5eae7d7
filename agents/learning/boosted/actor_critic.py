"""A policy that is a boosted forest, its value in the same forest, another or a network, and their update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wormwood.agents.learning.boosted.boosting import Boosting
from wormwood.agents.learning.boosted.likelihoods import Likelihood, categorical_likelihood, gaussian_likelihood
from wormwood.agents.learning.boosted.losses import a2c_gradient, awr_gradient, clip_rows, ppo_gradient, ppo_loss
from wormwood.agents.learning.boosted.network_critic import NetworkCritic
from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig, BoostingConfig
from wormwood.agents.policies.features import FeatureMap, rows_of
from wormwood.agents.policies.forest import new_forest, noise_shape
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.envs.specs import ActionSpace
from wormwood.errors import bad_input
from wormwood.trees.compression import distil
from wormwood.trees.forest import Forest
from wormwood.trees.schedules import RateSchedule

__all__ = ["BoostedActorCritic", "Experience"]

Permutation = Callable[[int], NDArray[np.int64]]
"""n -> the numbers below n in random order, another one each time."""


@dataclass(frozen=True)
class Experience:
    """n transitions with what the critic made of them."""

    observation: Floats
    """``[n, D]``"""
    action: NDArray[Any]
    """``[n, J]``, or ``[n, K]`` choices."""
    log_prob: Floats
    """``[n]`` with which the actions were drawn."""
    advantage: Floats
    """``[n]``"""
    target: Floats
    """``[n]`` values to learn."""


class BoostedActorCritic(nn.Module):
    """A policy and a value that grow by one tree for each minibatch, or a policy alone beside a network."""

    def __init__(
        self,
        config: ForestConfig,
        boosting: BoostingConfig,
        *,
        feature_map: FeatureMap,
        actions: ActionSpace,
        noise_std: float,
        critic: NetworkCritic | None = None,
        critic_rate: float = 1e-3,
    ) -> None:
        """Start without trees.

        Args:
            config: what the forests are like.
            boosting: how they follow gradients.
            feature_map: makes the features.
            actions: of the policy.
            noise_std: standard deviation of the exploration noise of continuous actions at the start.
            critic: estimates the value in place of trees.
            critic_rate: Adam's step size for it.

        Raises:
            BadInput: there is a network, and the policy's forest is to share its trees with the value.
        """
        super().__init__()
        if critic is not None and config.shares_trees:
            expected = "agent.shares_trees=false, since a network has no trees to share"
            raise bad_input("agent", where="learner boosted, critic network", expected=expected, got="true")
        self.config, self._boosting, self._feature_map, self._actions = config, boosting, feature_map, actions
        self.critic = critic
        self.forests = {"policy": new_forest(config, feature_map, actions)}
        if not config.shares_trees and critic is None:
            self.forests["value"] = Forest([0.0], features=feature_map.columns, depth=config.tree.max_depth)
        self.grown = 0
        self.recent_rows: Floats = np.empty((0, feature_map.columns))
        self.log_std: nn.Parameter | None = None
        moved: list[dict[str, Any]] = []
        if not actions.choices:
            start = torch.full(noise_shape(config, actions), float(np.log(noise_std)), dtype=torch.float64)
            self.log_std = nn.Parameter(start)
            moved.append({"params": [self.log_std], "lr": boosting.noise_rate})
        if critic is not None:
            moved.append({"params": list(critic.parameters()), "lr": critic_rate})
        self.optimizer = torch.optim.Adam(moved) if moved else None

    def get_extra_state(self) -> dict[str, torch.Tensor]:
        """Return ``forest_arrays``, such as ``policy/leaves [K, L, D]`` of K trees, and ``growth_arrays`` as tensors.

        Torch keeps them with the module's state.
        """
        arrays = {**self.forest_arrays(), **self.growth_arrays()}
        return {name: torch.from_numpy(values) for name, values in arrays.items()}

    def set_extra_state(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from what ``get_extra_state`` returned.

        Raises:
            BadInput: the arrays are no forest.
        """
        arrays = {name: values.numpy() for name, values in state.items()}
        self.restore_growth(arrays)
        self.restore_forests(arrays)

    def forest_arrays(self) -> Arrays:
        """Return all forests as ``<policy or value>/<array>``; see ``Forest.arrays``."""
        return {
            f"{name}/{array}": values
            for name, forest in self.forests.items()
            for array, values in forest.arrays().items()
        }

    def restore_forests(self, arrays: Arrays) -> None:
        """Go on from what ``forest_arrays`` returned.

        Raises:
            BadInput: the arrays are no forest.
        """
        for name in self.forests:
            forest_arrays = {
                key.removeprefix(f"{name}/"): values for key, values in arrays.items() if key.startswith(f"{name}/")
            }
            self.forests[name] = Forest.from_arrays(forest_arrays)

    def growth_arrays(self) -> Arrays:
        """Return what else growth depends on: the scalar ``grown`` (trees) and ``recent_rows [n, F]`` to distil on."""
        return {"grown": np.array(self.grown, np.int64), "recent_rows": self.recent_rows.astype(np.float32)}

    def restore_growth(self, arrays: Arrays) -> None:
        """Go on from what ``growth_arrays`` returned."""
        self.grown, self.recent_rows = int(arrays["grown"]), arrays["recent_rows"].astype(np.float64)

    def outputs(self, observation: Floats) -> tuple[Floats, Floats]:
        """Return the policy's outputs ``[N, P]`` and the values ``[N]`` at observations ``[N, D]``."""
        features = self._feature_map.features(observation)
        outputs, values = self._split({name: forest.predict(features) for name, forest in self.forests.items()})
        if self.critic is not None:
            with torch.no_grad():
                values = self.critic(features).cpu().numpy().astype(np.float64)
        return outputs, values

    @property
    def policy_rate(self) -> float:
        """Learning rate of the policy's next tree."""
        return _rate(self._boosting.policy_rate, self.grown)

    def likelihood(self, outputs: Floats, action: NDArray[Any]) -> Likelihood:
        """Return how likely actions ``[n, J]``, or choices ``[n, K]``, are under the policy's outputs ``[n, P]``."""
        if self.log_std is None:
            return categorical_likelihood(outputs, action, self._actions.choices)
        return gaussian_likelihood(outputs, action, self.log_std.detach().cpu().numpy())

    def improve(
        self, experience: Experience, settings: BoostedLearnerConfig, *, permutation: Permutation
    ) -> Mapping[str, float]:
        """Learn from a rollout, in minibatches in the order of ``permutation``, and return metrics."""
        features = self._feature_map.features(experience.observation)
        growing = {
            name: Boosting(
                forest, self.config.tree, merge=self._boosting.merge, categorical=self._feature_map.categorical
            )
            for name, forest in self.forests.items()
        }
        for boosting in growing.values():
            boosting.begin(features)
        if self.critic is not None:
            self.critic.observe(features)
        found: list[Floats] = []
        passes = 0
        for passes, chosen in _minibatches(len(experience.action), settings, permutation):  # noqa: B007 # counts
            found.append(self._step(growing, experience, chosen, settings))
            if settings.target_kl is not None and _approximate_kl(found[-1][2]) > 1.5 * settings.target_kl:
                break
        for boosting in growing.values():
            boosting.finish()
        distilled = self._bound_growth(features)
        error, entropy, log_ratio, loss = np.concatenate(found, axis=1)
        name = "policy_gradient_loss" if settings.loss == "ppo" else "policy_loss"  # as in SB3
        return {
            **distilled,
            "passes": float(passes),
            name: float(loss.mean()),
            "value_loss": float(np.mean(error**2)),
            "entropy": float(entropy.mean()),
            "entropy_loss": -float(entropy.mean()),
            "loss": _whole_loss(found[-1], settings),
            "approx_kl": _approximate_kl(log_ratio),
            "clip_fraction": float(np.mean(np.abs(np.expm1(log_ratio)) > settings.clip_range)),
            "trees": float(sum(map(len, self.forests.values()))),
        }

    def _bound_growth(self, features: Floats) -> dict[str, float]:
        """Distil each forest that has become too large, and return by how much the outputs changed at these rows."""
        settings = self._boosting
        if settings.max_trees is None:
            return {}
        rows = np.concatenate([self.recent_rows, features])[-settings.distilled_rows :]
        self.recent_rows = rows.astype(np.float32).astype(np.float64)  # as the state keeps them
        metrics = {}
        for name, forest in self.forests.items():
            if len(forest) > settings.max_trees:
                distilled = distil(
                    forest,
                    self.recent_rows,
                    trees=settings.distilled_trees,
                    config=self.config.tree,
                    held_out=features,
                )
                self.forests[name] = distilled.forest
                metrics[f"distilled_{name}_change"] = float(distilled.rms_change.max())
        return metrics

    def _step(
        self,
        growing: Mapping[str, Boosting],
        experience: Experience,
        chosen: NDArray[np.int64],
        settings: BoostedLearnerConfig,
    ) -> Floats:
        """Learn from one minibatch, and return error, entropy, log-ratio and loss of its transitions ``[4, n]``."""
        rows = rows_of(self._feature_map, chosen)
        outputs, values = self._split({name: boosting.outputs(rows) for name, boosting in growing.items()})
        predicted = None
        if self.critic is not None:
            predicted = self.critic(growing["policy"].features[rows])
            values = predicted.detach().cpu().numpy().astype(np.float64)
        likelihood = self.likelihood(outputs, experience.action[chosen])
        loss, loss_gradient = _policy_loss(likelihood, experience, chosen, settings)
        gradient = (
            loss_gradient[:, None] * likelihood.gradient - settings.entropy_coefficient * likelihood.entropy_gradient
        )
        gradient = clip_rows(gradient, self._boosting.policy_max_grad_norm)
        error = values - experience.target[chosen]
        longest = self._boosting.value_grad_clip
        value_gradient = np.clip(2.0 * settings.value_coefficient * error, -longest, longest)
        self._grow(growing, rows, gradient, value_gradient)
        if predicted is not None:
            predicted.backward(torch.as_tensor(value_gradient / len(chosen)).to(predicted))
        self._step_parameters(loss_gradient, likelihood, settings)
        log_ratio = likelihood.log_prob - experience.log_prob[chosen]
        return np.stack([error, likelihood.entropy, log_ratio, loss])

    def _grow(
        self, growing: Mapping[str, Boosting], rows: NDArray[np.int64], gradient: Floats, value_gradient: Floats
    ) -> None:
        # Each row of an observation has its own means, and a share in the value, which is the mean over rows: so each
        # row moves as the value should.
        per_row = gradient.reshape(len(rows), -1)
        value_per_row = np.repeat(value_gradient, self._feature_map.rows)[:, None]
        policy_rates = [_rate(self._boosting.policy_rate, self.grown)] * per_row.shape[1]
        value_rate = _rate(self._boosting.value_rate, self.grown)
        self.grown += 1
        if self.config.shares_trees:
            growing["policy"].step(rows, np.hstack([per_row, value_per_row]), np.array([*policy_rates, value_rate]))
            return
        growing["policy"].step(rows, per_row, np.array(policy_rates))
        if "value" in growing:
            growing["value"].step(rows, value_per_row, np.array([value_rate]))

    def _step_parameters(self, loss_gradient: Floats, likelihood: Likelihood, settings: BoostedLearnerConfig) -> None:
        """Move what is no tree: the noise, and a network whose gradients are there."""
        if self.optimizer is None:
            return
        if self.log_std is not None and likelihood.noise_gradient is not None:
            gradient = (loss_gradient[:, None] * likelihood.noise_gradient).mean(axis=0) - settings.entropy_coefficient
            gradient = gradient if self.log_std.ndim else gradient.sum()
            self.log_std.grad = torch.as_tensor(gradient, dtype=torch.float64, device=self.log_std.device)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _split(self, outputs: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        """Part what forests return into the policy's outputs ``[n, P]`` and values ``[n]``, 0 without a forest."""
        policy = outputs["policy"]
        count = len(policy) // self._feature_map.rows
        policy_outputs, value = policy, np.zeros(len(policy))
        if self.config.shares_trees:
            policy_outputs, value = policy[:, :-1], policy[:, -1]
        elif "value" in outputs:
            value = outputs["value"][:, 0]
        means = value if self._feature_map.rows == 1 else value.reshape(count, -1).mean(axis=1)
        return policy_outputs.reshape(count, -1), means


def _policy_loss(
    likelihood: Likelihood, experience: Experience, chosen: NDArray[np.int64], settings: BoostedLearnerConfig
) -> tuple[Floats, Floats]:
    """Return each transition's loss ``[n]``, and its derivative by the logarithm of the action's probability."""
    advantage = experience.advantage[chosen]
    if settings.normalize_advantage and len(advantage) > 1:
        centred = advantage - advantage.mean()
        advantage = centred / (np.sqrt(np.square(centred).sum() / (len(centred) - 1)) + 1e-8)
    if settings.loss == "ppo":
        old = experience.log_prob[chosen]
        loss = ppo_loss(likelihood.log_prob, old, advantage, settings.clip_range)
        return loss, ppo_gradient(likelihood.log_prob, old, advantage, settings.clip_range)
    weighted = a2c_gradient(advantage) if settings.loss == "a2c" else awr_gradient(advantage, settings.temperature)
    return weighted * likelihood.log_prob, weighted


def _whole_loss(found: Floats, settings: BoostedLearnerConfig) -> float:
    """Return the loss of a minibatch, of which ``_step`` returned ``found [4, n]``."""
    error, entropy, _, loss = found
    value = settings.value_coefficient * np.mean(error**2)
    return float(loss.mean() + value - settings.entropy_coefficient * entropy.mean())


def _approximate_kl(log_ratio: Floats) -> float:
    """Return Schulman's estimate of the divergence from the policy that acted (http://joschu.net/blog/kl-approx.html)."""
    return float(np.mean(np.expm1(log_ratio) - log_ratio))


def _minibatches(
    count: int, settings: BoostedLearnerConfig, permutation: Permutation
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the number of each pass, from 1, and the rows of each of its minibatches: with ``a2c``, all at once."""
    epochs, size = (1, count) if settings.loss == "a2c" else (settings.epochs, settings.batch_size)
    for number in range(1, epochs + 1):
        order = permutation(count)
        for begin in range(0, count, size):
            yield number, order[begin : begin + size]


def _rate(rate: float | RateSchedule, trees: int) -> float:
    return rate.rate(trees) if isinstance(rate, RateSchedule) else rate
