"""Settings of algorithms that Stable-Baselines3 keeps as attributes: checked whenever they are set."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, Field
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit

from wormwood.agents.learning.off_policy_settings import OffPolicyConfig
from wormwood.agents.policies.setting_types import Count, Positive, Share
from wormwood.agents.stable_baselines3.finite import require_finite
from wormwood.configs.checked import check_value, field_types
from wormwood.errors import bad_input

__all__ = ["OFF_POLICY_KINDS", "OF_SETUP", "CheckedSettings"]

Self = TypeVar("Self", bound="CheckedSettings")


def _checked_frequency(given: Any) -> Any:
    if isinstance(given, TrainFreq):
        return given
    count, unit = given if isinstance(given, tuple | list) and len(given) == 2 else (given, "step")
    if unit not in [each.value for each in TrainFrequencyUnit]:
        raise ValueError("a number of steps, or such as (1, 'episode')")
    return check_value(count, Count, where="train_freq"), unit


OFF_POLICY_KINDS: Mapping[str, Any] = {
    "rate": Annotated[float, Field(ge=1e-9, le=100, allow_inf_nan=False)],
    "grad_clip": Positive,
    "buffer_size": field_types(OffPolicyConfig)["buffer_size"],
    "learning_starts": Annotated[int, Field(ge=0)],
    "batch_size": Annotated[int, Field(ge=1, le=1_000_000)],
    "gamma": Share,
    "train_freq": Annotated[Any, AfterValidator(_checked_frequency)],
    "gradient_steps": Count | Literal[-1],
    "optimize_memory_usage": bool,
    "n_steps": Count,
    "target_update_interval": Annotated[int, Field(ge=1)],
    "verbose": Annotated[int, Field(ge=0, le=2)],
    "seed": Annotated[int, Field(ge=0, lt=2**32)] | None,
    "_stats_window_size": Count,
}
"""Types, with their bounds, of what boosted algorithms have that learn from a replay buffer."""

OF_SETUP = frozenset({"buffer_size", "train_freq", "optimize_memory_usage", "n_steps", "seed"})
"""Of those, what counts when a model is built or loaded, and would do nothing later."""


class CheckedSettings(OffPolicyAlgorithm):
    """Comes before an algorithm of Stable-Baselines3 among the bases, and checks its attributes.

    What is set to a wrong value is refused, by the constructor, later and by ``load``; so is what nothing would use.
    """

    kinds: ClassVar[Mapping[str, Any]] = OFF_POLICY_KINDS
    """Types of settings, by name."""
    of_setup: ClassVar[frozenset[str]] = OF_SETUP
    """Names of those that would do nothing once the model is built."""
    idle: ClassVar[Mapping[str, tuple[Any, str]]] = {}
    """Values of settings of SB3's that nothing uses here, and what takes their place."""
    _built = False

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute.

        Raises:
            BadInput: it is a setting, and the value is wrong or would do nothing.
        """
        where = type(self).__name__
        if name in self.idle:
            self._refuse_idle(name, value)
        if name in self.kinds:
            value = check_value(value, self.kinds[name], where=f"{where}.{name.removeprefix('_')}")
            late = self._built and (name in self.of_setup or (name == "gamma" and self.n_steps > 1))
            if late and value != getattr(self, name):
                expected = f"{getattr(self, name)!r}, or another where the model is built or loaded"
                raise bad_input(name, where=where, expected=expected, got=value)
        super().__setattr__(name, value)

    def _setup_model(self) -> None:
        self._built = False
        # SB3's ``load`` puts what it is given past the attributes.
        for name in self.kinds:
            if name in vars(self):
                setattr(self, name, vars(self)[name])
        # It keeps the buffer's class, too, which then would not follow ``n_steps``.
        if self.replay_buffer_class in (ReplayBuffer, DictReplayBuffer, NStepReplayBuffer):
            self.replay_buffer_class = None
            kept = {name: each for name, each in self.replay_buffer_kwargs.items() if name not in ("n_steps", "gamma")}
            self.replay_buffer_kwargs = kept
        super()._setup_model()
        self._built = True

    def _store_transition(self, replay_buffer: Any, buffer_action: Any, new_obs: Any, reward: Any, *rest: Any) -> None:
        for what, values in (("observation", new_obs), ("reward", reward)):
            require_finite(self, what, values)
        super()._store_transition(replay_buffer, buffer_action, new_obs, reward, *rest)

    @classmethod
    def load(cls: type[Self], path: Any, *arguments: Any, **kwargs: Any) -> Self:
        """Load a model as SB3 does, with changed settings.

        Args:
            path: of the file.
            arguments: of SB3's ``load``.
            kwargs: of SB3's ``load``, and settings.

        Raises:
            BadInput: a setting is unknown or wrong, or nothing would use it.
        """
        attributes: Any = cls(_init_setup_model=False)  # type: ignore[call-arg]
        known = {*inspect.signature(BaseAlgorithm.load).parameters, *cls._names(), *vars(attributes), "n_envs"}
        cls._refuse_others({name: value for name, value in kwargs.items() if name not in known})
        for name, value in kwargs.items():
            cls._refuse_idle(name, value)
        return super().load(path, *arguments, **kwargs)

    @classmethod
    def _names(cls) -> list[str]:
        parameters = inspect.signature(cls).parameters.values()
        return [each.name for each in parameters if each.kind is each.KEYWORD_ONLY and not each.name.startswith("_")]

    @classmethod
    def _refuse_others(cls, given: Mapping[str, Any]) -> None:
        """Refuse arguments that the algorithm does not know, and say what takes the place of those that SB3's has."""
        for name, value in given.items():
            if name in cls.idle:
                raise bad_input(name, where=cls.__name__, expected=cls.idle[name][1], got=value)
            expected = f"one of {', '.join(cls._names())}"
            raise bad_input("unknown setting", where=cls.__name__, expected=expected, got=name, nearest_to=cls._names())

    @classmethod
    def _refuse_idle(cls, name: str, value: Any) -> None:
        usual, instead = cls.idle.get(name, (value, ""))
        if value is not usual and value != usual:
            raise bad_input(name, where=cls.__name__, expected=instead, got=value)
