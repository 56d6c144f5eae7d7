"""The rollout: a pure function of weights, a shard's state and the iteration. Who runs it and where does not matter."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.learning.interfaces import Episodes, Fragment, Transitions
from wormwood.agents.policies.acting import ActStep, act_steps, reset_state
from wormwood.agents.policies.interfaces import Arrays, Floats, Policy
from wormwood.agents.policies.table import AgentConfig, make_policy, make_population, warm_up
from wormwood.envs.randomness import shared_streams, stream, training_streams
from wormwood.envs.simulation import Step
from wormwood.envs.specs import BatchedEnvironment, EnvironmentSpec
from wormwood.launch.storage.states import nest, unnest

__all__ = ["ExecutorPlan", "NonFiniteError", "PopulationWorker", "Rollout", "RolloutPlan", "RolloutWorker", "Shard"]


class NonFiniteError(FloatingPointError):
    """An observation, action or reward is NaN or infinite."""


@dataclass(frozen=True)
class RolloutPlan:
    """What every rollout of a run has in common; workers build their environments from it."""

    seed: int
    spec: EnvironmentSpec
    agent: AgentConfig
    shards: int
    """Number of shards: the unit of work. Results depend on it, never on the number of workers."""
    environments: int
    """Environments of each shard."""
    steps: int
    """Control steps of each rollout."""
    population: int = 0
    """Candidates whose weights arrive stacked, split evenly among the shards; 0 for a single policy."""
    starts: int = 1
    """With a population: episodes of each candidate, on the same starts for all. Each iteration begins afresh."""
    members: int = 1
    """Without one: policies that collect side by side, each in as many shards; more than one arrive stacked."""
    others: tuple[EnvironmentSpec, ...] = ()
    """With a population: where each candidate plays the same starts again, before it is judged by all its episodes."""

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps of one iteration."""
        return self.shards * self.environments * self.steps * (1 + len(self.others))

    def worker(self) -> RolloutWorker | PopulationWorker:
        """Build what executes the rollouts."""
        return PopulationWorker(self) if self.population else RolloutWorker(self)


@dataclass(frozen=True, eq=False)
class Shard:
    """A fixed batch of environments: its number, and its state between rollouts (empty before the first)."""

    index: int
    state: Arrays = field(default_factory=dict)


Rollout = tuple[Fragment, Shard]
"""What one call gives: the experience, and the shard to go on from."""


class ExecutorPlan(Protocol):
    """What an executor has to know of a plan."""

    @property
    def shards(self) -> int:
        """Number of shards."""

    def worker(self) -> Any:
        """Build what executes the rollouts, with the method ``rollout`` of ``RolloutWorker``."""


