"""HalfCheetah-v5 of gymnasium, asked for a direction or a velocity that it is not told."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from wormwood.envs.families.interfaces import Dynamics, FamilyTask, InnerStep, check_number, check_whole, plain_layout
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.physics import DIVERGED, Floats
from wormwood.envs.profiling import keep_no_log
from wormwood.envs.randomness import stream
from wormwood.envs.specs import ActionSpace

__all__ = ["CheetahDirection", "CheetahVelocity"]

JOINTS, COORDINATES = 6, 9
SUBSTEPS, TIMESTEP = 5, 0.05  # s of a control step
RESET_NOISE = 0.1
CONTROL_COST = 0.05
FASTEST = 100.0  # m/s


@dataclass(frozen=True)
class _Cheetah:
    """What both families share: gymnasium's body, observations, starts and control step."""

    steps: int = 200
    """Control steps of an episode, of 0.05 s each."""

    name = "cheetah"

    def __post_init__(self) -> None:
        """Check the options."""
        check_whole(self, "steps", 1, 10_000)

    @property
    def label(self) -> str:
        return self.name

    @property
    def layout(self) -> ObservationLayout:
        return plain_layout(2 * COORDINATES - 1)

    @property
    def actions(self) -> ActionSpace:
        return ActionSpace((-1.0,) * JOINTS, (1.0,) * JOINTS)

    @property
    def held_out(self) -> _Cheetah:
        return self

    def draw(self, rng: np.random.Generator) -> Floats:
        raise NotImplementedError

    def sample(self, rng: np.random.Generator) -> FamilyTask:
        return FamilyTask(self, tuple(self.draw(rng).tolist()))

    def reward(self, velocity: Floats, tasks: Floats) -> Floats:
        raise NotImplementedError

    def dynamics(self, count: int) -> Dynamics:
        return _Cheetahs(self, count)


@dataclass(frozen=True)
class CheetahDirection(_Cheetah):
    """Run forward or backward: ``d v - 0.05 |a|²`` for ``d = ±1`` and a velocity of v m/s along x.

    The task of Finn et al. 2017 (MAML, arXiv:1703.03400). Those are all its tasks: what is held out are starts.
    """

    name = "cheetah-direction"

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw the direction ``[1]``: 1 or -1."""
        return np.array([1.0 if rng.random() < 0.5 else -1.0])

    def reward(self, velocity: Floats, tasks: Floats) -> Floats:
        """Return the reward ``[N]`` before the cost of control, for velocities ``[N]`` along x in m/s."""
        return tasks[:, 0] * velocity


@dataclass(frozen=True)
class CheetahVelocity(_Cheetah):
    """Run at a velocity u ~ U[0, fastest]: ``-|v - u| - 0.05 |a|²`` for a velocity of v m/s along x.

    The task of Finn et al. 2017, with the range that Rakelly et al. 2019 (PEARL, arXiv:1903.08254) use.
    """

    fastest: float = 3.0
    """Largest velocity asked for, in m/s."""

    name = "cheetah-velocity"

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        check_number(self, "fastest", 1e-3, FASTEST)

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw the velocity ``[1]`` in m/s."""
        return rng.uniform(0.0, self.fastest, size=1)

    def reward(self, velocity: Floats, tasks: Floats) -> Floats:
        """Return the reward ``[N]`` before the cost of control, for velocities ``[N]`` along x in m/s."""
        return -np.abs(velocity - tasks[:, 0])


@functools.cache
def _model() -> mujoco.MjModel:
    """Read gymnasium's model, once in a process: MuJoCo warns each time of an attribute in it that is out of date."""
    keep_no_log()
    path = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "half_cheetah.xml"
    return mujoco.MjModel.from_xml_path(str(path))


class _Cheetahs:
    """N cheetahs on one ``mujoco.batch.Batch``. See ``Dynamics``."""

    def __init__(self, family: _Cheetah, count: int) -> None:
        self._family = family
        self._model = _model()
        self._batch = Batch(self._model, count, nthread=1)
        self._positions, self._velocities = self._batch.bind("qpos"), self._batch.bind("qvel")
        self._control = self._batch.bind("ctrl")
        self._divergences = self._batch.warning[:, DIVERGED, 1]
        self._episodes = np.zeros(count, dtype=np.int64)
        self._tasks, self._keys = np.zeros((count, 1)), np.zeros(count, dtype=np.uint64)

    @property
    def observation(self) -> Floats:
        return np.concatenate([self._positions[:, 1:], self._velocities], axis=1)

    def begin(self, rows: NDArray[np.intp], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._tasks, self._keys = tasks, keys
        self._episodes[rows] = 0
        self._place(rows)

    def _place(self, rows: NDArray[np.intp]) -> None:
        """Start an inner episode: positions uniform in ±0.1 about rest, velocities normal with deviation 0.1."""
        self._batch.reset(rows, stage=int(mujoco.mjtStage.mjSTAGE_NONE))
        for row in rows:
            rng = stream(int(self._keys[row]), "reset", int(self._episodes[row]))
            noise = rng.uniform(-RESET_NOISE, RESET_NOISE, COORDINATES)
            self._positions[row] = self._model.qpos0 + noise
            self._velocities[row] = RESET_NOISE * rng.standard_normal(COORDINATES)
        self._batch.forward(rows)

    def step(self, action: NDArray[Any], steps: NDArray[np.int64]) -> InnerStep:
        before, x = self.observation, self._positions[:, 0].copy()
        self._control[:] = action
        self._batch.step(nstep=SUBSTEPS)
        velocity = (self._positions[:, 0] - x) / TIMESTEP
        reward = self._family.reward(velocity, self._tasks) - CONTROL_COST * np.sum(np.square(action), axis=1)
        observation = self.observation
        diverged: NDArray[np.bool_] = self._divergences.any(axis=1)
        if diverged.any():
            # MuJoCo has put these back to the model's rest: what they read now belongs to no episode.
            self._divergences[:] = 0
            observation[diverged], reward[diverged], velocity[diverged] = before[diverged], 0.0, 0.0
        over = np.flatnonzero((steps + 1) % self._family.steps == 0)
        if over.size:
            self._episodes[over] += 1
            self._place(over)
        return InnerStep(observation, reward, diverged, velocity)

    def state(self) -> dict[str, NDArray[Any]]:
        return {"physics": self._batch.state.copy(), "episodes": self._episodes.copy()}

    def restore(self, state: dict[str, NDArray[Any]], tasks: Floats, keys: NDArray[np.uint64]) -> None:
        self._tasks, self._keys, self._episodes = tasks, keys, np.array(state["episodes"])
        self._batch.state[:] = state["physics"]
