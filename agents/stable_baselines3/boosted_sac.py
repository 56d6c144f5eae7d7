"""Soft actor-critic whose critics are boosted forests, as an algorithm of Stable-Baselines3.

A forest has no gradient by the action. So the actor, a network, does not climb its critics' gradients as in SAC
(Haarnoja et al. 2018), but follows a score function: of several actions that it draws in a state, those become likelier
whose value is above the mean of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Space
from stable_baselines3 import SAC
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import CombinedExtractor
from stable_baselines3.common.type_aliases import GymEnv, PyTorchObs, Schedule
from stable_baselines3.sac.policies import SACPolicy
from torch import Tensor, nn

from wormwood.agents.learning.boosted.boosting import Boosting
from wormwood.agents.learning.boosted.encoding import encode_tensors, feature_map_of_space
from wormwood.agents.policies.interfaces import Floats
from wormwood.errors import bad_input
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest

__all__ = ["BoostedSAC", "BoostedSACPolicy", "TwinForests"]

TWINS = 2


class TwinForests(nn.Module):
    """Two forests that estimate the value of an action. Older prefixes of them are the targets that they learn from."""

    def __init__(self, space: Space[Any], *, actions: int, tree: TreeConfig) -> None:
        """Start without trees, with the value 0.

        Args:
            space: of observations: numbers, choices or dictionaries of them.
            actions: numbers J of an action.
            tree: how each tree is grown.

        Raises:
            BadInput: the space is of another kind.
        """
        super().__init__()
        self._space, self._feature_map, self._tree = space, feature_map_of_space(space), tree
        columns = self._feature_map.columns + actions
        self.forests = [Forest([0.0], features=columns, depth=tree.max_depth) for _ in range(TWINS)]
        self.target_trees = 0

    def features(self, observation: PyTorchObs) -> Floats:
        """Return ``[N, F]`` for observations as SB3 keeps them."""
        return self._feature_map.features(encode_tensors(self._space, observation))

    def values(self, features: Floats, action: Tensor, *, trees: int | None = None) -> Floats:
        """Return the lower ``[N]`` of both values of features ``[N, F]`` and actions ``[N, J]``.

        They are of all trees or of the first ones.
        """
        rows = _together(features, action)
        estimates = [forest.predict(rows, trees=trees)[:, 0] for forest in self.forests]
        lower: Floats = np.minimum(*estimates)
        return lower

    def boostings(self, features: Floats, action: Tensor) -> list[Boosting]:
        """Return what grows each forest by rows of features ``[N, F]`` and actions ``[N, J]``."""
        rows, found = _together(features, action), []
        for forest in self.forests:
            boosting = Boosting(forest, self._tree, categorical=self._feature_map.categorical)
            boosting.begin(rows)
            found.append(boosting)
        return found

    def follow(self) -> None:
        """Let the targets be what the forests are now."""
        self.target_trees = len(self.forests[0])

    def set_training_mode(self, mode: bool) -> None:
        """Do as SB3's modules do."""
        self.train(mode)

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return each forest's tensors (see ``Forest.arrays``) as ``<index>/<array>``, and ``target_trees``, a scalar.

        Torch keeps them with the state of the module.
        """
        arrays = {
            f"{index}/{name}": values
            for index, forest in enumerate(self.forests)
            for name, values in forest.arrays().items()
        }
        arrays["target_trees"] = np.array(self.target_trees)
        return {name: torch.from_numpy(values) for name, values in arrays.items()}

    def set_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``get_extra_state`` returned.

        Raises:
            BadInput: the arrays are no forests.
        """
        self.target_trees = int(state["target_trees"])
        for index in range(TWINS):
            start = f"{index}/"
            forest_arrays = {
                name.removeprefix(start): part.numpy() for name, part in state.items() if name.startswith(start)
            }
            self.forests[index] = Forest.from_arrays(forest_arrays)


