"""Boosted actor-critics as algorithms of Stable-Baselines3: ``BoostedPPO(env).learn(100_000)``."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from stable_baselines3.common.distributions import Distribution, make_proba_distribution
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, PyTorchObs, Schedule
from torch import Tensor, nn

from wormwood.agents.learning.boosted.actor_critic import BoostedActorCritic, Experience
from wormwood.agents.learning.boosted.encoding import encode_tensors, feature_map_of_space
from wormwood.agents.learning.boosted.network_critic import NetworkCritic
from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig, BoostingConfig
from wormwood.agents.policies.features import make_feature_map
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.stable_baselines3.pairing import check_algorithm
from wormwood.agents.stable_baselines3.spaces import from_start, in_space
from wormwood.envs.specs import ActionSpace, EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["ALGORITHMS", "BoostedA2C", "BoostedAWR", "BoostedActorCriticPolicy", "BoostedPPO"]

Self = TypeVar("Self", bound="_BoostedAlgorithm")


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
            BadInput: the spaces are of other kinds, an option is unknown, or a network is to share trees.
        """
        check_algorithm(self)
        for name, value in kwargs.items():
            if value:
                known = ["agent", "boosting", "spec", "noise_std", "critic", "critic_hidden", "critic_rate"]
                expected = f"one of {', '.join(known)}; layers and noise of Stable-Baselines3's own have no place"
                raise bad_input("unknown option", where="policy_kwargs", expected=expected, got=name, nearest_to=known)
        self._agent, self._boosting = agent or ForestConfig(), boosting or BoostingConfig()
        self._spec, self._noise_std = spec, noise_std
        self._critic, self._critic_hidden, self._critic_rate = critic, critic_hidden, critic_rate
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


