"""The loop in which a policy acts: what rollouts, evaluation, pictures and references have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats, Policy
from wormwood.envs.simulation import Step
from wormwood.envs.specs import ActionSpace, BatchedEnvironment

__all__ = ["ActStep", "Check", "act_steps", "reset_state"]

Check = Callable[[str, NDArray[Any], NDArray[np.int64]], None]
"""(name, values ``[N, K]``, step of its episode ``[N]``, from 1) -> None; it raises what is to end the loop."""


@dataclass(frozen=True)
class ActStep:
    """One control step of N environments."""

    observation: Floats
    """``[N, D]`` what was acted on."""
    begins: NDArray[np.bool_]
    """``[N]`` it is the first of an episode."""
    action: NDArray[Any]
    """``[N, size]`` as the policy chose it; it is played within its bounds."""
    extras: Arrays
    """What the policy has to record."""
    state: Arrays
    """The policy's state to act on next: zeros where the episode ended."""
    step: Step
    """What came of the action."""


def act_steps(
    policy: Policy,
    simulation: BatchedEnvironment,
    actions: ActionSpace,
    *,
    state: Arrays | None = None,
    rng: np.random.Generator | None = None,
    check: Check | None = None,
) -> Iterator[ActStep]:
    """Act in a simulation from where it stands, one control step each time that another one is asked for, without end.

    Args:
        policy: chooses the actions.
        simulation: N environments that have been reset or restored.
        actions: of the environments.
        state: the policy's, one row for each environment; None begins without.
        rng: source of exploration noise; None acts deterministically.
        check: is shown each ``action`` before it is played, then its ``reward [N, 1]`` and ``observation``.
    """
    state, observation = state or {}, simulation.observation
    while True:
        number = simulation.steps + 1
        action, state, extras = policy.act(observation, state, rng)
        if check:
            check("action", action, number)
        step = simulation.step(actions.clip(action))
        if check:
            check("reward", step.reward[:, None], number)
            check("observation", step.final_observation, number)
        state = reset_state(state, step.done)
        yield ActStep(observation, number == 1, action, extras, state, step)
        observation = step.observation


def reset_state(state: Arrays, ended: NDArray[np.bool_]) -> Arrays:
    """Return a policy's state with zeros where ``ended [N]``, so that each episode begins with nothing."""
    if not state or not ended.any():
        return state
    return {name: np.where(ended.reshape(-1, *[1] * (values.ndim - 1)), 0, values) for name, values in state.items()}
