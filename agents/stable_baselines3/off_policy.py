"""What structured actors have in common as policies of Stable-Baselines3's off-policy algorithms."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from gymnasium.spaces import Box, Space
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from wormwood.agents.learning.actors.table import actor_kind, make_actor
from wormwood.agents.learning.normalization import RunningNormalizer, Standardized
from wormwood.agents.learning.off_policy_settings import OffPolicyConfig
from wormwood.agents.learning.optimizers import ProjectedAdam
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig, initial_weights
from wormwood.agents.stable_baselines3.off_policy_modules import BoundedActor, Critics
from wormwood.agents.stable_baselines3.pairing import check_algorithm, check_normalization
from wormwood.agents.stable_baselines3.policy_options import (
    RateScale,
    checked_agent,
    checked_options,
    refuse_others,
    spec_of,
)
from wormwood.agents.stable_baselines3.spaces import check_clock, check_spaces
from wormwood.configs.checked import field_types
from wormwood.envs.bodies import Body
from wormwood.envs.randomness import stream
from wormwood.envs.specs import EnvironmentSpec
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input

__all__ = ["StructuredOffPolicy"]


_KINDS = {
    "critic_hidden": field_types(OffPolicyConfig)["critic_hidden"],
    "n_critics": field_types(OffPolicyConfig)["critics"],
    "actor_rate_scale": RateScale,
}


class StructuredOffPolicy(TD3Policy):
    """An actor of ``wormwood.agents`` and its critics.

    Observations come as the task gives them, not from a ``VecNormalize``: see ``StructuredPolicy``.
    """

    usual_agent: ClassVar[AgentConfig | None] = None
    """What acts unless something else is asked for."""

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
        critic_hidden: tuple[int, ...] = (256, 256),
        n_critics: int = 2,
        actor_rate_scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        """Build the policy, as ``TD3(StructuredTD3Policy, env, policy_kwargs={...})`` does.

        Args:
            observation_space: of the task.
            action_space: of the task.
            lr_schedule: learning rate of the critics.
            agent: what acts; None is the circuit for ``NCAPTD3Policy``, whose gradients pass its clamps.
            body: a body, its name or YAML file; None is dm_control's swimmer with one joint for each action.
            task: whose observation it is; None is ``swim``.
            spec: of the environment, in place of body and task.
            weights: of ``initial_weights`` or ``policy_weights``; None draws them.
            critic_hidden: units of each hidden layer of the critics.
            n_critics: how many; DDPG sets 1.
            actor_rate_scale: learning rate of the actor, as a multiple of the critics'.
            kwargs: what SB3's algorithms pass on their own: ``use_sde=False``.

        Raises:
            BadInput: the algorithm is another, the spaces are not those of the environment, which somebody
                standardises, the agent does not fit, an option is wrong, or SB3's own layers or noise are asked for.
        """
        check_algorithm(self)
        refuse_others(kwargs, type(self))
        self.spec = spec_of(action_space, body=body, task=task, spec=spec)
        if self.spec.actions.choices:
            got = f"choices in {self.spec.name}"
            raise bad_input("action space", where="an off-policy learner", expected="numbers", got=got)
        check_spaces(self.spec, observation_space, action_space)
        check_normalization(self, self.spec)
        self._agent, self._weights = checked_agent(agent or self.usual_agent), weights
        given = {"critic_hidden": critic_hidden, "n_critics": n_critics, "actor_rate_scale": actor_rate_scale}
        options = checked_options(given, _KINDS)
        self._critic_hidden, self._n_critics = options["critic_hidden"], options["n_critics"]
        self.actor_rate_scale = options["actor_rate_scale"]
        super().__init__(observation_space, action_space, lr_schedule)  # type: ignore[arg-type] # it is a Box

    def _build(self, lr_schedule: Schedule) -> None:
        seed = int(torch.randint(2**31, ()))
        weights = self._weights or initial_weights(self._agent, self.spec, stream(seed, "update"))
        self.normalizer = RunningNormalizer(self.spec.layout)
        self.normalizer.start_from(weights)
        self._build_actors(weights)
        self.critic, self.critic_target = self._make_critics(), self._make_critics()  # type: ignore[assignment]
        self.critic_target.load_state_dict(self.critic.state_dict())
        structure = self._structure
        parameters = [parameter for parameter in structure.parameters() if parameter.requires_grad]
        groups = [{"params": parameters, "rate_scale": self.actor_rate_scale}, *self._noise_groups()]
        self.actor.optimizer = ProjectedAdam(groups, lr=lr_schedule(1), project=self._project)
        self.critic.optimizer = torch.optim.Adam(self.critic.parameters(), lr=lr_schedule(1))
        self._project()
        self.critic_target.set_training_mode(False)

    def _build_actors(self, weights: Arrays) -> None:
        """Set ``actor``, and what else acts."""
        raise NotImplementedError

    def _noise_groups(self) -> list[dict[str, Any]]:
        """Return the groups of the actor's parameters that are noise."""
        return []

    def _project(self) -> None:
        """Put the actor's parameters back within their bounds, after every step."""
        self._structure.project()

    def _bounds(self) -> tuple[Space[Any], Box]:
        assert isinstance(self.action_space, Box)
        return self.observation_space, self.action_space

    def _make_module(self, weights: Arrays) -> nn.Module:
        structure: nn.Module = make_actor(self._agent, weights, self.spec)
        return Standardized(self.normalizer, structure) if self._standardized else structure

    def _make_critics(self) -> Critics:
        return Critics(self.normalizer, self.spec, self._critic_hidden, self._n_critics).to(self.device)

    @property
    def _structure(self) -> Any:
        actor: Any = self.actor
        assert isinstance(actor, BoundedActor)
        return actor.structure

    @property
    def _standardized(self) -> bool:
        return actor_kind(self._agent.kind).standardized(self._agent)

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
        """Return the weights of the policy in NumPy: the actor's, and what it standardises by."""
        weights: Arrays = self._structure.weights()
        return weights | (self.normalizer.weights() if self._standardized else {})

    def agent_weights(self) -> Arrays:
        """Return ``policy_weights``, of which this is the old name until 0.3."""
        return self.policy_weights()

    def _get_constructor_parameters(self) -> dict[str, Any]:
        # SB3 puts these into the files it saves, and builds the policy from them.
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,
            "agent": self._agent,
            "spec": self.spec,
            "critic_hidden": self._critic_hidden,
            "n_critics": self._n_critics,
            "actor_rate_scale": self.actor_rate_scale,
        }
