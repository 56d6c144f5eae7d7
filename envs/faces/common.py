"""What the faces for gymnasium, Stable-Baselines3 and dm_control share: arguments, spaces and seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from wormwood.envs.bodies import Body, load_body
from wormwood.envs.physics import Floats
from wormwood.envs.randomness import EpisodeStreams, training_streams
from wormwood.envs.simulation import Simulation, Step
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input

__all__ = [
    "LARGEST_SEED",
    "SeededSimulation",
    "action_space",
    "checked_action",
    "choose_body",
    "choose_task",
    "draw_pose",
    "fresh_seed",
    "observation_space",
    "refuse_options",
    "whole_number",
]

LARGEST_SEED = 2**64 - 1


def choose_body(body: str | Path | Body) -> Body:
    """Return the body itself, or that of a name, a YAML or an MJCF file.

    Raises:
        BadInput: there is no such body.
    """
    if not isinstance(body, Body | str | os.PathLike):
        raise bad_input("body", where="environment", expected="a Body, its name or its file", got=body)
    return body if isinstance(body, Body) else load_body(body)


def choose_task(task: str | Task, *, horizon: int | None = None) -> Task:
    """Return the task itself, or that of a name.

    Args:
        task: a name of `wormwood list tasks`, or a task.
        horizon: control steps of an episode; None keeps the task's own. Only with a name.

    Raises:
        BadInput: there is no such task, or the horizon is not a whole number of at least 1.
    """
    if horizon is not None:
        whole_number("horizon", horizon, minimum=1)
    if isinstance(task, str):
        return task_from_name(task, options={} if horizon is None else {"horizon": horizon})
    if not callable(getattr(task, "observe", None)):
        raise bad_input("task", where="environment", expected="a name or a Task", got=task)
    if horizon is not None:
        raise bad_input("horizon", where="environment", expected="none beside a Task, which has its own", got=horizon)
    return task


def whole_number(name: str, value: Any, *, minimum: int, maximum: int | None = None, where: str = "environment") -> int:
    """Return ``value`` as an int.

    Raises:
        BadInput: it is not a whole number between ``minimum`` and ``maximum``.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < minimum or (maximum is not None and value > maximum):
        upper = "" if maximum is None else f" and at most {maximum}"
        raise bad_input(name, where=where, expected=f"a whole number of at least {minimum}{upper}", got=value)
    return int(value)


def observation_space(body: Body, task: Task) -> Box[np.float64]:
    """Return the space of one observation: unbounded, for joints pass their soft limits, but for the clock."""
    layout = task.layout(body)
    low, high = np.full(layout.size, -np.inf), np.full(layout.size, np.inf)
    if layout.clock is not None:
        low[layout.clock], high[layout.clock] = 0.0, task.horizon
    return Box(low, high, dtype=np.float64)


def action_space(body: Body) -> Box[np.float32]:
    """Return the space of one action: a share of its motor's gear for each joint, head to tail."""
    return Box(-1.0, 1.0, (body.joints,), dtype=np.float32)


