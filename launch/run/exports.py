"""Models of Stable-Baselines3 as agents that evaluate, transfer and inspect play, written where the model is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from wormwood.agents.stable_baselines3.off_policy import StructuredOffPolicy
from wormwood.agents.stable_baselines3.on_policy import StructuredPolicy
from wormwood.agents.stable_baselines3.zips import policy_of
from wormwood.errors import bad_input
from wormwood.launch.run.agent_files import Agent, save_agent
from wormwood.launch.run.environment_settings import Spec

__all__ = ["export"]


def export(model: Any, folder: str | os.PathLike[str]) -> Agent:
    """Write the policy of a model of Stable-Baselines3 to a folder, as an agent without any code in it.

    ``wormwood.export(model, "runs/mine")`` in your script, and then ``wormwood evaluate runs/mine``. What a
    ``VecNormalize`` around the model's environments does to observations goes with it.

    Args:
        model: with ``NCAPPolicy``, ``NCAPTD3Policy`` or ``NCAPSACPolicy``; or a PPO, A2C, TRPO, SAC, TD3, DDPG, TQC or
            CrossQ with a perceptron, of a swimmer of ours or Swimmer-v5.
        folder: made where missing; an agent in it is replaced.

    Returns:
        The agent.

    Raises:
        BadInput: the model is another one, or something about its policy is not known to us.
    """
    place = Path(folder)
    name, policy = place.resolve().name, getattr(model, "policy", None)
    if isinstance(policy, StructuredPolicy | StructuredOffPolicy):
        spec = policy.spec
        if not isinstance(spec, Spec):
            raise bad_input("environment", where="export", expected="a swimmer, a family or gymnasium's", got=spec.name)
        agent = Agent(name, policy.agent, policy.policy_weights(), spec)
    else:
        zipped = policy_of(model, name=name)
        agent = Agent(name, None, zipped.weights, zipped.spec, zipped)
    save_agent(place, agent, origin={"model": type(model).__name__, "steps": int(model.num_timesteps)})
    return agent
