"""Boosted actor-critics as algorithms of Stable-Baselines3: ``BoostedPPO(env).learn(100_000)``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar, get_type_hints

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.utils import explained_variance

from wormwood.agents.learning.boosted.actor_critic import Experience
from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig
from wormwood.agents.stable_baselines3.boosted_policy import BoostedActorCriticPolicy
from wormwood.agents.stable_baselines3.finite import require_finite
from wormwood.agents.stable_baselines3.pairing import policy_and_env
from wormwood.agents.stable_baselines3.spaces import from_start
from wormwood.configs.checked import check_value, field_types
from wormwood.configs.idle_settings import default_of, refuse_idle
from wormwood.errors import BadInput, bad_input

__all__ = ["ALGORITHMS", "BoostedA2C", "BoostedAWR", "BoostedActorCriticPolicy", "BoostedPPO"]

Self = TypeVar("Self", bound="_BoostedAlgorithm")
Loss = Literal["ppo", "a2c", "awr"]

SB3_NAMES = {
    "steps": "n_steps",
    "epochs": "n_epochs",
    "entropy_coefficient": "ent_coef",
    "value_coefficient": "vf_coef",
}
"""Settings that have another name in SB3. Both are taken."""
OF_THE_POLICY = ("boosting", "noise_std", "critic", "critic_hidden", "critic_rate")
"""Settings that the policy takes when it is built."""
NOT_HERE = ("kind", "loss", "environments", "lag")
"""Settings that the algorithm and its environments decide, or ``distribute``."""
IN_PLACE = {
    "learning_rate": "boosting=BoostingConfig(policy_rate=..., value_rate=...) in its place",
    "max_grad_norm": "boosting=BoostingConfig(policy_max_grad_norm=..., value_grad_clip=...) in its place",
    "clip_range_vf": "boosting=BoostingConfig(value_grad_clip=...) in its place",
    "use_sde": "nothing: a forest has no features for state-dependent noise",
    "sde_sample_freq": "nothing: a forest has no features for state-dependent noise",
}
"""What SB3's algorithms take and these do not."""


class _Setting:
    """A setting as an attribute of an algorithm, under the name that SB3 has for it: it counts whenever it is set."""

    def __init__(self, name: str, *, late: bool = True) -> None:
        """Keep ``BoostedLearnerConfig.name``; what is not ``late`` counts only where a model is built or loaded."""
        self._name, self._late = name, late

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else getattr(model.settings, self._name)

    def __set__(self, model: Any, value: Any) -> None:
        changed = model._changed(model.settings, {self._name: value})
        before = getattr(model.settings, self._name)
        buffer = vars(model).get("rollout_buffer")
        if buffer is not None:
            if not self._late and getattr(changed, self._name) != before:
                expected = f"{before!r}, or another where the model is built or loaded"
                name = SB3_NAMES.get(self._name, self._name)
                raise bad_input(name, where=type(model).__name__, expected=expected, got=value)
            buffer.gamma, buffer.gae_lambda = changed.gamma, changed.gae_lambda
        model.settings = changed


def _first_rate(settings: BoostedLearnerConfig) -> float:
    rate = settings.boosting.policy_rate
    return rate if isinstance(rate, float) else rate.first


def _signature(cls: type[_BoostedAlgorithm]) -> inspect.Signature:
    """Return how an algorithm is built, with the settings that its loss uses in place of ``**changes``."""
    own = list(inspect.signature(cls.__init__).parameters.values())[1:]
    usual = BoostedLearnerConfig(loss=cls.loss)
    idle = {name for name, (used, needs) in usual.uses().items() if not used and needs.startswith("loss")}
    shown = []
    for name, kind in get_type_hints(BoostedLearnerConfig).items():
        if name not in {*NOT_HERE, *idle}:
            named, default = SB3_NAMES.get(name, name), getattr(usual, name)
            shown.append(inspect.Parameter(named, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))
    plain = [each for each in own if each.kind is not each.VAR_KEYWORD and not each.name.startswith("_")]
    first = [each for each in plain if each.kind is not each.KEYWORD_ONLY]
    return inspect.Signature([*first, *shown, *plain[len(first) :]])


