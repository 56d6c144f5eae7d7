"""Structured actors as Stable-Baselines3 policies: ``PPO(NCAPPolicy, env)``."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from gymnasium.spaces import Space
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from wormwood.agents.learning.actors.table import actor_kind, make_actor
from wormwood.agents.learning.boosted.critic import ForestCritic
from wormwood.agents.learning.normalization import RunningNormalizer, Standardized
from wormwood.agents.learning.optimizers import ProjectedAdam
from wormwood.agents.learning.ppo_settings import PPOConfig
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig, initial_weights
from wormwood.agents.stable_baselines3.critics import make_critic
from wormwood.agents.stable_baselines3.pairing import check_algorithm, check_normalization
from wormwood.agents.stable_baselines3.policy_options import (
    RateScale,
    checked_agent,
    checked_options,
    refuse_others,
    spec_of,
)
from wormwood.agents.stable_baselines3.spaces import check_clock, check_spaces
from wormwood.configs.checked import check_value, field_types
from wormwood.configs.idle_settings import refuse_idle
from wormwood.envs.bodies import Body
from wormwood.envs.randomness import stream
from wormwood.envs.specs import EnvironmentSpec
from wormwood.envs.tasks import Task
from wormwood.trees.config import TreeConfig

__all__ = ["POLICY_OPTIONS", "NCAPPolicy", "StructuredPolicy"]


class _PassOn(nn.Module):
    """Gives the observation to actor and critic as it is, where SB3 expects its own layers."""

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        return observation, observation

    def forward_actor(self, observation: Tensor) -> Tensor:
        return observation

    def forward_critic(self, observation: Tensor) -> Tensor:
        return observation


POLICY_OPTIONS = ("noise_std", "learn_noise", "critic", "critic_hidden", "critic_tree", "critic_tree_rate")
"""Options of the policy that are settings of ``PPOConfig``, too."""


class StructuredPolicy(ActorCriticPolicy):
    """An actor of ``wormwood.agents`` that explores, with Gaussian noise or by drawing choices, and a critic.

    The actor knows which column of an observation is what, so observations come as the task gives them, not from a
    ``VecNormalize``. The critic, and an actor that wants it, standardise them by ``normalizer``, which ``PPOLearner``
    keeps up to date; under SB3's own ``learn`` nothing does, unless the user calls ``normalizer.update``.
    """

    usual_agent: ClassVar[AgentConfig | None] = None
    """What acts unless something else is asked for."""
    usual_actor_rate_scale: ClassVar[float] = 1.0

    def __init__(  # noqa: PLR0913 # SB3 unpacks policy_kwargs
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        lr_schedule: Schedule,
        *,
        agent: AgentConfig | None = None,
        body: str | Body | None = None,
        task: str | Task | None = None,
        spec: EnvironmentSpec | None = None,
        weights: Arrays | None = None,
        noise_std: float = 0.3,
        learn_noise: bool = False,
        critic: str = "mlp",
        critic_hidden: tuple[int, ...] = (64, 64),
        critic_tree: TreeConfig | None = None,
        critic_tree_rate: float = 0.05,
        actor_rate_scale: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Build the policy, as ``PPO(StructuredPolicy, env, policy_kwargs={...})`` does.

        Args:
            observation_space: of the task.
            action_space: one action in [-1, 1] for each joint, or as ``spec`` says.
            lr_schedule: learning rate of the critic.
            agent: what acts; None is the circuit for ``NCAPPolicy``, whose gradients pass its clamps.
            body: a body, its name or YAML file; None is dm_control's swimmer with one joint for each action.
            task: whose observation it is; None is ``swim``.
            spec: of the environment, in place of body and task: actions may then be discrete.
            weights: of ``initial_weights`` or ``policy_weights``, but for their noise; None draws them.
            noise_std: standard deviation of the exploration noise at the start.
            learn_noise: learn it, too.
            critic: ``"mlp"``, ``"pooled"`` or ``"forest"``, see ``PPOConfig.critic``.
            critic_hidden: units of each hidden layer of a critic that is a network.
            critic_tree: how the trees of a critic that is a forest are grown.
            critic_tree_rate: learning rate of a critic that is a forest.
            actor_rate_scale: learning rate of the actor, as a multiple of the critic's; None is 1, and 10 for
                ``NCAPPolicy``, whose few weights take larger steps.
            kwargs: what SB3's algorithms pass on their own: ``use_sde=False``, and A2C an ``optimizer_class``, which
                makes no difference: the optimiser is Adam.

        Raises:
            BadInput: the algorithm is none that learns on-policy, the spaces are not those of the environment, which
                somebody standardises, the agent does not fit, an option is wrong or nothing would use it, or SB3's own
                layers or noise are asked for, such as ``net_arch`` or ``use_sde``.
        """
        check_algorithm(self)
        refuse_others(kwargs, type(self), beside=("optimizer_class", "optimizer_kwargs"))
        self.spec = spec_of(action_space, body=body, task=task, spec=spec)
        check_spaces(self.spec, observation_space, action_space)
        check_normalization(self, self.spec)
        self._agent, self._weights = checked_agent(agent or self.usual_agent), weights
        given = (noise_std, learn_noise, critic, critic_hidden, critic_tree or TreeConfig(), critic_tree_rate)
        options = checked_options(dict(zip(POLICY_OPTIONS, given, strict=True)), field_types(PPOConfig))
        self._options = PPOConfig(**options)
        noise = (not self.spec.actions.choices, "actions are numbers")
        refuse_idle(self._options, where="policy_kwargs", uses={"noise_std": noise, "learn_noise": noise})
        scale = self.usual_actor_rate_scale if actor_rate_scale is None else actor_rate_scale
        self._actor_rate_scale = check_value(scale, RateScale, where="policy_kwargs.actor_rate_scale")
        super().__init__(observation_space, action_space, lr_schedule, ortho_init=False)

    def _build(self, lr_schedule: Schedule) -> None:
        options, seed = self._options, int(torch.randint(2**31, ()))
        weights = self._weights or initial_weights(self._agent, self.spec, stream(seed, "update"))
        self.actor = make_actor(self._agent, weights, self.spec)
        self.normalizer = RunningNormalizer(self.spec.layout)
        self.normalizer.start_from(weights)
        critic = make_critic(
            options.critic,
            options.critic_hidden,
            self.spec,
            tree=options.critic_tree,
            tree_rate=options.critic_tree_rate,
        )
        self.mlp_extractor = _PassOn()  # type: ignore[assignment]
        self.action_net = Standardized(self.normalizer, self.actor) if self._standardized else self.actor
        boosted = critic if isinstance(critic, ForestCritic) else None
        self.value_net = boosted or Standardized(self.normalizer, critic)  # type: ignore[assignment]
        noise = []
        if not self.spec.actions.choices:
            log_std = torch.full((self.spec.actions.size,), options.noise_std).log()
            self.log_std = nn.Parameter(log_std, requires_grad=options.learn_noise)
            noise = [self.log_std]
        actor_parameters = [p for p in (*self.actor.parameters(), *noise) if p.requires_grad]
        groups = [
            {"params": actor_parameters, "rate_scale": self._actor_rate_scale},
            {"params": list(critic.parameters()), "rate_scale": 1.0},
        ]
        self.optimizer = ProjectedAdam(groups, lr=lr_schedule(1), eps=1e-5, project=self._after_step)
        self.actor.project()

    def _after_step(self) -> None:
        self.actor.project()
        if isinstance(self.value_net, ForestCritic):
            self.value_net.grow()

    @property
    def _standardized(self) -> bool:
        return actor_kind(self._agent.kind).standardized(self._agent)

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return actions, values ``[N, 1]`` and log-probabilities ``[N]`` of observations ``[N, D]``.

        Raises:
            BadInput: somebody has standardised the observations.
        """
        check_clock(obs, self.spec)
        return super().forward(obs, deterministic)

    def get_distribution(self, obs: Any) -> Distribution:
        """Return the distribution of actions for observations ``[N, D]``, after ``check_clock``."""
        check_clock(obs, self.spec)
        return super().get_distribution(obs)

    def obs_to_tensor(self, observation: Any) -> tuple[Any, bool]:
        """Return observations ``[N, D]`` as a tensor, and whether there were several, after ``check_clock``."""
        tensor, several = super().obs_to_tensor(observation)
        check_clock(tensor, self.spec)
        return tensor, several

    @property
    def agent(self) -> AgentConfig:
        """What acts."""
        return self._agent

    def policy_weights(self) -> Arrays:
        """Return the weights of the policy in NumPy: the actor's, its noise, and what it standardises by."""
        weights: Arrays = self.actor.weights()
        if not self.spec.actions.choices:
            weights["log_std"] = self.log_std.detach().cpu().double().numpy().copy()
        return weights | (self.normalizer.weights() if self._standardized else {})

    def agent_weights(self) -> Arrays:
        """Return ``policy_weights``, of which this is the old name until 0.3."""
        return self.policy_weights()

    def _get_constructor_parameters(self) -> dict[str, Any]:
        # SB3 puts these into the files it saves, and builds the policy from them.
        names = ("observation_space", "action_space")
        return {
            **{name: value for name, value in super()._get_constructor_parameters().items() if name in names},
            "lr_schedule": self._dummy_schedule,
            "agent": self._agent,
            "spec": self.spec,
            **{name: getattr(self._options, name) for name in POLICY_OPTIONS},
            "actor_rate_scale": self._actor_rate_scale,
        }


class NCAPPolicy(StructuredPolicy):
    """The C. elegans circuit for SB3's on-policy algorithms: ``PPO(NCAPPolicy, make_swimmers("swimmer-6", 8))``."""

    usual_agent = NCAPConfig(constraint="straight_through")
    usual_actor_rate_scale = 10.0
