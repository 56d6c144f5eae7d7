"""Structured actors as policies of Stable-Baselines3's TD3 and DDPG: ``TD3(NCAPTD3Policy, env)``."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from gymnasium.spaces import Box, Space
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn

from wormwood.agents.actors import ACTORS, make_actor
from wormwood.agents.catalogue import AgentConfig, initial_weights
from wormwood.agents.circuits.config import NCAPConfig
from wormwood.agents.interfaces import Arrays
from wormwood.agents.normalization import RunningNormalizer, Standardized
from wormwood.agents.optimizers import ProjectedAdam
from wormwood.agents.sb3_spaces import body_of, check_spaces
from wormwood.envs.bodies import Body
from wormwood.envs.randomness import stream
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.envs.tasks import Task, task_from_name
from wormwood.errors import bad_input

__all__ = ["NCAPTD3Policy", "StructuredTD3Policy"]


class _Bounded(torch.autograd.Function):
    """Clips to [-1, 1], and drops the gradients that would push further out, but not those that lead back.

    These are the inverted gradients of Hausknecht and Stone (2016, https://arxiv.org/abs/1511.04143) without their
    slope inside: an actor whose output has left the bounds can return.
    """

    @staticmethod
    def forward(context: Any, action: Tensor) -> Tensor:
        context.save_for_backward(action)
        return action.clamp(-1.0, 1.0)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        (action,) = context.saved_tensors
        # A step goes against the gradient.
        leaves = ((action >= 1.0) & (gradient < 0)) | ((action <= -1.0) & (gradient > 0))
        return gradient.masked_fill(leaves, 0.0)


class _Actor(BasePolicy):
    """A structured actor whose actions are scaled to [-1, 1], as Stable-Baselines3 keeps them."""

    optimizer: torch.optim.Optimizer

    def __init__(self, module: nn.Module, spaces: tuple[Space[Any], Box]) -> None:
        super().__init__(*spaces, squash_output=True)
        self.low: Tensor
        self.high: Tensor
        self.module = module
        self.register_buffer("low", torch.tensor(spaces[1].low), persistent=False)
        self.register_buffer("high", torch.tensor(spaces[1].high), persistent=False)

    @property
    def structure(self) -> Any:
        """The actor of ``wormwood.agents`` itself."""
        return self.module.module if isinstance(self.module, Standardized) else self.module

    def forward(self, observation: Tensor) -> Tensor:
        action: Tensor = self.module(observation.float())
        scaled = (2 * action - self.high - self.low) / (self.high - self.low)
        bounded: Tensor = _Bounded.apply(scaled)  # type: ignore[no-untyped-call]
        return bounded

    def _predict(self, observation: Tensor, deterministic: bool = False) -> Tensor:  # type: ignore[override]
        action: Tensor = self(observation)
        return action


class _Critics(nn.Module):
    """Perceptrons over a standardised observation, without its clock, and an action."""

    optimizer: torch.optim.Optimizer

    def __init__(
        self, normalizer: RunningNormalizer, spec: EnvironmentSpec, hidden: tuple[int, ...], count: int
    ) -> None:
        super().__init__()
        self.columns: Tensor
        columns = [column for column in range(spec.layout.size) if column != spec.layout.clock]
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        self.normalizer = normalizer
        sizes = (len(columns) + spec.actions.size, *hidden, 1)
        self.values = nn.ModuleList(_perceptron(sizes) for _ in range(count))

    def forward(self, observation: Tensor, action: Tensor) -> tuple[Tensor, ...]:
        inputs = self._inputs(observation, action)
        return tuple(value(inputs) for value in self.values)

    def q1_forward(self, observation: Tensor, action: Tensor) -> Tensor:
        value: Tensor = self.values[0](self._inputs(observation, action))
        return value

    def set_training_mode(self, mode: bool) -> None:
        self.train(mode)

    def _inputs(self, observation: Tensor, action: Tensor) -> Tensor:
        return torch.cat([self.normalizer(observation.float())[:, self.columns], action], dim=1)


def _perceptron(sizes: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class StructuredTD3Policy(TD3Policy):
    """An actor of ``wormwood.agents`` and its critics, for Stable-Baselines3's TD3 and DDPG.

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
            weights: of ``initial_weights`` or ``agent_weights``; None draws them.
            critic_hidden: units of each hidden layer of the critics.
            n_critics: how many; DDPG sets 1.
            actor_rate_scale: learning rate of the actor, as a multiple of the critics'.

        Raises:
            BadInput: the spaces are not those of the environment, or the agent does not fit.
        """
        built_task = task_from_name(task) if isinstance(task, str) else task
        self.spec = spec or SwimmerSpec(body_of(body, action_space), built_task)
        if self.spec.actions.choices:
            raise bad_input("action space", where="learner td3", expected="numbers", got=f"choices in {self.spec.name}")
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
        self.actor, self.actor_target = self._make_actor(weights), self._make_actor(weights)  # type: ignore[assignment]
        self.critic, self.critic_target = self._make_critics(), self._make_critics()  # type: ignore[assignment]
        self.critic_target.load_state_dict(self.critic.state_dict())
        structure = self._structure
        parameters = [parameter for parameter in structure.parameters() if parameter.requires_grad]
        groups = [{"params": parameters, "rate_scale": self.actor_rate_scale}]
        self.actor.optimizer = ProjectedAdam(groups, lr=lr_schedule(1), project=structure.project)
        self.critic.optimizer = torch.optim.Adam(self.critic.parameters(), lr=lr_schedule(1))
        structure.project()
        self.actor_target.load_state_dict(self.actor.state_dict())
        self.actor_target.set_training_mode(False)
        self.critic_target.set_training_mode(False)

    def _make_actor(self, weights: Arrays) -> _Actor:
        structure = make_actor(self._agent, weights, self.spec)
        module = Standardized(self.normalizer, structure) if self._standardized else structure
        assert isinstance(self.action_space, Box)
        return _Actor(module, (self.observation_space, self.action_space)).to(self.device)

    def _make_critics(self) -> _Critics:
        return _Critics(self.normalizer, self.spec, self._critic_hidden, self._n_critics).to(self.device)

    @property
    def _structure(self) -> Any:
        return self.actor.structure

    @property
    def _standardized(self) -> bool:
        return ACTORS[self._agent.kind].standardized(self._agent)

    def agent_weights(self) -> Arrays:
        """Return the weights of the policy in NumPy: the actor's, and what it standardises by."""
        weights: Arrays = self._structure.weights()
        return weights | (self.normalizer.weights() if self._standardized else {})

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


class NCAPTD3Policy(StructuredTD3Policy):
    """The C. elegans circuit for TD3 and DDPG: ``TD3(NCAPTD3Policy, make_swimmers("swimmer-6", 8))``."""

    def __init__(
        self, observation_space: Space[Any], action_space: Space[Any], lr_schedule: Schedule, **kwargs: Any
    ) -> None:
        """Build the policy; ``kwargs`` are those of ``StructuredTD3Policy``, of which none is required."""
        kwargs.setdefault("agent", NCAPConfig(constraint="straight_through"))
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)
