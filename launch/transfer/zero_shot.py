"""One agent on one body it may never have seen: the unit of work of a transfer report."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from dataclasses import dataclass, field

import numpy as np

import wormwood
from wormwood.agents.policies.interfaces import Floats
from wormwood.envs.randomness import EpisodeStreams
from wormwood.envs.simulation import Simulation, Step
from wormwood.envs.specs import SwimmerSpec
from wormwood.launch.run.agent_files import Agent
from wormwood.launch.run.evaluation import evaluate
from wormwood.launch.storage.states import state_sha256
from wormwood.launch.transfer.adaptation import NotTransferable, PaddedAgent, fit_agent

__all__ = ["EvaluationJob", "Outcome", "run_job", "versions"]

POSE_EVERY, MOST_POSES = 100, 6  # control steps; the first 15 s


@dataclass(frozen=True)
class EvaluationJob:
    """What to measure."""

    agent: Agent
    spec: SwimmerSpec
    starts: int = 10
    """Held-out starts 0 to ``starts - 1``, the same for every agent."""
    seed: int = 0
    """Of the held-out starts."""
    pad: bool = False
    """Whether an agent that does not fit is padded; see ``wormwood.launch.transfer.adaptation``."""

    @property
    def key(self) -> str:
        """Name of everything that the outcome depends on, versions among it."""
        agent = self.agent
        rest = [
            (part.name, repr(getattr(agent, part.name)))
            for part in dataclasses.fields(agent)
            if part.name != "weights" and (part.name != "name" or agent.weights is None)
        ]
        described = {
            "kind": type(agent).__name__,
            "agent": rest,
            "weights": state_sha256(agent.weights or {}),
            "spec": repr(self.spec),
            "evaluation": [self.starts, self.seed, self.pad],
            "versions": versions(),
        }
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Outcome:
    """How an agent did on a body. A plain value, which JSON keeps to the bit."""

    returns: tuple[float, ...] = ()
    """Of each start; empty where the agent cannot act on the body."""
    speeds: tuple[float, ...] = ()
    """Mean forward speed of the head for each start, in m/s."""
    work: tuple[float, ...] = ()
    """Work of the motors for each start, in J: |torque × change of angle|, summed over control steps but the last."""
    distance: tuple[float, ...] = ()
    """Forward speed summed over time for each start, in m."""
    poses: tuple[tuple[float, ...], ...] = ()
    """Generalized positions ``[K, nq]`` of start 0, every 100 control steps."""
    adapted: bool = False
    """The agent was padded."""
    unstable: tuple[int, ...] = ()
    """For each start the step, counted from 1, in which the simulation became unstable; 0 in none."""
    trained_timestep: float | None = None
    """Seconds of a control step of the body that the agent was trained on; None where it has none."""
    reason: str | None = None
    """Why there is nothing; None where there is."""


def versions() -> dict[str, str]:
    """Return the versions of what results depend on."""
    packages = ("mujoco", "numpy")
    return {"wormwood": wormwood.__version__, **{name: importlib.metadata.version(name) for name in packages}}


def run_job(job: EvaluationJob) -> Outcome:
    """Play the starts; a pure function, so that it does not matter where it runs."""
    try:
        agent = fit_agent(job.agent, job.spec, pad=job.pad)
    except NotTransferable as misfit:
        return Outcome(reason=str(misfit))
    spec = _MeteredSpec(job.spec.body, job.spec.task)
    result = evaluate(agent, spec, episodes=job.starts, seed=job.seed)
    work, distance = (
        np.concatenate([getattr(meter, name) for meter in spec.meters])[: job.starts] for name in ("work", "distance")
    )
    return Outcome(
        returns=_plain(result.returns),
        speeds=_plain(result.speeds),
        work=_plain(work),
        distance=_plain(distance),
        poses=tuple(_plain(pose) for pose in spec.meters[0].poses),
        adapted=isinstance(agent, PaddedAgent),
        unstable=tuple(int(step) for step in result.unstable),
        trained_timestep=result.trained_timestep,
    )


def _plain(values: Floats) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


@dataclass(frozen=True)
class _MeteredSpec(SwimmerSpec):
    """A swimmer that is played as any other, and watched meanwhile."""

    meters: list[_MeteredSimulation] = field(default_factory=list, compare=False)
    """The simulations that were built."""

    def simulate(self, count: int, *, streams: EpisodeStreams, first: int = 0) -> Simulation:
        self.meters.append(_MeteredSimulation(self.body, self.task, count, streams=streams, first=first))
        return self.meters[-1]


class _MeteredSimulation(Simulation):
    """Measures the first episode of each environment."""

    def reset(self) -> Floats:
        observation = super().reset()
        self.work, self.distance = np.zeros(self.count), np.zeros(self.count)
        self.poses = [self.physics.positions[0]]
        self._alive, self._played = np.ones(self.count, dtype=bool), 0
        dead = np.isin(np.arange(self.body.joints), self.body.lesioned)
        self._gear = np.where(dead, 0.0, self.body.gear)
        return observation

    def step(self, action: Floats) -> Step:
        before = self.physics.readings.joint_angles.copy()
        step = super().step(action)
        self._played += 1
        # Torques are constant over a control step. Who has been reset in it has no angle from before.
        turned = self.physics.readings.joint_angles - before
        work = np.abs(self._gear * np.clip(action, -1.0, 1.0) * turned).sum(axis=1)
        self.work += np.where(self._alive & ~step.done, work, 0.0)
        self.distance += np.where(self._alive, step.speed * self.body.control_timestep, 0.0)
        self._alive &= ~step.done
        if self._alive[0] and self._played % POSE_EVERY == 0 and len(self.poses) < MOST_POSES:
            self.poses.append(self.physics.positions[0])
        return step
