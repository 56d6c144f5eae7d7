"""The table of learners: what a new kind of learner adds one line to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, WrapValidator

from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig
from wormwood.agents.learning.evolution.cma_es import CMAES
from wormwood.agents.learning.evolution.openai_es import OpenAIES
from wormwood.agents.learning.evolution.settings import CMAESConfig, OpenAIESConfig
from wormwood.agents.learning.interfaces import Learner
from wormwood.agents.learning.ppo_settings import PPOConfig
from wormwood.agents.learning.recurrent.settings import FastSlowConfig, RecurrentPPOConfig
from wormwood.agents.learning.sac_settings import SACConfig
from wormwood.agents.learning.td3_settings import TD3Config
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig, search_space
from wormwood.configs.custom import CustomSettings, custom_or, is_custom, load_class
from wormwood.envs.specs import EnvironmentSpec

__all__ = [
    "LEARNERS",
    "BuiltInLearnerConfig",
    "LearnerConfig",
    "LearnerContext",
    "LearnerField",
    "LearnerKind",
    "SampleRequirements",
    "learner_class",
    "learner_kind",
    "make_learner",
]

NEEDS = {
    "__init__": "(settings, weights, context)",
    "requirements": "(settings, spec)",
    "weights": "()",
    "update": "(fragments, iteration)",
    "policy_weights": "()",
    "state": "()",
    "restore": "(state)",
}
"""Methods of a learner of the user's own: those of ``Learner``, and the static ``requirements``, which returns
``SampleRequirements``. It may have a frozen dataclass ``Settings``, too."""


def learner_class(kind: str) -> Any:
    """Return the class ``module:Class``.

    Raises:
        BadInput: there is none, or it lacks a method.
    """
    return load_class(kind, what="learner", needs=NEEDS)


BuiltInLearnerConfig = (
    CMAESConfig
    | OpenAIESConfig
    | PPOConfig
    | TD3Config
    | SACConfig
    | BoostedLearnerConfig
    | RecurrentPPOConfig
    | FastSlowConfig
)
LearnerConfig = BuiltInLearnerConfig | CustomSettings
LearnerField = Annotated[
    Annotated[BuiltInLearnerConfig, Field(discriminator="kind")], WrapValidator(custom_or(learner_class))
]
"""The settings of a learner as files hold them: one of ours by its ``kind``, or those of a class of the user's."""


@dataclass(frozen=True)
class LearnerContext:
    """Where a learner learns."""

    agent: AgentConfig
    spec: EnvironmentSpec
    seed: int
    device: str = "cpu"
    """Of torch: ``cpu``, ``cuda``, or ``auto`` for CUDA where there is any."""


@dataclass(frozen=True)
class SampleRequirements:
    """What experience a learner asks for in each iteration."""

    environments: int
    """Environments in all shards together."""
    steps: int
    """Control steps of each environment."""
    population: int = 0
    """Candidates; 0 for a single policy."""
    starts: int = 1
    """Episodes of each candidate."""
    members: int = 1
    """Policies that learn side by side, each from the shards that are its own."""
    lag: int = 0
    """Updates by which the policy that collects may be older than the one that learns."""


@dataclass(frozen=True)
class LearnerKind:
    """How to start one kind of learner, and what it asks for."""

    make: Callable[[Any, Arrays, LearnerContext], Learner]
    requirements: Callable[[Any, EnvironmentSpec], SampleRequirements]
    summary: str


def _evolution_requirements(config: CMAESConfig | OpenAIESConfig, spec: EnvironmentSpec) -> SampleRequirements:
    environments = config.population * config.starts
    return SampleRequirements(environments, spec.horizon, population=config.population, starts=config.starts)


def _make_cma_es(config: CMAESConfig, weights: Arrays, context: LearnerContext) -> Learner:
    return CMAES(config, search_space(context.agent, weights), weights, seed=context.seed)


def _make_openai_es(config: OpenAIESConfig, weights: Arrays, context: LearnerContext) -> Learner:
    return OpenAIES(config, search_space(context.agent, weights), weights, seed=context.seed)


