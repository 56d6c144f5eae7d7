"""Settings of agents and learners as files give them: numbers that can be computed with, and no unknown keys."""

from typing import Any, get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from wormwood.agents.learners import BuiltInLearnerConfig
from wormwood.agents.learning.evolution.settings import CMAESConfig, OpenAIESConfig
from wormwood.agents.learning.ppo_settings import PPOConfig
from wormwood.agents.learning.sac_settings import SACConfig
from wormwood.agents.learning.td3_settings import TD3Config
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import BuiltInConfig

CONFIGS = [*get_args(BuiltInConfig), *get_args(BuiltInLearnerConfig)]
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("kind", CONFIGS)
def test_unknown_keys_are_refused_by_the_settings_themselves(kind: Any) -> None:
    assert TypeAdapter(kind).validate_python({"kind": kind.kind}) == kind()
    with pytest.raises(ValidationError, match="unknown"):
        TypeAdapter(kind).validate_python({"unknown": 1})


@pytest.mark.parametrize(
    ("kind", "name", "values"),
    [
        (NCAPConfig, "period", [0, -1, NAN, INF, 1e300, 10**400]),
        (NCAPConfig, "full_speed", [0, NAN, INF, 1e-320]),
        (NCAPConfig, "bounds", [{"prop": (0, 1)}, {"prop": (1, INF)}, {"prop": (NAN, 1)}]),
        (MLPConfig, "hidden", [[0], [10**9], [8] * 17, [1.5]]),
        (CMAESConfig, "population", [3, 10**9]),
        (CMAESConfig, "sigma", [0, -1, NAN, INF, 1e4]),
        (OpenAIESConfig, "population", [3, 0, 10**9]),
        (OpenAIESConfig, "sigma", [0, NAN, INF, 1e4]),
        (OpenAIESConfig, "learning_rate", [0, NAN, INF, 1e3]),
        (OpenAIESConfig, "weight_decay", [-1, NAN, INF]),
        (PPOConfig, "environments", [0, 10**9]),
        (PPOConfig, "noise_std", [0, 1e-300, NAN, INF, 1e4]),
        (PPOConfig, "actor_rate", [0, 1e-320, NAN, INF, 1e3]),
        (PPOConfig, "gamma", [-0.1, 1.1, NAN]),
        (PPOConfig, "entropy_coefficient", [-1, NAN, INF]),
        (PPOConfig, "target_kl", [0, NAN, INF]),
        (PPOConfig, "critic_hidden", [[0], [10**9]]),
        (TD3Config, "replay_ratio", [0, NAN, INF, 65]),
        (TD3Config, "buffer_size", [0, 10**9]),
        (TD3Config, "tau", [0, 1.5, NAN]),
        (TD3Config, "critics", [0, 11]),
        (SACConfig, "noise_std", [0, 0.6, NAN]),
        (SACConfig, "initial_entropy_coefficient", [0, NAN, INF]),
    ],
)
def test_numbers_that_cannot_be_computed_with_are_refused(kind: Any, name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(kind).validate_python({name: value})
        assert name in str(caught.value)
