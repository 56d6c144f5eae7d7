"""Critics of on-policy models by name: networks, or a forest."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from wormwood.agents.learning.boosted.critic import ForestCritic
from wormwood.agents.learning.critics import MLPCritic, PooledCritic
from wormwood.envs.specs import EnvironmentSpec, require_swimmer
from wormwood.errors import bad_input
from wormwood.trees.config import TreeConfig

__all__ = ["make_critic"]


def make_critic(
    kind: str, hidden: Sequence[int], spec: EnvironmentSpec, *, tree: TreeConfig | None = None, tree_rate: float = 0.05
) -> nn.Module:
    """Build a critic of ``PPOConfig.critic``'s kinds.

    Raises:
        BadInput: there is no such kind, or a pooled critic is asked to look at an observation that does not tell links
            apart.
    """
    kinds = ("mlp", "pooled", "forest")
    if kind not in kinds:
        expected = f"one of {', '.join(kinds)}"
        raise bad_input("critic", where="learner ppo", expected=expected, got=kind, nearest_to=kinds)
    if kind == "mlp":
        return MLPCritic(hidden, layout=spec.layout)
    if kind == "forest":
        return ForestCritic(spec, tree=tree or TreeConfig(), rate=tree_rate)
    body, layout = require_swimmer(spec, where="pooled critic").body, spec.layout
    if layout.velocities.stop - layout.velocities.start != 3 * body.links:
        expected = "mlp, for a task that does not observe each link"
        raise bad_input("critic", where="learner ppo", expected=expected, got=kind)
    return PooledCritic(hidden, body=body, layout=layout)
