"""Swimmers of one body whose tasks differ in what is asked of them, which they are not told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wormwood.envs.bodies import MOST_LINKS, swimmer
from wormwood.envs.families.interfaces import Dynamics, FamilyTask, check_number, check_whole
from wormwood.envs.families.swimmers import SwimmerTrials, swimmer_actions, swimmer_layout
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.specs import ActionSpace
from wormwood.envs.tasks import TARGET_SPEED

__all__ = ["SwimmerDirection", "SwimmerSpeed"]

FASTEST = 10.0  # m/s, a hundred times what swimmers reach


@dataclass(frozen=True)
class _OneBody:
    """What both families share: the body, and the observations of the task ``swim``."""

    links: int = 6
    """Links of the swimmer."""
    steps: int = 200
    """Control steps of an episode, of 0.03 s each."""

    name = "swimmer"

    def __post_init__(self) -> None:
        """Check the options."""
        check_whole(self, "links", 2, MOST_LINKS)
        check_whole(self, "steps", 1, 10_000)

    @property
    def label(self) -> str:
        return f"{self.name}-{self.links}"

    @property
    def layout(self) -> ObservationLayout:
        return swimmer_layout(swimmer(self.links))

    @property
    def actions(self) -> ActionSpace:
        return swimmer_actions(swimmer(self.links))

    @property
    def held_out(self) -> _OneBody:
        return self

    def draw(self, rng: np.random.Generator) -> Floats:
        raise NotImplementedError

    def sample(self, rng: np.random.Generator) -> FamilyTask:
        return FamilyTask(self, tuple(self.draw(rng).tolist()))

    def reward(self, speed: Floats, tasks: Floats) -> Floats:
        raise NotImplementedError

    def dynamics(self, count: int) -> Dynamics:
        body = swimmer(self.links)
        return SwimmerTrials(count, self.steps, largest=body, body_of=lambda task: body, reward=self.reward)


@dataclass(frozen=True)
class SwimmerDirection(_OneBody):
    """Swim forward or backward: ``clip(d v / 0.1, 0, 1)`` for ``d = ±1`` and a forward speed of the head of v m/s.

    Those are all its tasks: what is held out are starts, not tasks.
    """

    name = "swimmer-direction"

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw the direction ``[1]``: 1 or -1."""
        return np.array([1.0 if rng.random() < 0.5 else -1.0])

    def reward(self, speed: Floats, tasks: Floats) -> Floats:
        """Return the reward ``[N]`` for forward speeds of the head ``[N]`` in m/s."""
        return np.clip(tasks[:, 0] * speed / TARGET_SPEED, 0.0, 1.0)


@dataclass(frozen=True)
class SwimmerSpeed(_OneBody):
    """Swim at a speed u ~ U[0, fastest]: ``max(0, 1 - |v - u| / 0.1)`` for a forward speed of the head of v m/s."""

    fastest: float = 0.2
    """Largest speed asked for, in m/s."""

    name = "swimmer-speed"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check_number(self, "fastest", 1e-3, FASTEST)

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw the speed ``[1]`` in m/s."""
        return rng.uniform(0.0, self.fastest, size=1)

    def reward(self, speed: Floats, tasks: Floats) -> Floats:
        """Return the reward ``[N]`` for forward speeds of the head ``[N]`` in m/s."""
        return np.maximum(0.0, 1.0 - np.abs(speed - tasks[:, 0]) / TARGET_SPEED)