class _BoostedAlgorithm(OnPolicyAlgorithm):
    """Stable-Baselines3's on-policy loop around an update that grows trees."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": BoostedActorCriticPolicy,
        "MultiInputPolicy": BoostedActorCriticPolicy,
    }
    loss: ClassVar[Loss]
    n_steps = _Setting("steps", late=False)
    gamma, gae_lambda = _Setting("gamma"), _Setting("gae_lambda")
    n_epochs, batch_size = _Setting("epochs"), _Setting("batch_size")
    clip_range, target_kl = _Setting("clip_range"), _Setting("target_kl")
    temperature, normalize_advantage = _Setting("temperature"), _Setting("normalize_advantage")
    ent_coef, vf_coef = _Setting("entropy_coefficient"), _Setting("value_coefficient")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show every setting in ``help`` and ``inspect.signature``."""
        super().__init_subclass__(**kwargs)
        cls.__signature__ = None if "__init__" in vars(cls) else _signature(cls)  # type: ignore[attr-defined]

    def __init__(  # noqa: PLR0913 # as in SB3
        self,
        policy: str | type[BoostedActorCriticPolicy] | GymEnv = BoostedActorCriticPolicy,
        env: GymEnv | str | None = None,
        *,
        settings: BoostedLearnerConfig | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        stats_window_size: int = 100,
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
            stats_window_size: episodes whose mean return is logged.
            tensorboard_log: folder of TensorBoard's logs.
            verbose: 1 prints.
            seed: of everything random.
            device: of torch; forests are on the CPU.
            changes: single settings by name: those of ``BoostedLearnerConfig``, of which SB3 calls four ``n_steps``,
                ``n_epochs``, ``ent_coef`` and ``vf_coef``. All but ``n_steps`` and those of the policy can be set
                later, too.

        Raises:
            BadInput: a setting is unknown, wrong or without effect, there is no environment, or the spaces are of
                kinds that a forest cannot take.
        """
        policy_class, env = policy_and_env(type(self), policy, env, needs_env=_init_setup_model)
        self.settings = self._changed(settings or BoostedLearnerConfig(loss=self.loss), changes)
        if settings is not None and _init_setup_model:
            refuse_idle(self.settings, where=type(self).__name__)
        options = {name: getattr(self.settings, name) for name in OF_THE_POLICY} | (policy_kwargs or {})
        super().__init__(
            policy_class,  # type: ignore[arg-type]
            env,  # type: ignore[arg-type]
            learning_rate=_first_rate(self.settings),
            n_steps=self.settings.steps,
            gamma=self.settings.gamma,
            gae_lambda=self.settings.gae_lambda,
            ent_coef=self.settings.entropy_coefficient,
            vf_coef=self.settings.value_coefficient,
            max_grad_norm=0.0,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=options,
            verbose=verbose,
            seed=seed,
            device="cpu" if device == "auto" else device,
            supported_action_spaces=(Box, Discrete, MultiDiscrete),
            _init_setup_model=_init_setup_model,
        )

    def _setup_model(self) -> None:
        # SB3's ``load`` puts what it is given past the attributes.
        for name, kind in inspect.getmembers_static(type(self)):
            if isinstance(kind, _Setting) and name in self.__dict__:
                setattr(self, name, self.__dict__.pop(name))
        super()._setup_model()

    @classmethod
    def load(cls: type[Self], path: Any, *arguments: Any, **kwargs: Any) -> Self:
        """Load a model as SB3 does, with changed settings.

        Args:
            path: of the file.
            arguments: of SB3's ``load``.
            kwargs: of SB3's ``load``, and the settings that can be set later, and ``n_steps``.

        Raises:
            BadInput: a setting is unknown or wrong.
        """
        settings = {name for name, kind in inspect.getmembers_static(cls) if isinstance(kind, _Setting)}
        attributes = vars(cls(_init_setup_model=False))
        known = {*inspect.signature(BaseAlgorithm.load).parameters, *settings, *attributes, "n_envs"} - {*IN_PLACE}
        for name, value in kwargs.items():
            if name not in known:
                expected = IN_PLACE.get(name, f"one of {', '.join(sorted(settings))}")
                raise bad_input(f"setting {name}", where=f"{cls.__name__}.load", expected=expected, got=value)
        return super().load(path, *arguments, **kwargs)

    @classmethod
    def _changed(cls, settings: BoostedLearnerConfig, changes: Mapping[str, Any]) -> BoostedLearnerConfig:
        """Return settings with some changed, by their own names or SB3's.

        Raises:
            BadInput: one is unknown, wrong or would do nothing.
        """
        types, ours = field_types(BoostedLearnerConfig), {name: own for own, name in SB3_NAMES.items()}
        known = [name for name in types if name not in NOT_HERE]
        checked = {}
        for given, value in changes.items():
            name = ours.get(given, given)
            if given in IN_PLACE:
                raise bad_input(given, where=cls.__name__, expected=IN_PLACE[given], got=value)
            if name not in known:
                names = [*known, *ours]
                expected = f"one of {', '.join(names)}"
                raise bad_input("unknown setting", where=cls.__name__, expected=expected, got=given, nearest_to=names)
            shown = SB3_NAMES.get(name, name)
            checked[name] = check_value(value, types[name], where=f"{cls.__name__}.{shown}")
        changed = dataclasses.replace(settings, loss=cls.loss, **checked)
        uses = changed.uses()
        for name, value in checked.items():
            used, needs = uses.get(name, (True, ""))
            if not used and value != default_of(BoostedLearnerConfig, name):
                expected = f"{default_of(BoostedLearnerConfig, name)!r} unless {needs}"
                raise bad_input(SB3_NAMES.get(name, name), where=cls.__name__, expected=expected, got=value)
        return changed

    def learn(  # noqa: PLR0917 # as in SB3
        self: Self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Learn as SB3's algorithms do; TensorBoard's log has the name of the algorithm unless another is given.

        Raises:
            BadInput: an observation or reward is NaN or infinite.
        """
        name = tb_log_name or type(self).__name__
        try:
            return super().learn(total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar)
        except BadInput:
            require_finite(self, "observation", self._last_obs)
            raise

    def train(self) -> None:
        """Grow by the rollout that has been collected.

        Raises:
            BadInput: a reward is NaN or infinite.
        """
        steps, environments = np.nonzero(~np.isfinite(self.rollout_buffer.rewards))
        if len(steps):
            step = self.num_timesteps // self.n_envs - self.n_steps + int(steps[0]) + 1
            where = f"environment {environments[0]}, step {step}"
            got = float(self.rollout_buffer.rewards[steps[0], environments[0]])
            raise bad_input("reward", where=where, expected="a finite number", got=got)
        assert isinstance(self.policy, BoostedActorCriticPolicy)
        model, buffer = self.policy.actor_critic, self.rollout_buffer
        samples = next(buffer.get(None))
        experience = Experience(
            observation=self.policy.encode(samples.observations),
            action=from_start(self.action_space, samples.actions).numpy().reshape(len(samples.actions), -1),
            log_prob=samples.old_log_prob.numpy().astype(np.float64),
            advantage=samples.advantages.numpy().astype(np.float64),
            target=samples.returns.numpy().astype(np.float64),
        )
        self.logger.record("train/learning_rate", model.policy_rate)
        # SB3 shuffles with this generator, which its algorithms seed.
        metrics = dict(model.improve(experience, self.settings, permutation=np.random.permutation))
        self._n_updates += int(metrics.pop("passes"))
        metrics["explained_variance"] = float(explained_variance(buffer.values.ravel(), buffer.returns.ravel()))
        if model.log_std is not None:
            metrics["std"] = model.log_std.exp().mean().item()
        for name, value in metrics.items():
            self.logger.record(f"train/{name}", value)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")


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