def checked_action(action: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the action as an array ``[*shape]`` of its own precision.

    Raises:
        BadInput: it has another shape, or holds something else than finite numbers.
    """
    array = np.asarray(action)
    if array.shape != shape or array.dtype.kind not in "fiu":
        got = f"{array.dtype} of shape {array.shape}"
        raise bad_input("action", where="step", expected=f"numbers of shape {shape}", got=got)
    if not np.isfinite(array).all():
        raise bad_input("action", where="step", expected="finite numbers", got=array.ravel().tolist())
    return array


def refuse_options(options: Mapping[str, Any] | None, *, known: Sequence[str] = ()) -> None:
    """Refuse options of ``reset`` that would do nothing.

    Raises:
        BadInput: there are some beside the known ones.
    """
    unknown = [name for name in options or {} if name not in known]
    if unknown:
        raise bad_input(
            "options", where="reset", expected=" or ".join(known) or "none", got=", ".join(map(str, unknown))
        )


def fresh_seed() -> int:
    """Return a seed from the operating system's entropy."""
    return int(np.random.SeedSequence().generate_state(1, np.uint64)[0])


class SeededSimulation:
    """N environments on one simulation, each with a seed of its own, as gymnasium and Stable-Baselines3 seed them.

    An environment with seed s plays the episodes of environment 0 of ``training_streams(s)``, whatever stands beside
    it, so that N environments here are the same as N single ones. It can be pickled and copied, and goes on bit for
    bit.
    """

    def __init__(
        self, body: Body, task: Task, count: int, *, threads: int = 1, streams: EpisodeStreams | None = None
    ) -> None:
        """Build ``count`` environments.

        Args:
            body: what swims.
            task: what it is asked to do.
            count: number of environments.
            threads: on which MuJoCo steps them.
            streams: the randomness of environments that were given no seed; None takes fresh entropy.

        Raises:
            BadInput: ``count`` or ``threads`` is not a whole number of at least 1.
        """
        self.body, self.task = body, task
        self.count = whole_number("number of environments", count, minimum=1)
        self.threads = whole_number("threads", threads, minimum=1)
        self.streams = streams or training_streams(fresh_seed())
        self._seeds: list[int | None] = [None] * self.count
        self.simulation = self._build()

    def _build(self) -> Simulation:
        return Simulation(self.body, self.task, self.count, streams=self._stream, threads=self.threads)

    def _stream(self, purpose: str, environment: int, episode: int) -> np.random.Generator:
        seed = self._seeds[environment]
        if seed is None:
            return self.streams(purpose, environment, episode)
        return training_streams(seed)(purpose, 0, episode)

    def start(self, seeds: Sequence[int | None], *, rows: NDArray[np.intp] | None = None) -> Floats:
        """Start an episode in each environment, or in those of ``rows [K]``.

        Args:
            seeds: one for each environment: it plays the first episode of that seed, or where it is None, the
                next one of the seed that it has.
            rows: which environments to start; None means all.

        Returns:
            ``[N, D]`` the observation of every environment, a copy.

        Raises:
            BadInput: a seed is not a whole number from 0 to 2⁶⁴ - 1, or there are more or fewer than environments.
        """
        if len(seeds) != self.count:
            raise bad_input("seeds", where="reset", expected=f"one for each of {self.count} environments", got=seeds)
        rows = np.arange(self.count) if rows is None else rows
        for row in rows:
            if seeds[row] is not None:
                self._seeds[row] = whole_number("seed", seeds[row], minimum=0, maximum=LARGEST_SEED)
        first = np.array([seeds[row] is not None for row in rows])
        return self.simulation.reset_rows(rows, first=first).copy()

    def step(self, action: ArrayLike) -> Step:
        """Advance by one control step.

        Raises:
            BadInput: ``action`` is not ``[N, J]`` finite numbers.
        """
        return self.simulation.step(checked_action(action, (self.count, self.body.joints)))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that the future depends on but ``streams``: arrays ``[N, ...]``, one row for each environment."""
        seeded = np.array([seed is not None for seed in self._seeds])
        seeds = np.array([seed or 0 for seed in self._seeds], dtype=np.uint64)
        return {**self.simulation.state(), "seeds": seeds, "seeded": seeded}

    def restore(self, state: dict[str, NDArray[Any]]) -> Floats:
        """Go on from ``state``, bit for bit, and return the observations ``[N, D]``."""
        pairs = zip(state["seeds"], state["seeded"], strict=True)
        self._seeds = [int(seed) if seeded else None for seed, seeded in pairs]
        self.simulation.restore(state)
        return self.simulation.observation.copy()

    def pose(self, row: int) -> tuple[Floats, Floats]:
        """Return one environment's generalized positions ``[nq]`` and goal ``[goal_size]``: what a picture needs."""
        return self.simulation.physics.positions[row], self.simulation.goals[row]

    def draw(self, row: int) -> NDArray[np.uint8]:
        """Return a picture ``[height, width, 3]`` of one environment as it is now."""
        return draw_pose(self.body, *self.pose(row))

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name != "simulation"}
        return {**state, "state": self.simulation.state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        simulation_state = state.pop("state")
        vars(self).update(state)
        self.simulation = self._build()
        if simulation_state["episodes"][0] >= 0:
            self.simulation.restore(simulation_state)


def draw_pose(body: Body, positions: Floats, goal: Floats) -> NDArray[np.uint8]:
    """Return a picture ``[height, width, 3]`` of a body at generalized positions ``[nq]``, with its target if any.

    It has one where ``goal [goal_size]`` is of two numbers, x and y in m.
    """
    # Drawing loads libraries that environments do without until then.
    from wormwood.envs.pictures.rendering import draw_frame

    target = (float(goal[0]), float(goal[1])) if len(goal) == 2 else None
    return draw_frame(body, positions, target=target)
