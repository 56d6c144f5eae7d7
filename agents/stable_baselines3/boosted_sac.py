"""Soft actor-critic whose critics are boosted forests, as an algorithm of Stable-Baselines3.

A forest has no gradient by the action. So the actor, a network, does not climb its critics' gradients as in SAC
(Haarnoja et al. 2018), but follows a score function: of several actions that it draws in a state, those become likelier
whose value is above the mean of all.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Space
from pydantic import Field, InstanceOf
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor
from stable_baselines3.common.type_aliases import GymEnv, PyTorchObs, Schedule
from stable_baselines3.sac.policies import SACPolicy
from torch import nn

from wormwood.agents.policies.interfaces import Floats
from wormwood.agents.policies.perceptron_settings import HiddenLayers
from wormwood.agents.policies.setting_types import Count, Rate
from wormwood.agents.stable_baselines3.checked_settings import OF_SETUP, OFF_POLICY_KINDS, CheckedSettings
from wormwood.agents.stable_baselines3.pairing import check_algorithm, policy_and_env
from wormwood.agents.stable_baselines3.policy_options import checked_options, refuse_others
from wormwood.agents.stable_baselines3.twin_forests import TWINS, TwinForests
from wormwood.trees.config import TreeConfig

__all__ = ["BoostedSAC", "BoostedSACPolicy"]


class BoostedSACPolicy(SACPolicy):
    """SB3's actor beside two forests."""

    def __init__(  # noqa: PLR0913 # SB3 unpacks policy_kwargs
        self,
        observation_space: Space[Any],
        action_space: Box,
        lr_schedule: Schedule,
        *,
        tree: TreeConfig | None = None,
        net_arch: Sequence[int] | None = None,
        activation_fn: type[nn.Module] = nn.ReLU,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Build the policy, as ``BoostedSAC(env, policy_kwargs={...})`` does.

        Args:
            observation_space: numbers, choices, or dictionaries of them.
            action_space: numbers.
            lr_schedule: learning rate of the actor.
            tree: how each tree is grown.
            net_arch: units of the actor's layers; None is 256 and 256.
            activation_fn: between them.
            features_extractor_class: of the actor; None is SB3's for such observations.
            features_extractor_kwargs: its arguments.
            normalize_images: divide images by 255 for the actor. Forests see them as they are.
            optimizer_class: of the actor.
            optimizer_kwargs: its arguments.
            kwargs: what SB3's SAC passes on its own: ``use_sde=False``.

        Raises:
            BadInput: the algorithm is another, an option is wrong or unknown, or the observations are of a kind that a
                forest cannot take.
        """
        check_algorithm(self)
        refuse_others(kwargs, type(self))
        self._tree = checked_options({"tree": tree or TreeConfig()}, {"tree": TreeConfig})["tree"]
        layers = None if net_arch is None else checked_options({"net_arch": net_arch}, {"net_arch": HiddenLayers})
        usual = CombinedExtractor if isinstance(observation_space, Dict) else FlattenExtractor
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=layers and list(layers["net_arch"]),
            activation_fn=activation_fn,
            features_extractor_class=features_extractor_class or usual,
            features_extractor_kwargs=features_extractor_kwargs,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

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
        own = inspect.signature(BoostedSACPolicy).parameters
        return {**{name: value for name, value in parameters.items() if name in own}, "tree": self._tree}


class BoostedSAC(CheckedSettings, SAC):
    """Soft actor-critic with forests as critics: ``BoostedSAC("Pendulum-v1", seed=0).learn(20_000)``."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": BoostedSACPolicy,
        "MultiInputPolicy": BoostedSACPolicy,
    }
    kinds: ClassVar[Mapping[str, Any]] = {
        **OFF_POLICY_KINDS,
        "draws": Annotated[int, Field(ge=2, le=10_000)],
        "actor_states": Count,
        "learning_rate": Rate | Callable[[float], float],
        "ent_coef": Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
        | Annotated[str, Field(pattern=r"^auto(_[0-9.]*[1-9][0-9.]*)?$")],
        "target_entropy": Annotated[float, Field(allow_inf_nan=False)] | Literal["auto"],
        "action_noise": InstanceOf[ActionNoise] | None,
    }
    of_setup = OF_SETUP | {"learning_rate", "ent_coef"}
    idle: ClassVar[Mapping[str, tuple[Any, str]]] = {
        "tau": (0.005, "target_update_interval alone: the targets are older prefixes of the forests"),
        "use_sde": (False, "no state-dependent noise: draws would share it"),
        "sde_sample_freq": (-1, "no state-dependent noise: draws would share it"),
        "use_sde_at_warmup": (False, "no state-dependent noise: draws would share it"),
    }

    def __init__(  # noqa: PLR0913 # as in SB3
        self,
        policy: str | type[BoostedSACPolicy] | GymEnv = BoostedSACPolicy,
        env: GymEnv | str | None = None,
        *,
        rate: float = 0.1,
        grad_clip: float = 100.0,
        draws: int = 16,
        actor_states: int = 64,
        learning_rate: float | Schedule = 3e-4,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 64,
        gradient_steps: int = 16,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: type[ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        ent_coef: str | float = "auto",
        target_update_interval: int = 64,
        target_entropy: str | float = "auto",
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
        **others: Any,
    ) -> None:
        """Build the algorithm: ``BoostedSAC(env)``, or ``BoostedSAC(policy, env)`` as elsewhere in SB3.

        Args:
            policy: may be left out.
            env: environment or its id; actions are numbers.
            rate: learning rate of the values.
            grad_clip: a transition's gradient is clipped to this.
            draws: actions that the actor draws in each state to compare, at least 2.
            actor_states: states of each minibatch in which it does so; each costs ``draws`` evaluations of the forests.
            learning_rate: of the actor and of the weight of entropy.
            buffer_size: transitions that are remembered.
            learning_starts: first steps, whose actions are random and from which nothing is learned yet.
            batch_size: transitions of each tree.
            gamma: discount of each step.
            train_freq: steps of ``env`` between updates, or such as ``(1, "episode")``.
            gradient_steps: trees of each critic in each update; -1 is as many as steps were taken.
            action_noise: added to actions while exploring.
            replay_buffer_class: another buffer.
            replay_buffer_kwargs: its arguments.
            optimize_memory_usage: keep no second copy of observations.
            n_steps: of the returns that values are led to.
            ent_coef: weight of entropy, or ``"auto"``, or such as ``"auto_0.1"``, which learns it.
            target_update_interval: trees after which the targets follow.
            target_entropy: that the weight leads to.
            stats_window_size: episodes whose mean return is logged.
            tensorboard_log: folder of TensorBoard's logs.
            policy_kwargs: of ``BoostedSACPolicy``.
            verbose: 1 prints, 2 more.
            seed: of everything random.
            device: of torch; forests are on the CPU.
            others: none. SB3's ``tau`` and ``use_sde`` have no place.

        Raises:
            BadInput: a setting is wrong or unknown, the policy is of another algorithm, or the observations are of a
                kind that a forest cannot take.
        """
        self._refuse_others(others)
        self.rate, self.grad_clip, self.draws, self.actor_states = rate, grad_clip, draws, actor_states
        super().__init__(
            *policy_and_env(type(self), policy, env, needs_env=_init_setup_model),  # type: ignore[arg-type]
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            gamma=gamma,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            action_noise=action_noise,
            replay_buffer_class=replay_buffer_class,
            replay_buffer_kwargs=replay_buffer_kwargs,
            optimize_memory_usage=optimize_memory_usage,
            n_steps=n_steps,
            ent_coef=ent_coef,
            target_update_interval=target_update_interval,
            target_entropy=target_entropy,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=_init_setup_model,
        )

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