def _together(features: Floats, action: Tensor) -> Floats:
    return np.hstack([features, action.detach().cpu().numpy().astype(np.float64)])


class BoostedSACPolicy(SACPolicy):
    """SB3's actor beside two forests."""

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Box,
        lr_schedule: Schedule,
        *,
        tree: TreeConfig | None = None,
        **kwargs: Any,
    ) -> None:
        """Build the policy: ``tree`` says how each tree is grown; all else is of SB3's ``SACPolicy``.

        Raises:
            BadInput: the observations are of a kind that a forest cannot take.
        """
        self._tree = tree or TreeConfig()
        if isinstance(observation_space, Dict):
            kwargs.setdefault("features_extractor_class", CombinedExtractor)
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        self.actor = self.make_actor()
        settings: dict[str, Any] = {"lr": lr_schedule(1), **self.optimizer_kwargs}
        self.actor.optimizer = self.optimizer_class(self.actor.parameters(), **settings)
        actions = int(np.prod(self.action_space.shape or (1,)))
        critic: Any = TwinForests(self.observation_space, actions=actions, tree=self._tree)
        critic.optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1), requires_grad=False)])  # SB3 saves its state
        self.critic = critic

    def _get_constructor_parameters(self) -> dict[str, Any]:
        parameters = super()._get_constructor_parameters()
        return {**parameters, "tree": self._tree}


