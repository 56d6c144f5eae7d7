"""Teachers: what a classic policy would have done in the trials of an agent that learns.

Schmitt et al. 2018, Kickstarting Deep Reinforcement Learning, https://arxiv.org/abs/1803.03835. There the teacher is a
trained agent; here it is a classic policy, which sees no more than the agent does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.learning.interfaces import Transitions
from wormwood.agents.learning.recurrent.settings import RecurrentPPOConfig
from wormwood.agents.policies.acting import reset_state
from wormwood.agents.policies.interfaces import Arrays, Policy
from wormwood.agents.references.classics import classic_policies
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["advice", "teacher_of"]


def teacher_of(config: RecurrentPPOConfig, spec: EnvironmentSpec) -> Policy | None:
    """Return the teacher that a configuration names; None where it names none.

    Raises:
        BadInput: the environment has no such teacher, or the learner sees trials in parts.
    """
    if config.kickstart is None:
        return None
    where, name = f"kickstart of {spec.name}", config.kickstart.teacher
    if config.steps:
        raise bad_input("steps", where=where, expected="0, which is whole trials", got=config.steps)
    known = classic_policies(spec)
    if name not in known:
        expected = f"one of {', '.join(known)}" if known else "none, for no classic policy is known here"
        raise bad_input("unknown teacher", where=where, expected=expected, got=name, nearest_to=known)
    return known[name]()


def advice(teacher: Policy, experience: Transitions) -> NDArray[Any]:
    """Return what the teacher would have done in every step ``[T, N, J]``, having seen what the agent saw.

    Every environment has to begin a trial at the first step. Where another one begins, the teacher's state is reset.
    """
    chosen, policy_state = np.empty_like(experience.action), Arrays()
    for t, observation in enumerate(experience.observation):
        state = reset_state(policy_state, experience.episode_start[t])
        chosen[t], policy_state, _ = teacher.act(observation, state, None)
    return chosen
