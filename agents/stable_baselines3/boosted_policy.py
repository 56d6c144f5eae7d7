"""A boosted forest where Stable-Baselines3 expects the networks of an actor-critic."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from stable_baselines3.common.distributions import Distribution, make_proba_distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from wormwood.agents.learning.boosted.actor_critic import BoostedActorCritic
from wormwood.agents.learning.boosted.encoding import encode_tensors, feature_map_of_space
from wormwood.agents.learning.boosted.network_critic import NetworkCritic
from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig, BoostingConfig
from wormwood.agents.policies.features import make_feature_map
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.stable_baselines3.pairing import check_algorithm
from wormwood.agents.stable_baselines3.policy_options import checked_options, refuse_others
from wormwood.agents.stable_baselines3.spaces import from_start, in_space
from wormwood.configs.checked import field_types
from wormwood.configs.idle_settings import default_of
from wormwood.envs.specs import ActionSpace, EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["BoostedActorCriticPolicy"]

OF_THE_LEARNER = ("noise_std", "critic", "critic_hidden", "critic_rate")
"""Options that are settings of ``BoostedLearnerConfig``, too."""
KINDS = {
    "agent": ForestConfig,
    "boosting": BoostingConfig,
    **{name: field_types(BoostedLearnerConfig)[name] for name in OF_THE_LEARNER},
}


class BoostedActorCriticPolicy(ActorCriticPolicy):
    """A boosted forest where Stable-Baselines3 expects networks."""

    def __init__(  # noqa: PLR0913 # SB3 unpacks policy_kwargs
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        lr_schedule: Schedule,
        *,
        agent: ForestConfig | None = None,
        boosting: BoostingConfig | None = None,
        spec: EnvironmentSpec | None = None,
        noise_std: float = 0.135,
        critic: Literal["forest", "mlp"] = "forest",
        critic_hidden: tuple[int, ...] = (64, 64),
        critic_rate: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        """Build the policy, as ``BoostedPPO(env, policy_kwargs={...})`` does.

        Args:
            observation_space: numbers, choices, or dictionaries of them.
            action_space: numbers or choices.
            lr_schedule: is not used: ``boosting`` has the learning rates.
            agent: what the forests are like.
            boosting: how they follow gradients.
            spec: of the environment, for an agent that has to know which number of an observation is what.
            noise_std: standard deviation of the exploration noise of continuous actions at the start.
            critic: trees, or a network beside a policy that shares no trees.
            critic_hidden: units of each hidden layer of a network.
            critic_rate: Adam's step size for a network.
            kwargs: what SB3's algorithms pass on their own: ``use_sde=False``.

        Raises:
            BadInput: the spaces are of other kinds, an option is unknown, wrong or without effect, or a network is to
                share trees.
        """
        check_algorithm(self)
        refuse_others(kwargs, type(self))
        given = {"agent": agent or ForestConfig(), "boosting": boosting or BoostingConfig(), "noise_std": noise_std}
        given |= {"critic": critic, "critic_hidden": critic_hidden, "critic_rate": critic_rate}
        options = checked_options(given, KINDS)
        _refuse_idle(options, action_space)
        self._agent, self._boosting, self._noise_std = options["agent"], options["boosting"], options["noise_std"]
        self._critic, self._critic_hidden = options["critic"], options["critic_hidden"]
        self._critic_rate, self._spec = options["critic_rate"], spec
        super().__init__(observation_space, action_space, lr_schedule, ortho_init=False)

    def _build(self, lr_schedule: Schedule) -> None:
        feature_map = (
            feature_map_of_space(self.observation_space)
            if self._spec is None
            else make_feature_map(self._agent, self._spec)
        )
        actions = _actions(self.action_space) if self._spec is None else self._spec.actions
        self.actor_critic = BoostedActorCritic(
            self._agent,
            self._boosting,
            feature_map=feature_map,
            actions=actions,
            noise_std=self._noise_std,
            critic=NetworkCritic(feature_map, hidden=self._critic_hidden) if self._critic == "mlp" else None,
            critic_rate=self._critic_rate,
        )
        self.action_dist = make_proba_distribution(self.action_space)
        # SB3 saves its state. Choices have no noise, so without a network there is nothing that Adam could move.
        nothing = [nn.Parameter(torch.zeros(1), requires_grad=False)]
        self.optimizer = self.actor_critic.optimizer or torch.optim.Adam(nothing)

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return actions ``[N, ...]`` as the space has them, values ``[N, 1]`` and log-probabilities ``[N]``."""
        outputs, values = self._evaluate(obs)
        distribution = self._distribution(outputs)
        actions = in_space(self.action_space, distribution.get_actions(deterministic=deterministic))
        log_prob = distribution.log_prob(from_start(self.action_space, actions))
        return actions.reshape((-1, *self.action_space.shape)), values, log_prob  # type: ignore[misc]

    def evaluate_actions(self, obs: PyTorchObs, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return values ``[N, 1]``, and the log-probabilities ``[N]`` of actions and entropies ``[N]``."""
        outputs, values = self._evaluate(obs)
        distribution = self._distribution(outputs)
        return values, distribution.log_prob(from_start(self.action_space, actions)), distribution.entropy()

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        return self._distribution(self._evaluate(obs)[0])

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Return values ``[N, 1]``."""
        return self._evaluate(obs)[1]

    def _predict(self, observation: PyTorchObs, deterministic: bool = False) -> Tensor:
        actions = self.get_distribution(observation).get_actions(deterministic=deterministic)
        return in_space(self.action_space, actions)

    def encode(self, observation: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return observations, as SB3 keeps them in tensors, as ``[N, D]``."""
        return encode_tensors(self.observation_space, observation)

    def _evaluate(self, observation: Any) -> tuple[Tensor, Tensor]:
        outputs, values = self.actor_critic.outputs(self.encode(observation))
        return torch.as_tensor(outputs, device=self.device), torch.as_tensor(values[:, None], device=self.device)

    def _distribution(self, outputs: Tensor) -> Distribution:
        log_std = self.actor_critic.log_std
        if log_std is None:
            return self.action_dist.proba_distribution(outputs)
        return self.action_dist.proba_distribution(outputs, log_std.detach().expand(outputs.shape[1]))

    def _get_constructor_parameters(self) -> dict[str, Any]:
        # SB3 puts these into the files it saves, and builds the policy from them.
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,
            "agent": self._agent,
            "boosting": self._boosting,
            "spec": self._spec,
            "noise_std": self._noise_std,
            "critic": self._critic,
            "critic_hidden": self._critic_hidden,
            "critic_rate": self._critic_rate,
        }


def _actions(space: Space[Any]) -> ActionSpace:
    if isinstance(space, Box):
        return ActionSpace(tuple(map(float, space.low.ravel())), tuple(map(float, space.high.ravel())))
    if isinstance(space, Discrete):
        return ActionSpace(choices=(int(space.n),))
    if isinstance(space, MultiDiscrete):
        return ActionSpace(choices=tuple(map(int, space.nvec.ravel())))
    raise bad_input("action space", where="policy", expected="Box, Discrete or MultiDiscrete", got=space)


def _refuse_idle(options: dict[str, Any], space: Space[Any]) -> None:
    """Refuse what nothing would use: a network's options beside a forest, and the noise of choices."""
    idle = {"critic_hidden": "critic is mlp", "critic_rate": "critic is mlp"} if options["critic"] == "forest" else {}
    if not isinstance(space, Box):
        idle["noise_std"] = "actions are numbers"
    for name, needs in idle.items():
        default = default_of(BoostedLearnerConfig, name)
        if options[name] != default:
            expected = f"{default!r} unless {needs}"
            raise bad_input(name, where="policy_kwargs", expected=expected, got=options[name])