class BoostedSAC(SAC):
    """Soft actor-critic with forests as critics: ``BoostedSAC("Pendulum-v1", seed=0).learn(20_000)``."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": BoostedSACPolicy,
        "MultiInputPolicy": BoostedSACPolicy,
    }

    def __init__(
        self,
        policy: str | type[BoostedSACPolicy] | GymEnv = BoostedSACPolicy,
        env: GymEnv | str | None = None,
        *,
        rate: float = 0.1,
        grad_clip: float = 100.0,
        draws: int = 16,
        actor_states: int = 64,
        **settings: Any,
    ) -> None:
        """Build the algorithm: ``BoostedSAC(env)``, or ``BoostedSAC(policy, env)`` as elsewhere in SB3.

        Args:
            policy: may be left out.
            env: environment or its id; actions are numbers.
            rate: learning rate of the values.
            grad_clip: a transition's gradient is clipped to this.
            draws: actions that the actor draws in each state to compare, at least 2.
            actor_states: states of each minibatch in which it does so; each costs ``draws`` evaluations of the forests.
            settings: of SB3's ``SAC``, of which ``tau`` makes no difference: ``target_update_interval`` counts the
                trees after which the targets follow. By default 64 steps of ``env`` grow 16 trees of each critic.

        Raises:
            BadInput: the observations are of a kind that a forest cannot take, or there is nothing to compare.
        """
        if env is None and not isinstance(policy, type) and policy not in ("MlpPolicy", "MultiInputPolicy"):
            policy, env = BoostedSACPolicy, policy  # type: ignore[assignment]
        if settings.get("use_sde"):
            raise bad_input("use_sde", where="boosted algorithm", expected="false: draws would share it", got=True)
        if draws < 2:
            raise bad_input("draws", where="boosted algorithm", expected="at least 2", got=draws)
        self.rate, self.grad_clip, self.draws, self.actor_states = rate, grad_clip, draws, actor_states
        defaults = {"train_freq": 64, "gradient_steps": 16, "batch_size": 256, "target_update_interval": 64}
        super().__init__(policy, env, **{**defaults, **settings})  # type: ignore[arg-type]

    @property
    def _twins(self) -> TwinForests:
        twins: Any = self.policy.critic
        assert isinstance(twins, TwinForests)
        return twins

    def _create_aliases(self) -> None:
        self.actor = self.policy.actor
        self.critic = self.critic_target = self.policy.critic

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Grow a tree of each critic, and move the actor, for each of some minibatches of replayed transitions."""
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        self._update_learning_rate([self.actor.optimizer, *filter(None, [self.ent_coef_optimizer])])
        twins, count = self._twins, gradient_steps * batch_size
        data = self.replay_buffer.sample(count, env=self._vec_normalize_env)
        features = twins.features(data.observations)
        targets = self._targets(data)
        boostings, errors = twins.boostings(features, data.actions), np.empty((TWINS, count))
        for begin in range(0, count, batch_size):
            rows = np.arange(begin, begin + batch_size)
            for index, boosting in enumerate(boostings):
                errors[index, rows] = boosting.outputs(rows)[:, 0] - targets[rows]
                gradients = np.clip(errors[index, rows], -self.grad_clip, self.grad_clip)
                boosting.step(rows, gradients[:, None], np.array([self.rate]))
        for begin in range(0, count, batch_size):
            rows = np.arange(begin, begin + min(self.actor_states, batch_size))
            self._move_actor(_rows_of(data.observations, rows), features[rows])
        self._n_updates += gradient_steps
        if len(twins.forests[0]) - twins.target_trees >= self.target_update_interval:
            twins.follow()
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/ent_coef", self._temperature())
        self.logger.record("train/trees", len(twins.forests[0]))
        self.logger.record("train/critic_loss", float(np.mean(errors**2)))

    def _temperature(self) -> float:
        return float(self.ent_coef_tensor if self.log_ent_coef is None else self.log_ent_coef.detach().exp())

    @torch.no_grad()
    def _targets(self, data: Any) -> Floats:
        """Return what the values ``[N]`` of replayed actions should be."""
        action, log_prob = self.actor.action_log_prob(data.next_observations)
        twins = self._twins
        following = twins.values(twins.features(data.next_observations), action, trees=twins.target_trees)
        following = following - self._temperature() * log_prob.cpu().numpy().ravel()
        discount = self.gamma if data.discounts is None else data.discounts.cpu().numpy().ravel()
        reward, done = (part.cpu().numpy().ravel().astype(np.float64) for part in (data.rewards, data.dones))
        targets: Floats = reward + (1.0 - done) * discount * following
        return targets

    def _move_actor(self, observation: PyTorchObs, features: Floats) -> None:
        """Make those actions likelier that are worth more than the others drawn in the same state."""
        many = _repeated(observation, self.draws)
        mean, log_std, _ = self.actor.get_action_dist_params(many)
        distribution: Any = self.actor.action_dist.proba_distribution(mean, log_std)  # type: ignore[call-arg] # no gSDE
        action = distribution.sample().detach()
        log_prob: Any = distribution.log_prob(action)
        worth = torch.as_tensor(self._twins.values(np.repeat(features, self.draws, axis=0), action)).to(log_prob)
        worth = (worth - self._temperature() * log_prob.detach()).reshape(-1, self.draws)
        # Without its own, the mean of the others is a baseline that does not bias; the factor says the same.
        advantage = (worth - worth.mean(dim=1, keepdim=True)) * self.draws / (self.draws - 1)
        loss = -(advantage.ravel() * log_prob).mean()
        self.actor.optimizer.zero_grad()
        loss.backward()
        self.actor.optimizer.step()
        if self.log_ent_coef is not None and self.ent_coef_optimizer is not None:
            assert isinstance(self.target_entropy, float)
            entropy_loss: Any = -(self.log_ent_coef * (log_prob.detach() + self.target_entropy)).mean()
            self.ent_coef_optimizer.zero_grad()
            entropy_loss.backward()
            self.ent_coef_optimizer.step()


def _rows_of(observation: PyTorchObs, rows: Any) -> PyTorchObs:
    if isinstance(observation, dict):
        return {name: values[rows] for name, values in observation.items()}
    return observation[rows]


def _repeated(observation: PyTorchObs, times: int) -> PyTorchObs:
    if isinstance(observation, dict):
        return {name: values.repeat_interleave(times, 0) for name, values in observation.items()}
    return observation.repeat_interleave(times, 0)