class RolloutWorker:
    """Goes on with a policy's episodes. It keeps scratch space only: any worker gives the same for the same call."""

    def __init__(self, plan: RolloutPlan) -> None:
        """Prepare for the rollouts of one plan."""
        warm_up(plan.agent, plan.spec)
        self._plan = plan
        self._simulations: dict[int, BatchedEnvironment] = {}
        self._version: Hashable = None
        self._policies: dict[int, Policy] = {}

    def rollout(self, weights: Arrays, shard: Shard, iteration: int, *, version: Hashable = None) -> Rollout:
        """Go on for ``plan.steps`` control steps with exploration noise, and record transitions.

        Args:
            weights: the policy's, or those of all members, stacked.
            shard: where to go on from.
            iteration: numbers the rollout, and so its randomness.
            version: names these weights; a policy of many trees is built once for all calls that follow each other
                with the same. None builds it anew.

        Returns:
            The fragment, and the shard to go on from.

        Raises:
            NonFiniteError: an observation, action or reward is NaN or infinite.
        """
        plan, simulation = self._plan, self._simulation(shard.index)
        policy = self._policy(weights, shard.index * plan.members // plan.shards, version)
        # Checkpoints and their hashes hold the policy's state by the name of memory.
        policy_state, lost = unnest("memory", shard.state), np.zeros(simulation.count, dtype=bool)
        tally = _Tally(simulation)
        if shard.state:
            lost = simulation.restore(shard.state)
            tally.restore(shard.state, lost)
            policy_state = reset_state(policy_state, lost)
        else:
            simulation.reset()
        record = _Recorder(plan, simulation, policy_state)
        rng, check = stream(plan.seed, "action", shard.index, iteration), _Place(plan, shard.index, iteration)
        steps = act_steps(
            policy, simulation, plan.spec.actions, state=policy_state, rng=rng, check=check.require_finite
        )
        for t, taken in enumerate(itertools.islice(steps, plan.steps)):
            record.add(t, taken)
            tally.add(taken.step)
            policy_state = taken.state
        fragment = Fragment(
            shard.index,
            iteration,
            plan.steps * simulation.count,
            tally.episodes(),
            record.transitions(simulation.observation),
            lost=int(lost.sum()),
        )
        return fragment, Shard(shard.index, {**simulation.state(), **tally.state(), **nest("memory", policy_state)})

    def _policy(self, weights: Arrays, member: int, version: Hashable) -> Policy:
        if version is None or version != self._version:
            self._version, self._policies = version, {}
        if member not in self._policies:
            member_weights = (
                {name: stacked[member] for name, stacked in weights.items()} if self._plan.members > 1 else weights
            )
            self._policies[member] = make_policy(self._plan.agent, member_weights, self._plan.spec)
        return self._policies[member]

    def _simulation(self, shard: int) -> BatchedEnvironment:
        if shard not in self._simulations:
            plan, streams = self._plan, training_streams(self._plan.seed)
            first = shard * plan.environments
            self._simulations[shard] = plan.spec.simulate(plan.environments, streams=streams, first=first)
        return self._simulations[shard]


class PopulationWorker:
    """Judges the candidates of a population by whole episodes. It keeps scratch space only."""

    def __init__(self, plan: RolloutPlan) -> None:
        """Prepare for the rollouts of one plan."""
        warm_up(plan.agent, plan.spec)
        self._plan = plan
        self._simulations: dict[tuple[int, int], BatchedEnvironment] = {}

    def rollout(self, weights: Arrays, shard: Shard, iteration: int, *, version: Hashable = None) -> Rollout:
        """Play the episodes of one shard's candidates everywhere, without noise; see ``RolloutWorker.rollout``.

        Args:
            weights: of the whole population, stacked.
            shard: which candidates.
            iteration: numbers the rollout, and so the starts.
            version: makes no difference, for each shard has candidates of its own.
        """
        plan = self._plan
        share = plan.population // plan.shards
        candidates = {name: each[shard.index * share : (shard.index + 1) * share] for name, each in weights.items()}
        fragments = []
        for index, spec in enumerate((plan.spec, *plan.others)):
            simulation = self._simulation(shard.index, index, iteration)
            simulation.reset()
            policy = make_population(plan.agent, candidates, spec)
            check = _Place(dataclasses.replace(plan, spec=spec), shard.index, iteration)
            tally, alive, played = _Tally(simulation), np.ones(simulation.count, dtype=bool), 0
            steps = act_steps(policy, simulation, spec.actions, check=check.require_finite)
            for taken in itertools.islice(steps, plan.steps):
                # An environment whose episode ended early waits for the others: its next episode does not count.
                tally.add(taken.step, counted=alive)
                alive &= ~taken.step.done
                played += simulation.count
                if not alive.any():
                    break
            fragments.append(Fragment(shard.index, iteration, played, tally.episodes(), None))
        return _together(fragments), shard

    def _simulation(self, shard: int, index: int, iteration: int) -> BatchedEnvironment:
        plan = self._plan
        streams = shared_streams(plan.seed, starts=plan.starts, generation=iteration)
        if (shard, index) not in self._simulations:
            spec, first = (plan.spec, *plan.others)[index], shard * plan.environments
            self._simulations[shard, index] = spec.simulate(plan.environments, streams=streams, first=first)
        simulation = self._simulations[shard, index]
        simulation.streams = streams
        return simulation


def _together(fragments: Sequence[Fragment]) -> Fragment:
    """Return the episodes of several places as one fragment, in which those of one environment stand together."""
    episodes = [fragment.episodes for fragment in fragments]
    columns = {
        column.name: np.concatenate([getattr(part, column.name) for part in episodes])
        for column in dataclasses.fields(Episodes)
    }
    columns["environment"] = np.concatenate(
        [len(episodes) * part.environment + index for index, part in enumerate(episodes)]
    )
    steps = sum(fragment.steps for fragment in fragments)
    return Fragment(fragments[0].shard, fragments[0].iteration, steps, Episodes(**columns), None)


class _Recorder:
    """Arrays that a rollout fills step by step."""

    def __init__(self, plan: RolloutPlan, simulation: BatchedEnvironment, policy_state: Arrays) -> None:
        self.memory = dict(policy_state)
        shape = (plan.steps, simulation.count)
        self.observation = np.empty((*shape, plan.spec.layout.size))
        self.action = np.empty((*shape, plan.spec.actions.size), dtype=plan.spec.actions.dtype)
        self.reward = np.empty(shape)
        self.log_prob = np.empty(shape)
        self.episode_start = np.empty(shape, dtype=bool)
        self.terminated = np.empty(shape, dtype=bool)
        self.truncated = np.empty(shape, dtype=bool)
        self.final: list[Floats] = []

    def add(self, t: int, taken: ActStep) -> None:
        step = taken.step
        self.observation[t], self.action[t], self.episode_start[t] = taken.observation, taken.action, taken.begins
        self.log_prob[t] = taken.extras.get("log_prob", 0.0)
        self.reward[t], self.terminated[t], self.truncated[t] = step.reward, step.terminated, step.truncated
        if step.truncated.any():
            self.final.append(step.final_observation[step.truncated])

    def transitions(self, next_observation: Floats) -> Transitions:
        size = self.observation.shape[2]
        return Transitions(
            self.observation,
            self.action,
            self.reward,
            self.episode_start,
            self.terminated,
            self.truncated,
            final_observation=np.concatenate([np.empty((0, size)), *self.final]),
            next_observation=next_observation.copy(),
            log_prob=self.log_prob,
            memory=self.memory,
        )


class _Tally:
    """Returns and speeds of running episodes, and the list of those that ended."""

    def __init__(self, simulation: BatchedEnvironment) -> None:
        self._first = simulation.first
        self._reward, self._speed = np.zeros(simulation.count), np.zeros(simulation.count)
        self._length = np.zeros(simulation.count, dtype=np.int64)
        self._ended: list[tuple[int, float, int, float, int]] = []

    def restore(self, state: Arrays, lost: NDArray[np.bool_]) -> None:
        """Go on with the episodes of ``state``, but for those that were lost."""
        for totals, name in ((self._reward, "reward"), (self._speed, "speed"), (self._length, "length")):
            totals[:] = np.where(lost, 0, state[f"episode_{name}"])

    def state(self) -> Arrays:
        return {"episode_reward": self._reward, "episode_speed": self._speed, "episode_length": self._length}

    def add(self, step: Step, *, counted: NDArray[np.bool_] | None = None) -> None:
        self._reward += step.reward
        self._speed += step.speed
        self._length += 1
        done = step.done
        if not done.any():
            return
        for row in np.flatnonzero(done if counted is None else done & counted):
            length = int(self._length[row])
            self._ended.append(
                (self._first + int(row), self._reward[row], length, self._speed[row] / length, int(step.ended_by[row]))
            )
        self._reward[done], self._speed[done], self._length[done] = 0.0, 0.0, 0

    def episodes(self) -> Episodes:
        columns = list(zip(*self._ended, strict=True)) or [()] * 5
        environment, reward, length, speed, ended_by = columns
        return Episodes(
            np.array(environment, dtype=np.int64),
            np.array(reward, dtype=np.float64),
            np.array(length, dtype=np.int64),
            np.array(speed, dtype=np.float64),
            np.array(ended_by, dtype=np.int8),
        )


@dataclass(frozen=True)
class _Place:
    """Where a rollout plays, as errors name it."""

    plan: RolloutPlan
    shard: int
    iteration: int

    def require_finite(self, name: str, values: NDArray[Any], step: NDArray[np.int64]) -> None:
        """Raise the error that names the first of ``values [N, K]`` that is not finite, at its episode's step."""
        # A sum is NaN or infinite if any term is: cheap enough for every step.
        if np.isfinite(values.sum()) or np.isfinite(values).all():
            return
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise NonFiniteError(
            f"{name} is {values[row, column]} in environment {self.shard * self.plan.environments + row} of "
            f"{self.plan.spec.name}: shard {self.shard}, iteration {self.iteration}, "
            f"step {step[row]} of its episode, column {column}"
        )
