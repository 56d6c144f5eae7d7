"""Which policy belongs to which algorithm, checked while a model is built.

Stable-Baselines3 tells a policy neither its algorithm nor its environments, and checks neither: a wrong pair would fail
in the middle of training, or learn nothing without a word. So a policy looks at who builds it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import FrameType
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv

from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import BadInput, bad_input

__all__ = ["check_algorithm", "check_normalization", "policy_and_env"]

POLICIES: Mapping[str, str] = {
    "OnPolicyAlgorithm": "StructuredPolicy",
    "TD3": "StructuredTD3Policy",
    "SAC": "StructuredSACPolicy",
    "_BoostedAlgorithm": "BoostedActorCriticPolicy",
    "BoostedDQN": "BoostedQPolicy",
    "BoostedSAC": "BoostedSACPolicy",
}
"""Base classes of our policies, by those of the algorithms that learn with them: the most derived counts."""

USUAL: Mapping[str, tuple[str, str]] = {
    "StructuredPolicy": ("NCAPPolicy", "PPO and A2C"),
    "StructuredTD3Policy": ("NCAPTD3Policy", "TD3 and DDPG"),
    "StructuredSACPolicy": ("NCAPSACPolicy", "SAC"),
    "BoostedActorCriticPolicy": ("BoostedActorCriticPolicy", "BoostedPPO, BoostedA2C and BoostedAWR"),
    "BoostedQPolicy": ("BoostedQPolicy", "BoostedDQN"),
    "BoostedSACPolicy": ("BoostedSACPolicy", "BoostedSAC"),
}
"""What users write: the policy, and its algorithms."""


def check_algorithm(policy: BasePolicy) -> None:
    """Refuse a policy of ours that the algorithm which builds it cannot learn with: call it first in ``__init__``.

    Raises:
        BadInput: the algorithm has another policy. One that is built by itself, as by ``load``, belongs to any.
    """
    algorithm = _builder(policy)
    if algorithm is not None and not _fits(type(algorithm), type(policy)):
        raise _wrong_pair(type(algorithm), type(policy))


def policy_and_env(
    algorithm: type[BaseAlgorithm], policy: Any, env: GymEnv | str | None, *, needs_env: bool
) -> tuple[type[BasePolicy], GymEnv | str | None]:
    """Return the policy's class and the environment of an algorithm of ours, whose policy may be left out.

    Raises:
        BadInput: the policy is not of the kind that the algorithm grows, or there is no environment and it needs one.
    """
    names: Mapping[str, type[BasePolicy]] = algorithm.policy_aliases
    if isinstance(policy, str) and policy in names:
        policy = names[policy]
    if not isinstance(policy, type):
        if env is not None:
            expected = f"one of {', '.join(names)}, or nothing"
            raise bad_input("policy", where=algorithm.__name__, expected=expected, got=policy, nearest_to=names)
        policy, env = names["MlpPolicy"], policy
    if not _fits(algorithm, policy):
        raise _wrong_pair(algorithm, policy)
    if env is None and needs_env:
        expected = f"an environment or its id, as {algorithm.__name__}(env)"
        raise bad_input("environment", where=algorithm.__name__, expected=expected, got=None)
    return policy, env


def check_normalization(policy: BasePolicy, spec: EnvironmentSpec) -> None:
    """Refuse environments that standardise what a circuit reads in units of joint limits and steps.

    Raises:
        BadInput: the algorithm which builds the policy has such environments.
    """
    algorithm = _builder(policy)
    normalize = None if algorithm is None else algorithm.get_vec_normalize_env()
    if normalize is not None and normalize.norm_obs and spec.layout.clock is not None:
        expected = "norm_obs=False: a circuit reads joints and its clock as the task gives them"
        raise bad_input("VecNormalize", where="environments", expected=expected, got="norm_obs=True")


def _builder(policy: BasePolicy) -> BaseAlgorithm | None:
    """Return the algorithm whose ``_setup_model`` calls the constructor of a policy, or None where none does."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and frame.f_locals.get("self") is not policy:
        frame = frame.f_back
    while frame is not None and frame.f_locals.get("self") is policy:
        frame = frame.f_back
    if frame is None or frame.f_code.co_name != "_setup_model":
        return None
    algorithm = frame.f_locals.get("self")
    return algorithm if isinstance(algorithm, BaseAlgorithm) else None


def _base(algorithm: type[BaseAlgorithm]) -> str | None:
    return next((POLICIES[cls.__name__] for cls in algorithm.__mro__ if cls.__name__ in POLICIES), None)


def _fits(algorithm: type[BaseAlgorithm], policy: type[BasePolicy]) -> bool:
    return _base(algorithm) in {cls.__name__ for cls in policy.__mro__}


def _wrong_pair(algorithm: type[BaseAlgorithm], policy: type[BasePolicy]) -> BadInput:
    base = _base(algorithm)
    own = [] if base is None else [USUAL[base][0]]
    theirs = ["one of Stable-Baselines3's own"] if base is None or base.startswith("Structured") else []
    of_policy = next((USUAL[cls.__name__][1] for cls in policy.__mro__ if cls.__name__ in USUAL), "")
    note = f" ({policy.__name__} is for {of_policy})" if of_policy else ""
    expected = " or ".join([*own, *theirs]) + note
    return bad_input("policy", where=algorithm.__name__, expected=expected, got=policy.__name__)
