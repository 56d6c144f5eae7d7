"""How well an agent does: whole episodes from held-out starts, the same for every agent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.acting import act_steps
from wormwood.agents.policies.interfaces import Floats, Policy
from wormwood.envs.bodies import CONTROL_TIMESTEP
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.randomness import evaluation_streams
from wormwood.envs.simulation import ENDED_BY
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.launch.run.agent_files import Agent
from wormwood.launch.run.threads import one_thread

__all__ = ["BATCH", "Evaluation", "evaluate", "record_poses", "timestep_notes"]

UNSTABLE = ENDED_BY.index("unstable simulation")
BATCH = 10
"""Episodes that are played side by side. It is fixed, and the last batch filled up, so that a result does not depend on
how many episodes were asked for: products of other sizes may differ in the last bit."""


@dataclass(frozen=True)
class Evaluation:
    """How one agent did in one environment."""

    agent: str
    label: str
    """Of the environment: a body's name, or an id."""
    returns: Floats
    """``[E]`` sum of the rewards of each episode."""
    speeds: Floats
    """``[E]`` mean forward speed of the head in each episode, in m/s; NaN where nothing swims."""
    inner: Floats | None = None
    """``[E, K]`` of trials, the return of each of their K episodes."""
    unstable: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """``[E]`` the step, counted from 1, in which the simulation became unstable and ended the episode; 0 in none."""
    control_timestep: float | None = None
    """Seconds of a control step of the body; None where nothing swims."""
    trained_timestep: float | None = None
    """The same of the body that the agent was trained on; None where it has none."""

    def to_row(self) -> dict[str, Any]:
        """Return the row that `wormwood evaluate --json` prints."""
        speed = float(self.speeds.mean())
        return {
            "agent": self.agent,
            "body": self.label,
            "episodes": len(self.returns),
            "return_mean": float(self.returns.mean()),
            "return_std": float(self.returns.std()),
            "speed_mean": None if np.isnan(speed) else speed,
            "unstable_episodes": int(np.count_nonzero(self.unstable)),
            "unstable_step": int(self.unstable[self.unstable > 0].min()) if self.unstable.any() else None,
            "control_timestep": self.control_timestep,
            "trained_timestep": self.trained_timestep,
            **({} if self.inner is None else _adaptation(self.inner)),
        }


def timestep_notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each control step but the usual one, and for each that an agent was not trained with.

    Args:
        rows: results with ``agent``, ``body``, ``control_timestep`` and ``trained_timestep``.
    """
    unusual: dict[float, list[str]] = {}
    foreign: dict[tuple[str, float, float], list[str]] = {}
    for row in rows:
        agent, body, step, trained = (row[key] for key in ("agent", "body", "control_timestep", "trained_timestep"))
        if step not in (None, CONTROL_TIMESTEP):
            unusual.setdefault(step, []).append(body)
        if step is not None and trained is not None and not math.isclose(step, trained):
            foreign.setdefault((agent, trained, step), []).append(body)
    return [
        *(f"a control step takes {step:g} s on {_some(bodies)}" for step, bodies in unusual.items()),
        *(
            f"{agent} was trained with control steps of {trained:g} s: they take {step:g} s on {_some(bodies)}"
            for (agent, trained, step), bodies in foreign.items()
        ),
    ]


def _some(names: Sequence[str]) -> str:
    """Return the first of some names, and how many more there are."""
    distinct = list(dict.fromkeys(names))
    return ", ".join(distinct[:3]) + (f" and {len(distinct) - 3} more bodies" if len(distinct) > 3 else "")


def _adaptation(inner: Floats) -> dict[str, list[float]]:
    """Return how returns ``[E, K]`` change from a trial's first episode to its last, with 95 % intervals."""
    mean, half = inner.mean(axis=0), 1.96 * inner.std(axis=0) / np.sqrt(len(inner))
    columns = {"episode_means": mean, "episode_lows": mean - half, "episode_highs": mean + half}
    return {name: values.tolist() for name, values in columns.items()}


@one_thread
def evaluate(agent: Agent, spec: EnvironmentSpec, *, episodes: int, seed: int = 0) -> Evaluation:
    """Play held-out starts 0 to ``episodes - 1`` of a seed, without exploration: of trials, on held-out tasks.

    Raises:
        BadInput: the agent does not fit the environment.
    """
    policy = agent.policy(spec, seed=seed)
    played = spec.held_out if isinstance(spec, TrialSpec) else spec
    batches = [_play(policy, played, first=first, seed=seed) for first in range(0, episodes, BATCH)]
    returns, speeds, unstable = (np.concatenate(column)[:episodes] for column in zip(*batches, strict=True))
    inner = returns if isinstance(spec, TrialSpec) else None
    timestep = spec.body.control_timestep if isinstance(spec, SwimmerSpec) else None
    total, trained = returns.sum(axis=1), agent.control_timestep
    return Evaluation(agent.name, spec.label, total, speeds, inner, unstable, timestep, trained)


def _play(policy: Policy, spec: EnvironmentSpec, *, first: int, seed: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return the returns ``[BATCH, K]`` and mean speeds ``[BATCH]`` of the episodes from start ``first`` on.

    K is the number of episodes in a trial, and 1 elsewhere. The third is ``Evaluation.unstable [BATCH]``.
    """
    simulation = spec.simulate(BATCH, streams=evaluation_streams(seed), first=first)
    simulation.reset()
    episodes = spec.episodes if isinstance(spec, TrialSpec) else 1
    reward, speed, length = np.zeros((BATCH, episodes)), np.zeros(BATCH), np.zeros(BATCH)
    alive, unstable = np.ones(BATCH, dtype=bool), np.zeros(BATCH, dtype=np.int64)
    for number, taken in enumerate(itertools.islice(act_steps(policy, simulation, spec.actions), spec.horizon)):
        step = taken.step
        reward[:, number * episodes // spec.horizon] += np.where(alive, step.reward, 0.0)
        speed += np.where(alive, step.speed, 0.0)
        length += alive
        unstable[alive & (step.ended_by == UNSTABLE)] = number + 1
        # An episode that ended early waits for the others.
        alive &= ~step.done
        if not alive.any():
            break
    return reward, speed / length, unstable


def record_poses(agent: Agent, spec: SwimmerSpec, *, steps: int, seed: int = 0) -> tuple[Floats, Floats]:
    """Play held-out start 0 and return what pictures need.

    Returns:
        Generalized positions ``[steps + 1, nq]`` from the start on, and the episode's goal ``[goal_size]``.

    Raises:
        BadInput: the agent does not fit the environment.
    """
    # One row of a batch, so that it is the episode that was evaluated.
    simulation = spec.simulate(BATCH, streams=evaluation_streams(seed))
    simulation.reset()
    goal, poses = simulation.goals[0], [simulation.physics.positions[0]]
    played = act_steps(agent.policy(spec, seed=seed), simulation, spec.actions)
    for taken in itertools.islice(played, min(steps, spec.horizon)):
        if taken.step.done[0]:
            break  # what it shows now is the next episode
        poses.append(simulation.physics.positions[0])
    return np.stack(poses), goal
