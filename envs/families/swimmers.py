"""The inner environments of all families of swimmers: simulations, one for each body that the tasks ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.bodies import Body
from wormwood.envs.families.interfaces import InnerStep
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.randomness import stream
from wormwood.envs.simulation import Simulation
from wormwood.envs.specs import ActionSpace
from wormwood.envs.tasks import Swim

__all__ = ["SwimmerTrials", "swimmer_actions", "swimmer_layout"]


def swimmer_layout(largest: Body) -> ObservationLayout:
    """Return where each quantity stands: as in the task ``swim`` on the largest body of a family.

    A shorter body's joints and links fill the first of the places for theirs; the others read 0.
    """
    return Swim().layout(largest)


def swimmer_actions(largest: Body) -> ActionSpace:
    """Return the actions of the largest body; a shorter one ignores those of the joints that it lacks."""
    return ActionSpace((-1.0,) * largest.joints, (1.0,) * largest.joints)


@dataclass(frozen=True)
class _Group:
    """The environments that have one body."""

    rows: NDArray[np.intp]
    simulation: Simulation

    def place(self, observation: Floats, layout: ObservationLayout, values: Floats) -> None:
        """Write this body's observations ``[K, d]`` to their places in ``[N, D]``."""
        body_layout = self.simulation.layout
        observation[self.rows, : body_layout.joints.stop] = values[:, body_layout.joints]
        start = layout.velocities.start
        width = body_layout.velocities.stop - body_layout.velocities.start
        observation[self.rows, start : start + width] = values[:, body_layout.velocities]
        observation[self.rows, layout.clock] = values[:, body_layout.clock]


class SwimmerTrials:
    """N swimmers, each with the body of its task. See ``Dynamics``."""

    def __init__(
        self,
        count: int,
        steps: int,
        *,
        largest: Body,
        body_of: Callable[[Floats], Body],
        reward: Callable[[Floats, Floats], Floats],
    ) -> None:
        """Build the environments.

        Args:
            count: N.
            steps: control steps of an inner episode.
            largest: the family's largest body, which decides the sizes of observations and actions.
            body_of: the body of a task ``[P]``.
            reward: of forward speeds of the head ``[N]`` in m/s and tasks ``[N, P]``.
        """
        self._task, self._count = Swim(horizon=steps), count
        self._layout, self._body_of, self._reward = swimmer_layout(largest), body_of, reward
        self._state_size = Simulation(largest, self._task, 1, streams=_no_stream).physics.state.shape[1]
        self._bodies: list[Body] = []
        self._groups: list[_Group] = []
        self._tasks, self._keys = np.zeros((count, 0)), np.zeros(count, dtype=np.uint64)

    @property
    def observation(self) -> Floats:
        observation = np.zeros((self._count, self._layout.size))
        for group in self._groups:
            group.place(observation, self._layout, group.simulation.observation)
        return observation

    def begin(self, rows: NDArray[np.intp], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        starting = np.zeros(self._count, dtype=bool)
        starting[rows] = True
        kept = self.state()
        if self._regroup(tasks, keys) and not starting.all():
            kept["physics"][starting] = 0.0
            self._load(kept)
        for group in self._groups:
            if (local := np.flatnonzero(starting[group.rows])).size:
                group.simulation.reset_rows(local, first=True)

    def step(self, action: NDArray[Any], steps: NDArray[np.int64]) -> InnerStep:
        observation, speed = np.zeros((self._count, self._layout.size)), np.zeros(self._count)
        diverged = np.zeros(self._count, dtype=bool)
        for group in self._groups:
            step = group.simulation.step(action[group.rows, : group.simulation.body.joints])
            group.place(observation, self._layout, step.final_observation)
            speed[group.rows], diverged[group.rows] = step.speed, step.terminated
        reward = np.where(diverged, 0.0, self._reward(speed, self._tasks))
        return InnerStep(observation, reward, diverged, speed)

    def state(self) -> dict[str, NDArray[Any]]:
        whole = np.zeros(self._count, dtype=np.int64)
        state = {"physics": np.zeros((self._count, self._state_size)), "steps": whole, "episodes": whole.copy()}
        for group in self._groups:
            group_state = group.simulation.state()
            state["physics"][group.rows, : group_state["physics"].shape[1]] = group_state["physics"]
            for name in ("steps", "episodes"):
                state[name][group.rows] = group_state[name]
        return state

    def restore(self, state: dict[str, NDArray[Any]], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._regroup(tasks, keys)
        self._load(state)

    def _load(self, state: dict[str, NDArray[Any]]) -> None:
        for group in self._groups:
            group_state = group.simulation.state()
            # A plain body's simulation has nothing else to remember: no goal, no delayed angles.
            group_state["physics"] = state["physics"][group.rows, : group_state["physics"].shape[1]]
            group_state["steps"], group_state["episodes"] = state["steps"][group.rows], state["episodes"][group.rows]
            group.simulation.restore(group_state)

    def _regroup(self, tasks: Floats, keys: NDArray[np.uint64]) -> bool:
        """Build a simulation for each body of the tasks, unless they stand already; return whether it had to."""
        self._tasks, self._keys = tasks, keys
        bodies = [self._body_of(task) for task in tasks]
        if bodies == self._bodies:
            return False
        self._bodies, self._groups = bodies, []
        for body in dict.fromkeys(bodies):
            rows = np.array([row for row in range(self._count) if bodies[row] == body], dtype=np.intp)
            self._groups.append(_Group(rows, self._simulate(body, rows)))
        return True

    def _simulate(self, body: Body, rows: NDArray[np.intp]) -> Simulation:
        def streams(purpose: str, local: int, episode: int) -> np.random.Generator:
            return stream(int(self._keys[rows[local]]), purpose, episode)

        return Simulation(body, self._task, len(rows), streams=streams)


def _no_stream(purpose: str, environment: int, episode: int) -> np.random.Generator:
    raise AssertionError("a simulation that only tells its size draws nothing")
