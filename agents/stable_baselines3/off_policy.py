"""What structured actors have in common as policies of Stable-Baselines3's off-policy algorithms."""

from __future__ import annotations

from typing import Any

import torch
from gymnasium.spaces import Box, Space
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from wormwood.agents.learning.actors.table import actor_kind, make_actor
from wormwood.agents.learning.normalization import RunningNormalizer, Standardized
from wormwood.agents.learning.optimizers import ProjectedAdam
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig, initial_weights
from wormwood.agents.stable_baselines3.off_policy_modules import BoundedActor, Critics
from wormwood.agents.stable_baselines3.spaces import body_of, check_clock, check_spaces
from wormwood.envs.bodies import Body
from wormwood.envs.randomness import stream
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input

__all__ = ["StructuredOffPolicy"]


class StructuredOffPolicy(TD3Policy):
    """An actor of ``wormwood.agents`` and its critics.

    Observations come as the task gives them, not from a ``VecNormalize``: see ``StructuredPolicy``.
    """

    def __init__(  # noqa: PLR0913 # SB3 unpacks policy_kwargs
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        lr_schedule: Schedule,
        *,
        agent: AgentConfig,
        body: str | Body | None = None,
        task: str | Task = "swim",
        spec: EnvironmentSpec | None = None,
        weights: Arrays | None = None,
        critic_hidden: tuple[int, ...] = (256, 256),
        n_critics: int = 2,
        actor_rate_scale: float = 1.0,
        use_sde: bool = False,
    ) -> None:
        """Build the policy, as ``TD3(StructuredTD3Policy, env, policy_kwargs={...})`` does.

        Args:
            observation_space: of the task.
            action_space: of the task.
            lr_schedule: learning rate of the critics.
            agent: what acts.
            body: a body, its name or YAML file; None is dm_control's swimmer with one joint for each action.
            task: whose observation it is.
            spec: of the environment, in place of body and task.
            weights: of ``initial_weights`` or ``policy_weights``; None draws them.
            critic_hidden: units of each hidden layer of the critics.
            n_critics: how many; DDPG sets 1.
            actor_rate_scale: learning rate of the actor, as a multiple of the critics'.
            use_sde: must be False: the noise of SB3's own layers has no place.

        Raises:
            BadInput: the spaces are not those of the environment, or the agent does not fit.
        """
        if use_sde:
            raise bad_input("use_sde", where="policy", expected="False for a structured actor", got=use_sde)
        built_task = task_from_name(task) if isinstance(task, str) else task
        self.spec = spec or SwimmerSpec(body_of(body, action_space), built_task)
        if self.spec.actions.choices:
            got = f"choices in {self.spec.name}"
            raise bad_input("action space", where="an off-policy learner", expected="numbers", got=got)
        check_spaces(self.spec, observation_space, action_space)
        self._agent, self._weights = agent, weights
        self._critic_hidden, self._n_critics = tuple(critic_hidden), n_critics
        self.actor_rate_scale = actor_rate_scale
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
