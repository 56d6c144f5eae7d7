"""Classic answers to tabular Markov decision processes: the optimum where they are known, PSRL and BEB where not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.envs.families.tabular import TabularMDP
from wormwood.envs.randomness import stream

__all__ = ["Model", "TabularPolicy", "bonus_model", "posterior_sample", "value_iteration"]

Model = Callable[[Floats, Floats, np.random.Generator], tuple[Floats, Floats]]
"""(transitions seen ``[N, S, A, S]``, number and sum of the rewards seen ``[N, S, A, 2]``, generator) -> the mean
rewards ``[N, S, A]`` and transitions ``[N, S, A, S]`` to plan with."""


def value_iteration(rewards: Floats, transitions: Floats, horizon: int) -> tuple[Floats, NDArray[np.int64]]:
    """Solve processes for a finite horizon.

    ``V_h(s) = max_a r(s, a) + Σ_s' P(s' | s, a) V_{h-1}(s')`` with ``V_0 = 0`` (Bellman 1957).

    Args:
        rewards: ``[N, S, A]`` mean rewards.
        transitions: ``[N, S, A, S]``.
        horizon: H, steps to go.

    Returns:
        The values ``[N, S]`` with H steps to go, and the best actions ``[N, H, S]``, by the step of the episode.
    """
    value = np.zeros(rewards.shape[:2])
    actions = np.zeros((len(rewards), horizon, rewards.shape[1]), dtype=np.int64)
    for step in range(horizon - 1, -1, -1):
        worth = rewards + (transitions @ value[:, None, :, None])[..., 0]
        actions[:, step], value = worth.argmax(axis=2), worth.max(axis=2)
    return value, actions


def posterior_sample(seen: Floats, paid: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw a process from the posterior: PSRL (Strens 2000; Osband et al. 2013, arXiv:1306.0940).

    Transitions from ``Dirichlet(1 + n(s, a, ·))``, mean rewards from ``N((1 + Σr) / (1 + n), 1 / (1 + n))``.

    Args:
        seen: ``[N, S, A, S]`` how often each transition was seen.
        paid: ``[N, S, A, 2]`` number n and sum Σr of the rewards seen.
        rng: of the draw.

    Returns:
        Mean rewards ``[N, S, A]`` and transitions ``[N, S, A, S]``.
    """
    weights = rng.standard_gamma(1.0 + seen)
    known = 1.0 + paid[..., 0]
    rewards = (1.0 + paid[..., 1]) / known + rng.standard_normal(known.shape) / np.sqrt(known)
    return rewards, weights / weights.sum(axis=3, keepdims=True)


def bonus_model(bonus: float) -> Model:
    """Return the model of BEB (Kolter and Ng 2009): posterior means, and ``bonus / (1 + n(s, a))`` more reward."""

    def model(seen: Floats, paid: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        known = 1.0 + paid[..., 0]
        weights = 1.0 + seen
        return (1.0 + paid[..., 1] + bonus) / known, weights / weights.sum(axis=3, keepdims=True)

    return model


@dataclass(frozen=True)
class TabularPolicy:
    """Plans before each episode with a model of what it has seen; see ``Policy``."""

    family: TabularMDP
    model: Model
    seed: int = 0
    """Of the draws of models that draw; they are the same in every call for the same step."""

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[np.int64], Arrays, Arrays]:
        states, choices, rows = self.family.states, self.family.choices, np.arange(len(observation))
        now = observation[:, :states].argmax(axis=1)
        policy_state = {name: array.copy() for name, array in (state or self._nothing(len(observation))).items()}
        previous_action = observation[:, states : states + choices]
        reward, is_new = observation[:, -2], observation[:, -1] == 1.0
        # Where a trial begins no action is shown, and nothing is counted.
        acted = np.flatnonzero(previous_action.any(axis=1))
        chosen = acted, policy_state["before"][acted], previous_action[acted].argmax(axis=1)
        policy_state["paid"][chosen] += np.stack([np.ones(len(acted)), reward[acted]], axis=1)
        # The state that ended an episode is not seen, but the next one's start.
        policy_state["seen"][*chosen, now[acted]] += ~is_new[acted]
        policy_state["step"] = np.where(is_new | ~previous_action.any(axis=1), 0, policy_state["step"] + 1)
        if (planning := np.flatnonzero(policy_state["step"] == 0)).size:
            draws = (
                stream(self.seed, "action", int(policy_state["paid"][..., 0].sum(axis=(1, 2)).max()))
                if rng is None
                else rng
            )
            rewards, transitions = self.model(policy_state["seen"][planning], policy_state["paid"][planning], draws)
            policy_state["plan"][planning] = value_iteration(rewards, transitions, self.family.steps)[1]
        policy_state["before"] = now
        return policy_state["plan"][rows, policy_state["step"], now][:, None], policy_state, {}

    def _nothing(self, count: int) -> Arrays:
        states, choices = self.family.states, self.family.choices
        return {
            "seen": np.zeros((count, states, choices, states)),
            "paid": np.zeros((count, states, choices, 2)),
            "plan": np.zeros((count, self.family.steps, states), dtype=np.int64),
            "before": np.zeros(count, dtype=np.int64),
            "step": np.zeros(count, dtype=np.int64),
        }
