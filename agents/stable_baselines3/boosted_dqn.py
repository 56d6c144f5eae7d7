"""Q-learning with a boosted forest as an algorithm of Stable-Baselines3: ``BoostedDQN(env).learn(50_000)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Discrete, Space
from stable_baselines3 import DQN
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, PyTorchObs, Schedule
from torch import Tensor, nn

from wormwood.agents.learning.boosted.boosting import Boosting
from wormwood.agents.learning.boosted.encoding import encode_tensors, feature_map_of_space
from wormwood.agents.policies.interfaces import Floats
from wormwood.agents.stable_baselines3.spaces import from_start, in_space
from wormwood.errors import bad_input
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest

__all__ = ["BoostedDQN", "BoostedQPolicy", "ForestQ"]


class ForestQ(nn.Module):
    """The value of each of A choices. An older prefix of the same forest is the target that it learns from."""

    def __init__(self, space: Space[Any], *, choices: int, tree: TreeConfig) -> None:
        """Start without trees, with the value 0.

        Args:
            space: of observations: numbers, choices or dictionaries of them.
            choices: A.
            tree: how each tree is grown.

        Raises:
            BadInput: the space is of another kind.
        """
        super().__init__()
        self._space, self._feature_map, self._tree = space, feature_map_of_space(space), tree
        self.forest = Forest(np.zeros(choices), features=self._feature_map.columns, depth=tree.max_depth)
        self.target_trees = 0

    def features(self, observation: PyTorchObs) -> Floats:
        """Return ``[N, F]`` for observations as SB3 keeps them."""
        return self._feature_map.features(encode_tensors(self._space, observation))

    def forward(self, observation: PyTorchObs) -> Tensor:
        """Return ``[N, A]`` values of all trees."""
        return torch.as_tensor(self.forest.predict(self.features(observation)), dtype=torch.float32)

    def target(self, observation: PyTorchObs) -> Floats:
        """Return ``[N, A]`` values of the trees that there were when ``follow`` was called last."""
        return self.forest.predict(self.features(observation), trees=self.target_trees)

    def follow(self) -> None:
        """Let the target be what the forest is now."""
        self.target_trees = len(self.forest)

    def boosting(self, features: Floats) -> Boosting:
        """Return what grows the forest by rows ``[N, F]``."""
        boosting = Boosting(self.forest, self._tree, categorical=self._feature_map.categorical)
        boosting.begin(features)
        return boosting

    def get_extra_state(self) -> dict[str, Tensor]:
        """Return the forest's tensors (see ``Forest.arrays``) and ``target_trees``, a scalar.

        Torch keeps them with the state of the module.
        """
        arrays = {**self.forest.arrays(), "target_trees": np.array(self.target_trees)}
        return {name: torch.from_numpy(values) for name, values in arrays.items()}

    def set_extra_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``get_extra_state`` returned.

        Raises:
            BadInput: the arrays are no forest.
        """
        arrays = {name: values.numpy() for name, values in state.items()}
        self.target_trees = int(arrays.pop("target_trees"))
        self.forest = Forest.from_arrays(arrays)


class BoostedQPolicy(BasePolicy):
    """Takes the choice of the highest value."""

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Discrete,
        lr_schedule: Schedule,
        *,
        tree: TreeConfig | None = None,
        **kwargs: Any,
    ) -> None:
        """Build the policy, as ``BoostedDQN(env, policy_kwargs={...})`` does.

        Args:
            observation_space: numbers, choices, or dictionaries of them.
            action_space: choices.
            lr_schedule: is not used: the trees have a rate of their own.
            tree: how each tree is grown.
            kwargs: nothing: layers have no place.

        Raises:
            BadInput: the observations are of another kind, or an option is unknown.
        """
        for name in kwargs:
            raise bad_input("unknown option", where="policy_kwargs", expected="tree", got=name)
        super().__init__(observation_space, action_space)
        self._tree = tree or TreeConfig()
        self.q_net = ForestQ(observation_space, choices=int(action_space.n), tree=self._tree)
        self.optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1), requires_grad=False)])  # SB3 saves its state

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> Tensor:
        values: Tensor = self.q_net(observation)
        return in_space(self.action_space, values.argmax(dim=1).reshape(-1))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        parameters = {"lr_schedule": self._dummy_schedule, "tree": self._tree}
        return {"observation_space": self.observation_space, "action_space": self.action_space, **parameters}


class BoostedDQN(DQN):
    """Q-learning from replayed experience (Mnih et al. 2015), whose function is a boosted forest.

    ``BoostedDQN("CartPole-v1", seed=0).learn(50_000)``
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": BoostedQPolicy,
        "MultiInputPolicy": BoostedQPolicy,
    }
    policy: BoostedQPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[BoostedQPolicy] | GymEnv = BoostedQPolicy,
        env: GymEnv | str | None = None,
        *,
        rate: float = 0.1,
        grad_clip: float = 10.0,
        **settings: Any,
    ) -> None:
        """Build the algorithm: ``BoostedDQN(env)``, or ``BoostedDQN(policy, env)`` as elsewhere in SB3.

        Args:
            policy: may be left out.
            env: environment or its id; actions are choices.
            rate: learning rate of the values.
            grad_clip: a transition's gradient is clipped to this.
            settings: of SB3's ``DQN``, of which ``learning_rate``, ``tau`` and ``max_grad_norm`` make no difference.
                By default 64 steps of ``env`` grow 4 trees of 256 transitions.

        Raises:
            BadInput: the observations are of a kind that a forest cannot take.
        """
        if env is None and not isinstance(policy, type) and policy not in ("MlpPolicy", "MultiInputPolicy"):
            policy, env = BoostedQPolicy, policy  # type: ignore[assignment]
        self.rate, self.grad_clip = rate, grad_clip
        defaults = {"train_freq": 64, "gradient_steps": 4, "batch_size": 256, "target_update_interval": 1000}
        super().__init__(policy, env, **{**defaults, **settings})  # type: ignore[arg-type]

    def _create_aliases(self) -> None:
        self.q_net = self.q_net_target = self.policy.q_net  # type: ignore[assignment]

    def _on_step(self) -> None:
        super()._on_step()
        if self._n_calls % max(self.target_update_interval // self.n_envs, 1) == 0:
            self.policy.q_net.follow()

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Grow a tree for each of some minibatches of replayed transitions."""
        assert self.replay_buffer is not None
        q, count, longest = self.policy.q_net, gradient_steps * batch_size, self.grad_clip
        # The target stays as it is meanwhile: so all minibatches are drawn, and their features binned, at once.
        data = self.replay_buffer.sample(count, env=self._vec_normalize_env)
        discount = self.gamma if data.discounts is None else data.discounts.cpu().numpy().ravel()
        reward, done = (part.cpu().numpy().ravel().astype(np.float64) for part in (data.rewards, data.dones))
        targets = reward + (1.0 - done) * discount * q.target(data.next_observations).max(axis=1)
        chosen = from_start(self.action_space, data.actions.cpu()).numpy().ravel()
        boosting, errors = q.boosting(q.features(data.observations)), np.empty(count)
        for begin in range(0, count, batch_size):
            rows = np.arange(begin, begin + batch_size)
            values = boosting.outputs(rows)
            errors[rows] = values[np.arange(batch_size), chosen[rows]] - targets[rows]
            gradients = np.zeros_like(values)
            gradients[np.arange(batch_size), chosen[rows]] = np.clip(errors[rows], -longest, longest)
            boosting.step(rows, gradients, np.full(values.shape[1], self.rate))
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/trees", len(q.forest))
        self.logger.record("train/loss", float(np.mean(errors**2)))
