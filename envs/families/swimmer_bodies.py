"""Bodies as tasks: swim with a body that was drawn for the trial, some of which training never sees."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from wormwood.envs.bodies import MOST_LINKS, Body, is_number, swimmer
from wormwood.envs.families.interfaces import Dynamics, FamilyTask, check_whole
from wormwood.envs.families.swimmers import SwimmerTrials, swimmer_actions, swimmer_layout
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import Floats
from wormwood.envs.specs import ActionSpace
from wormwood.envs.tasks import TARGET_SPEED
from wormwood.errors import bad_input

__all__ = ["SwimmerBodies"]

MOST_VISCOUS = 1e3  # Pa·s, as honey


@dataclass(frozen=True)
class SwimmerBodies:
    """Swim forward, ``clip(v / 0.1, 0, 1)``, with a number of links and in a fluid that the task decides.

    Training draws from ``links`` and ``viscosities``, evaluation from ``held_out_links`` and
    ``held_out_viscosities``. Observations and actions have the sizes of the largest of all these bodies: joints and
    links that a body lacks read 0, and their actions are ignored.
    """

    links: tuple[int, ...] = (4, 5, 6, 8, 9, 10)
    """Numbers of links that training draws from."""
    held_out_links: tuple[int, ...] = (3, 7, 12)
    """Numbers of links that evaluation draws from."""
    viscosities: tuple[float, ...] = (0.0, 0.1)
    """Viscosities of the fluid in Pa·s that training draws from."""
    held_out_viscosities: tuple[float, ...] = (0.05, 0.2)
    """Viscosities that evaluation draws from."""
    steps: int = 200
    """Control steps of an episode, of 0.03 s each."""

    name = "swimmer-bodies"

    def __post_init__(self) -> None:
        """Check the options."""
        check_whole(self, "steps", 1, 10_000)
        for option in ("links", "held_out_links"):
            self._check(option, expected=f"different whole numbers from 2 to {MOST_LINKS}", low=2, high=MOST_LINKS)
        for option in ("viscosities", "held_out_viscosities"):
            expected = f"different numbers from 0 to {MOST_VISCOUS:g}"
            self._check(option, expected=expected, low=0, high=MOST_VISCOUS)
        if len(self.links) * len(self.viscosities) < 2:
            expected = "at least two bodies: with one task there is nothing to adapt to"
            got = {"links": self.links, "viscosities": self.viscosities}
            raise bad_input("links and viscosities", where=f"task family {self.name}", expected=expected, got=got)

    def _check(self, option: str, *, expected: str, low: float, high: float) -> None:
        values: Any = getattr(self, option)
        kind = int if option.endswith("links") else (int, float)
        right = isinstance(values, tuple) and values and len(set(values)) == len(values)
        if not right or not all(isinstance(value, kind) and is_number(value, low=low, high=high) for value in values):
            raise bad_input(option, where=f"task family {self.name}", expected=f"a list of {expected}", got=values)

    @property
    def label(self) -> str:
        return self.name

    @property
    def layout(self) -> ObservationLayout:
        return swimmer_layout(self.largest)

    @property
    def actions(self) -> ActionSpace:
        return swimmer_actions(self.largest)

    @property
    def largest(self) -> Body:
        """The body of most links among those of training and evaluation."""
        return swimmer(max(self.links + self.held_out_links))

    @property
    def held_out(self) -> SwimmerBodies:
        return _HeldOutBodies(*astuple(self))

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw links and viscosity ``[2]``."""
        return _draw(rng, self.links, self.viscosities)

    def sample(self, rng: np.random.Generator) -> FamilyTask:
        return FamilyTask(self, tuple(self.draw(rng).tolist()))

    @staticmethod
    def body(task: Floats) -> Body:
        """Return the body of a task ``[2]``."""
        return _body(int(task[0]), float(task[1]))

    @staticmethod
    def reward(speed: Floats, tasks: Floats) -> Floats:
        """Return the reward ``[N]`` for forward speeds of the head ``[N]`` in m/s."""
        return np.clip(speed / TARGET_SPEED, 0.0, 1.0)

    def dynamics(self, count: int) -> Dynamics:
        return SwimmerTrials(count, self.steps, largest=self.largest, body_of=self.body, reward=self.reward)


class _HeldOutBodies(SwimmerBodies):
    """The same family, drawn from what training never sees."""

    @property
    def held_out(self) -> SwimmerBodies:
        return self

    def draw(self, rng: np.random.Generator) -> Floats:
        return _draw(rng, self.held_out_links, self.held_out_viscosities)


def _draw(rng: np.random.Generator, links: Sequence[int], viscosities: Sequence[float]) -> Floats:
    return np.array([rng.choice(links), rng.choice(viscosities)], dtype=np.float64)


@functools.lru_cache(maxsize=1024)
def _body(links: int, viscosity: float) -> Body:
    return swimmer(links, viscosity=viscosity, name=f"swimmer-{links}-viscosity-{viscosity:g}")