class _Setting:
    """A setting under the name that SB3 has for it, as an attribute of an algorithm."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else getattr(model.settings, self._name)

    def __set__(self, model: Any, value: Any) -> None:
        model.settings = _changed(model.settings, model.loss, {self._name: value})


class _BoostedAlgorithm(OnPolicyAlgorithm):
    """Stable-Baselines3's on-policy loop around an update that grows trees."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": BoostedActorCriticPolicy}
    loss: ClassVar[Literal["ppo", "a2c", "awr"]]
    n_epochs, batch_size = _Setting("epochs"), _Setting("batch_size")
    clip_range, target_kl = _Setting("clip_range"), _Setting("target_kl")
    ent_coef, vf_coef = _Setting("entropy_coefficient"), _Setting("value_coefficient")

    def __init__(
        self,
        policy: str | type[BoostedActorCriticPolicy] | GymEnv = BoostedActorCriticPolicy,
        env: GymEnv | str | None = None,
        *,
        settings: BoostedLearnerConfig | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        tensorboard_log: str | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: torch.device | str = "auto",
        _init_setup_model: bool = True,
        **changes: Any,
    ) -> None:
        """Build the algorithm: ``BoostedPPO(env)``, or ``BoostedPPO(policy, env)`` as elsewhere in SB3.

        Args:
            policy: may be left out.
            env: environment or its id.
            settings: of the update; its ``environments`` is what ``env`` has.
            policy_kwargs: of ``BoostedActorCriticPolicy``: ``agent`` and ``boosting``.
            tensorboard_log: folder of TensorBoard's logs.
            verbose: 1 prints.
            seed: of everything random.
            device: of torch; forests are on the CPU.
            changes: single settings by name: those of ``BoostedLearnerConfig``, and SB3's ``n_steps``, ``n_epochs``,
                ``ent_coef`` and ``vf_coef`` for them.

        Raises:
            BadInput: a setting is unknown, or the spaces are of kinds that a forest cannot take.
        """
        if env is None and not isinstance(policy, type) and policy not in ("MlpPolicy", "MultiInputPolicy"):
            policy, env = BoostedActorCriticPolicy, policy  # type: ignore[assignment]
        if isinstance(policy, str):
            policy = BoostedActorCriticPolicy
        self.settings = _changed(settings or BoostedLearnerConfig(), self.loss, changes)
        policy_options = {name: getattr(self.settings, name) for name in _OF_THE_POLICY} | (policy_kwargs or {})
        super().__init__(
            policy,  # type: ignore[arg-type]
            env,  # type: ignore[arg-type]
            learning_rate=1.0,  # of nothing: the trees have their own
            n_steps=self.settings.steps,
            gamma=self.settings.gamma,
            gae_lambda=self.settings.gae_lambda,
            ent_coef=self.settings.entropy_coefficient,
            vf_coef=self.settings.value_coefficient,
            max_grad_norm=0.0,
            use_sde=False,
            sde_sample_freq=-1,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_options,
            verbose=verbose,
            seed=seed,
            device="cpu" if device == "auto" else device,
            supported_action_spaces=(Box, Discrete, MultiDiscrete),
            _init_setup_model=_init_setup_model,
        )

    def _setup_model(self) -> None:
        # SB3's ``load`` puts what it is given past the attributes.
        for name in ("n_epochs", "batch_size", "clip_range", "target_kl", "ent_coef", "vf_coef"):
            if name in self.__dict__:
                setattr(self, name, self.__dict__.pop(name))
        super()._setup_model()

    def learn(  # noqa: PLR0917 # as in SB3
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Learn as SB3's algorithms do; TensorBoard's log has the name of the algorithm unless another is given."""
        name = tb_log_name or type(self).__name__
        return super().learn(total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar)

    def train(self) -> None:
        """Grow by the rollout that has been collected."""
        assert isinstance(self.policy, BoostedActorCriticPolicy)
        samples = next(self.rollout_buffer.get(None))
        experience = Experience(
            observation=self.policy.encode(samples.observations),
            action=from_start(self.action_space, samples.actions).numpy().reshape(len(samples.actions), -1),
            log_prob=samples.old_log_prob.numpy().astype(np.float64),
            advantage=samples.advantages.numpy().astype(np.float64),
            target=samples.returns.numpy().astype(np.float64),
        )
        # SB3 shuffles with this generator, which its algorithms seed.
        shuffle = np.random.permutation
        for name, value in self.policy.actor_critic.improve(experience, self.settings, permutation=shuffle).items():
            self.logger.record(f"train/{name}", value)


class BoostedPPO(_BoostedAlgorithm):
    """Proximal policy optimisation of a boosted forest: ``BoostedPPO("CartPole-v1").learn(100_000)``."""

    loss = "ppo"


class BoostedA2C(_BoostedAlgorithm):
    """Advantage actor-critic of a boosted forest: one tree for each rollout."""

    loss = "a2c"


class BoostedAWR(_BoostedAlgorithm):
    """Advantage-weighted regression of a boosted forest, on each rollout."""

    loss = "awr"


ALGORITHMS: dict[str, type[_BoostedAlgorithm]] = {cls.loss: cls for cls in (BoostedPPO, BoostedA2C, BoostedAWR)}
"""By the loss that they descend."""

_OF_THE_POLICY = ("boosting", "noise_std", "critic", "critic_hidden", "critic_rate")
"""Settings that the policy takes."""

_SB3_NAMES = {
    "n_steps": "steps",
    "n_epochs": "epochs",
    "ent_coef": "entropy_coefficient",
    "vf_coef": "value_coefficient",
}


def _changed(
    settings: BoostedLearnerConfig, loss: Literal["ppo", "a2c", "awr"], changes: dict[str, Any]
) -> BoostedLearnerConfig:
    known = [field.name for field in dataclasses.fields(settings) if field.name not in ("kind", "loss")]
    renamed = {_SB3_NAMES.get(name, name): value for name, value in changes.items()}
    for name in renamed:
        if name not in known:
            expected = f"one of {', '.join([*known, *_SB3_NAMES])}"
            raise bad_input("unknown setting", where="boosted algorithm", expected=expected, got=name, nearest_to=known)
    whole = {"epochs": 1, "batch_size": 1_000_000_000} if loss == "a2c" else {}
    return dataclasses.replace(settings, loss=loss, **{**renamed, **whole})
