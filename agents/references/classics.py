"""Classic policies by name, for families that have some: to compare with, and to learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from wormwood.agents.policies.interfaces import Policy
from wormwood.agents.references.bandit_policies import (
    BanditPolicy,
    gittins,
    greedy,
    thompson,
    upper_confidence_bound,
)
from wormwood.agents.references.tabular_policies import TabularPolicy, bonus_model, posterior_sample
from wormwood.envs.families.bandits import BernoulliBandit
from wormwood.envs.families.tabular import TabularMDP
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["classic_policies"]

FEW_PULLS = 30
"""Up to which bandits count as short."""
WIDTH_OF_FEW, WIDTH_OF_MANY = 0.1, 0.2
"""Of upper confidence bounds, tuned on 10 and on 100 pulls."""
BONUS = 0.5
"""Of BEB, tuned on 10 episodes."""


def classic_policies(spec: EnvironmentSpec) -> Mapping[str, Callable[[], Policy]]:
    """Return what builds each classic policy for these trials, by name; empty where there is none."""
    if not isinstance(spec, TrialSpec):
        return {}
    family, episodes = spec.family, spec.episodes
    if isinstance(family, BernoulliBandit):
        width = WIDTH_OF_FEW if episodes <= FEW_PULLS else WIDTH_OF_MANY
        return {
            "gittins": lambda: BanditPolicy(family.arms, gittins(episodes)),
            "ucb": lambda: BanditPolicy(family.arms, upper_confidence_bound(width)),
            "thompson": lambda: BanditPolicy(family.arms, thompson),
            "greedy": lambda: BanditPolicy(family.arms, greedy),
        }
    if isinstance(family, TabularMDP):
        return {
            "beb": lambda: TabularPolicy(family, bonus_model(BONUS)),
            "psrl": lambda: TabularPolicy(family, posterior_sample),
        }
    return {}
