"""Q-learning with a boosted forest as an algorithm of Stable-Baselines3: ``BoostedDQN(env).learn(50_000)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Discrete, Space
from pydantic import Field
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, PyTorchObs, Schedule
from torch import Tensor, nn

from wormwood.agents.learning.boosted.boosting import Boosting
from wormwood.agents.learning.boosted.encoding import encode_tensors, feature_map_of_space
from wormwood.agents.policies.interfaces import Floats
from wormwood.agents.policies.setting_types import Share
from wormwood.agents.stable_baselines3.checked_settings import OF_SETUP, OFF_POLICY_KINDS, CheckedSettings
from wormwood.agents.stable_baselines3.pairing import check_algorithm, policy_and_env
from wormwood.agents.stable_baselines3.policy_options import checked_options, refuse_others
from wormwood.agents.stable_baselines3.spaces import from_start, in_space
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
        check_algorithm(self)
        refuse_others(kwargs, type(self))
        super().__init__(observation_space, action_space)
        self._tree = checked_options({"tree": tree or TreeConfig()}, {"tree": TreeConfig})["tree"]
        self.q_net = ForestQ(observation_space, choices=int(action_space.n), tree=self._tree)
        self.optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1), requires_grad=False)])  # SB3 saves its state

    def _predict(self, observation: PyTorchObs, deterministic: bool = True) -> Tensor:
        values: Tensor = self.q_net(observation)
        return in_space(self.action_space, values.argmax(dim=1).reshape(-1))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        parameters = {"lr_schedule": self._dummy_schedule, "tree": self._tree}
        return {"observation_space": self.observation_space, "action_space": self.action_space, **parameters}


class BoostedDQN(CheckedSettings, DQN):
    """Q-learning from replayed experience (Mnih et al. 2015), whose function is a boosted forest.

    ``BoostedDQN("CartPole-v1", seed=0).learn(50_000)``
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": BoostedQPolicy,
        "MultiInputPolicy": BoostedQPolicy,
    }
    policy: BoostedQPolicy  # type: ignore[assignment]
    kinds: ClassVar[Mapping[str, Any]] = {
        **OFF_POLICY_KINDS,
        "exploration_fraction": Annotated[float, Field(gt=0, le=1)],
        "exploration_initial_eps": Share,
        "exploration_final_eps": Share,
    }
    of_setup = OF_SETUP | {"exploration_fraction", "exploration_initial_eps", "exploration_final_eps"}
    idle: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "learning_rate": (1.0, "rate in its place"),
        "tau": (1.0, "target_update_interval alone: the target is an older prefix of the forest"),
        "max_grad_norm": (10, "grad_clip in its place"),
    }

    def __init__(  # noqa: PLR0913 # as in SB3
        self,
        policy: str | type[BoostedQPolicy] | GymEnv = BoostedQPolicy,
        env: GymEnv | str | None = None,
        *,
        rate: float = 0.1,
        grad_clip: float = 10.0,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 64,
        gradient_steps: int = 4,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        target_update_interval: int = 1000,
        exploration_fraction: float = 0.1,
        exploration_initial_eps: float = 1.0,
        exploration_final_eps: float = 0.05,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
        **others: Any,
    ) -> None:
        """Build the algorithm: ``BoostedDQN(env)``, or ``BoostedDQN(policy, env)`` as elsewhere in SB3.

        Args:
            policy: may be left out.
            env: environment or its id; actions are choices.
            rate: learning rate of the values.
            grad_clip: a transition's gradient is clipped to this.
            buffer_size: transitions that are remembered.
            learning_starts: first steps, whose choices are random and from which nothing is learned yet.
            batch_size: transitions of each tree.
            gamma: discount of each step.
            train_freq: steps of ``env`` between updates, or such as ``(1, "episode")``.
            gradient_steps: trees of each update; -1 is as many as steps were taken.
            replay_buffer_class: another buffer.
            replay_buffer_kwargs: its arguments.
            optimize_memory_usage: keep no second copy of observations.
            n_steps: of the returns that values are led to.
            target_update_interval: steps after which the target follows.
            exploration_fraction: share of training over which random choices become fewer.
            exploration_initial_eps: their share at the start.
            exploration_final_eps: their share after that.
            stats_window_size: episodes whose mean return is logged.
            tensorboard_log: folder of TensorBoard's logs.
            policy_kwargs: of ``BoostedQPolicy``: ``tree``.
            verbose: 1 prints, 2 more.
            seed: of everything random.
            device: of torch; the forest is on the CPU.
            others: none. SB3's ``learning_rate``, ``tau`` and ``max_grad_norm`` have no place.

        Raises:
            BadInput: a setting is wrong or unknown, the policy is of another algorithm, or the observations are of a
                kind that a forest cannot take.
        """
        self._refuse_others(others)
        self.rate, self.grad_clip = rate, grad_clip
        super().__init__(
            *policy_and_env(type(self), policy, env, needs_env=_init_setup_model),  # type: ignore[arg-type]
            learning_rate=self.idle["learning_rate"][0],
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            gamma=gamma,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            replay_buffer_class=replay_buffer_class,
            replay_buffer_kwargs=replay_buffer_kwargs,
            optimize_memory_usage=optimize_memory_usage,
            n_steps=n_steps,
            target_update_interval=target_update_interval,
            exploration_fraction=exploration_fraction,
            exploration_initial_eps=exploration_initial_eps,
            exploration_final_eps=exploration_final_eps,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )

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
