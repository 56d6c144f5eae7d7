"""What families of tasks, their dynamics and trials say to each other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wormwood.envs.bodies import is_number
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.specs import ActionSpace
from wormwood.errors import bad_input

__all__ = ["Dynamics", "FamilyTask", "InnerStep", "TaskFamily", "check_number", "check_whole", "plain_layout"]

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class FamilyTask:
    """One task of a family: a plain value that can be compared, pickled and sent to other processes."""

    family: TaskFamily
    values: tuple[float, ...]
    """What tells it from the other tasks of its family, such as the chances of a bandit's arms."""

    @property
    def id(self) -> str:
        """The same name for equal tasks, in every process."""
        family = f"{self.family.name} {vars(self.family)}"
        digest = hashlib.sha256(family.encode() + np.array(self.values).tobytes())
        return f"{self.family.label}-{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class InnerStep:
    """What one step of N inner environments gave, before those whose inner episode ended began the next one."""

    observation: Floats
    """``[N, D]``"""
    reward: Floats
    """``[N]``"""
    diverged: NDArray[np.bool_]
    """``[N]`` the simulation became unstable, which ends the whole trial."""
    speed: Floats
    """``[N]`` forward speed in m/s; NaN where nothing moves."""


class Dynamics(Protocol):
    """N inner environments, each on a task of its own. Inner episodes follow each other within a trial."""

    @property
    def observation(self) -> Floats:
        """``[N, D]`` the observation to act on now."""

    def begin(self, rows: NDArray[np.intp], tasks: Floats, keys: Words) -> None:
        """Start the first episode of new trials.

        Args:
            rows: ``[K]`` which environments.
            tasks: ``[N, P]`` what tells the task of each environment from others.
            keys: ``[N]`` from which all else in each environment's trial is drawn.
        """

    def step(self, action: NDArray[Any], steps: NDArray[np.int64]) -> InnerStep:
        """Advance every environment; where an inner episode ends, the next one of the same task begins.

        Args:
            action: ``[N, A]``, within the bounds.
            steps: ``[N]`` steps of the trial before this one.
        """

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the future depends on but tasks and keys, one row for each environment: ``[N, ...]``."""

    def restore(self, state: dict[str, NDArray[Any]], tasks: Floats, keys: Words) -> None:
        """Go on from ``state``, bit for bit, with tasks ``[N, P]`` and keys ``[N]``."""


class TaskFamily(Protocol):
    """A distribution of tasks that share observations, actions and the length of an episode; a plain value."""

    @property
    def name(self) -> str:
        """The name that commands and files use."""

    @property
    def label(self) -> str:
        """The name with the sizes that matter, such as ``bandit-5``."""

    @property
    def steps(self) -> int:
        """Control steps of an inner episode."""

    @property
    def layout(self) -> ObservationLayout:
        """Where each quantity stands in the inner observation."""

    @property
    def actions(self) -> ActionSpace:
        """What an action is."""

    @property
    def held_out(self) -> TaskFamily:
        """The tasks to judge on: the family itself, unless it keeps some tasks from training."""

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw what tells one task from others, ``[P]``."""

    def sample(self, rng: np.random.Generator) -> FamilyTask:
        """Draw one task."""

    def dynamics(self, count: int) -> Dynamics:
        """Build ``count`` inner environments."""


def plain_layout(size: int) -> ObservationLayout:
    """Return the layout of an observation without joints or clock."""
    return ObservationLayout(size=size, joints=slice(0, 0), velocities=slice(0, size))


def check_whole(family: TaskFamily, option: str, low: int, high: int) -> None:
    """Check one option of a family.

    Raises:
        BadInput: it is not a whole number from ``low`` to ``high``.
    """
    value = getattr(family, option)
    if not isinstance(value, int) or not is_number(value, low=low, high=high):
        raise bad_input(
            option, where=f"task family {family.name}", expected=f"a whole number from {low} to {high}", got=value
        )


def check_number(family: TaskFamily, option: str, low: float, high: float) -> None:
    """Check one option of a family.

    Raises:
        BadInput: it is not a number from ``low`` to ``high``.
    """
    value = getattr(family, option)
    if not is_number(value, low=low, high=high):
        raise bad_input(
            option, where=f"task family {family.name}", expected=f"a number from {low:g} to {high:g}", got=value
        )