def _make_ppo(config: PPOConfig, weights: Arrays, context: LearnerContext) -> Learner:
    from wormwood.agents.learning.on_policy.actors import has_compiled_actor

    if config.critic == "mlp" and context.device != "cuda" and has_compiled_actor(context.agent, context.spec):
        from wormwood.agents.learning.on_policy.ppo import CompiledPPOLearner

        return CompiledPPOLearner(config, context.agent, weights, spec=context.spec, seed=context.seed)
    # Only who needs torch pays for it: 200 MB and a second.
    from wormwood.agents.stable_baselines3.ppo_learner import PPOLearner

    return PPOLearner(config, context.agent, weights, spec=context.spec, seed=context.seed, device=context.device)


def _make_td3(config: TD3Config, weights: Arrays, context: LearnerContext) -> Learner:
    from wormwood.agents.stable_baselines3.td3_learner import TD3Learner

    return TD3Learner(config, context.agent, weights, spec=context.spec, seed=context.seed, device=context.device)


def _make_sac(config: SACConfig, weights: Arrays, context: LearnerContext) -> Learner:
    from wormwood.agents.stable_baselines3.sac_learner import SACLearner

    return SACLearner(config, context.agent, weights, spec=context.spec, seed=context.seed, device=context.device)


def _make_boosted(config: BoostedLearnerConfig, weights: Arrays, context: LearnerContext) -> Learner:
    from wormwood.agents.stable_baselines3.boosted_learner import BoostedLearner

    return BoostedLearner(config, context.agent, spec=context.spec, seed=context.seed)


def _make_recurrent_ppo(config: RecurrentPPOConfig, weights: Arrays, context: LearnerContext) -> Learner:
    from wormwood.agents.learning.recurrent.ppo import RecurrentPPOLearner

    return RecurrentPPOLearner(
        config, context.agent, weights, spec=context.spec, seed=context.seed, device=context.device
    )


def _make_fast_slow(config: FastSlowConfig, weights: Arrays, context: LearnerContext) -> Learner:
    from wormwood.agents.learning.recurrent.fast_slow import FastSlowLearner

    return FastSlowLearner(config, context.agent, weights, spec=context.spec, seed=context.seed, device=context.device)


def _window_requirements(config: RecurrentPPOConfig, spec: EnvironmentSpec) -> SampleRequirements:
    return SampleRequirements(config.environments, config.steps or spec.horizon, lag=config.lag)


def _trial_requirements(config: FastSlowConfig, spec: EnvironmentSpec) -> SampleRequirements:
    return SampleRequirements(config.environments, spec.horizon, members=config.memories, lag=config.lag)


def _rollout_requirements(
    config: PPOConfig | TD3Config | SACConfig | BoostedLearnerConfig, spec: EnvironmentSpec
) -> SampleRequirements:
    return SampleRequirements(config.environments, config.steps, lag=config.lag)


LEARNERS = {
    "cma-es": LearnerKind(_make_cma_es, _evolution_requirements, "CMA-ES, for up to about 100 parameters"),
    "openai-es": LearnerKind(_make_openai_es, _evolution_requirements, "OpenAI-ES, for any number of parameters"),
    "ppo": LearnerKind(_make_ppo, _rollout_requirements, "proximal policy optimisation"),
    "td3": LearnerKind(_make_td3, _rollout_requirements, "TD3 and DDPG, off-policy, by Stable-Baselines3"),
    "recurrent-ppo": LearnerKind(
        _make_recurrent_ppo, _window_requirements, "PPO through time, for agents that remember"
    ),
    "fast-slow": LearnerKind(
        _make_fast_slow, _trial_requirements, "PPO by predicted and true gradients, for agents that remember"
    ),
    "sac": LearnerKind(_make_sac, _rollout_requirements, "SAC, off-policy, by Stable-Baselines3"),
    "boosted": LearnerKind(_make_boosted, _rollout_requirements, "PPO, A2C or AWR by gradient-boosted trees"),
}


CUSTOM = LearnerKind(
    lambda config, weights, context: learner_class(config.kind)(config, weights, context),
    lambda config, spec: learner_class(config.kind).requirements(config, spec),
    "a class of your own",
)


def learner_kind(kind: str) -> LearnerKind:
    """Return how to start a kind of learner, and what it asks for: one of ``LEARNERS``, or a class ``module:Class``."""
    return CUSTOM if is_custom(kind) else LEARNERS[kind]


def make_learner(config: LearnerConfig, weights: Arrays, context: LearnerContext) -> Learner:
    """Start a learner from an agent's weights.

    Raises:
        BadInput: the agent cannot learn this way, or the device is not there.
    """
    return learner_kind(config.kind).make(config, weights, context)
