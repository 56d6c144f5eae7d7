"""What an agent acts in: observations, actions and time limit, and how to build environments of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.bodies import Body
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.randomness import EpisodeStreams
from wormwood.envs.simulation import Simulation, Step
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input

__all__ = ["ActionSpace", "BatchedEnvironment", "EnvironmentSpec", "SwimmerSpec", "require_swimmer"]


@dataclass(frozen=True)
class ActionSpace:
    """An action: J numbers within bounds, or K choices among alternatives."""

    low: tuple[float, ...] = ()
    """Smallest value of each number."""
    high: tuple[float, ...] = ()
    """Largest value of each number."""
    choices: tuple[int, ...] = ()
    """Alternatives of each choice; empty where an action is numbers."""

    @property
    def size(self) -> int:
        """Entries of an action: J or K."""
        return len(self.choices) or len(self.low)

    @property
    def outputs(self) -> int:
        """What a policy computes: J means, or one logit for each alternative of each choice."""
        return sum(self.choices) or len(self.low)

    @property
    def dtype(self) -> type[np.generic]:
        """Element type of actions ``[N, size]``."""
        return np.int64 if self.choices else np.float64

    def clip(self, action: NDArray[Any]) -> NDArray[Any]:
        """Return actions ``[N, size]`` within the bounds."""
        return action if self.choices else np.clip(action, self.low, self.high)


class BatchedEnvironment(Protocol):
    """N environments that reset in the step in which they end, and whose state goes in and out as arrays."""

    count: int
    """N."""
    first: int
    """Number of the first one in the run that they belong to."""
    streams: EpisodeStreams
    """Their randomness."""

    @property
    def observation(self) -> Floats:
        """``[N, D]`` the observation to act on now."""

    @property
    def steps(self) -> NDArray[np.int64]:
        """``[N]`` control steps since reset."""

    def reset(self) -> Floats:
        """Start the first episode of each environment and return the observation ``[N, D]``."""

    def step(self, action: NDArray[Any]) -> Step:
        """Advance every environment with ``action [N, size]``, within the bounds."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the future depends on; most arrays have one row for each environment, ``[N, ...]``."""

    def restore(self, state: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Go on from ``state``; ``[N]`` says which environments could not, and have begun a new episode instead."""


class EnvironmentSpec(Protocol):
    """One kind of environment; a plain value that can be sent to other processes."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def label(self) -> str:
        """What rows of results call it."""

    @property
    def layout(self) -> ObservationLayout:
        """Where each quantity stands in the observation."""

    @property
    def actions(self) -> ActionSpace:
        """What an action is."""

    @property
    def horizon(self) -> int:
        """Control steps after which an episode is cut.

        Raises:
            BadInput: there is no such limit.
        """

    def simulate(self, count: int, *, streams: EpisodeStreams, first: int = 0) -> BatchedEnvironment:
        """Build ``count`` environments, numbered from ``first`` in the run that they belong to."""


@dataclass(frozen=True)
class SwimmerSpec:
    """A swimmer's body and its task: ``SwimmerSpec(load_body("swimmer-6"), Swim())``."""

    body: Body
    task: Task

    @property
    def name(self) -> str:
        return f"body {self.body.name}, task {self.task.name}"

    @property
    def label(self) -> str:
        return self.body.name

    @property
    def layout(self) -> ObservationLayout:
        return self.task.layout(self.body)

    @property
    def actions(self) -> ActionSpace:
        return ActionSpace((-1.0,) * self.body.joints, (1.0,) * self.body.joints)

    @property
    def horizon(self) -> int:
        return self.task.horizon

    def simulate(self, count: int, *, streams: EpisodeStreams, first: int = 0) -> Simulation:
        return Simulation(self.body, self.task, count, streams=streams, first=first)


def require_swimmer(spec: EnvironmentSpec, *, where: str) -> SwimmerSpec:
    """Return the body and task of a spec that has them.

    Raises:
        BadInput: it is of another environment; ``where`` says who needs a body.
    """
    if not isinstance(spec, SwimmerSpec):
        raise bad_input("environment", where=where, expected="a swimmer: a body and a task", got=spec.name)
    return spec
