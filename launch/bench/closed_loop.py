"""The closed loop that rollouts run, in recorded slices, and its replay by MuJoCo alone: the C limit."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from wormwood.agents.policies.acting import act_steps
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Floats, Policy
from wormwood.agents.policies.table import initial_weights, make_policy
from wormwood.envs.bodies import Body
from wormwood.envs.randomness import stream, training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Task

__all__ = ["SEED", "ClosedLoop", "Replay", "Slice", "circuit"]

SEED = 0


def circuit(body: Body, task: Task) -> Policy:
    """Return the published NCAP circuit as training starts from it."""
    config, spec = NCAPConfig(), SwimmerSpec(body, task)
    return make_policy(config, initial_weights(config, spec, stream(SEED, "update")), spec)


@dataclass(frozen=True)
class Slice:
    """T control steps of N swimmers."""

    seconds: float
    """Wall time of the steps."""
    start: Floats
    """``[N, S]`` the simulations' full state before."""
    action: Floats
    """``[N, T, J]``"""
    end: Floats
    """``[N, S]`` the state after."""
    reset: NDArray[np.bool_]
    """``[N]`` an episode ended in the slice, so that no replay can follow it to its end."""

    @property
    def steps(self) -> int:
        """Environment steps: control steps of all swimmers."""
        swimmers, steps, _ = self.action.shape
        return int(swimmers * steps)

    @property
    def speed(self) -> float:
        """Environment steps per second."""
        return self.steps / self.seconds


class ClosedLoop:
    """Swimmers that act on what they observe: policy, physics, observation, reward and reset.

    Each thread has a simulation with its share of the swimmers and never waits for the others, as the rollout workers
    of a training.
    """

    def __init__(self, body: Body, task: Task, *, policy: Callable[[int], Policy], swimmers: int, threads: int) -> None:
        """Build the simulations, and for each, from its number, the ``policy`` that acts in it."""
        self.body, self.swimmers, self.threads = body, swimmers, threads
        parts, streams = np.array_split(np.arange(swimmers), threads), training_streams(SEED)
        self._simulations = [Simulation(body, task, len(part), streams=streams, first=int(part[0])) for part in parts]
        for simulation, part in zip(self._simulations, parts, strict=True):
            simulation.reset()
            # Clocks apart, so that each slice has its share of the resets rather than one slice in hundreds all.
            simulation.restore({**simulation.state(), "steps": part * task.horizon // swimmers})
        actions = SwimmerSpec(body, task).actions
        self._loops = [
            act_steps(policy(index), simulation, actions) for index, simulation in enumerate(self._simulations)
        ]
        self._pool = ThreadPoolExecutor(len(parts))

    @property
    def model(self) -> mujoco.MjModel:
        """The compiled body."""
        return self._simulations[0].physics.model

    @property
    def substeps(self) -> int:
        """Physics steps of one control step."""
        return int(self._simulations[0].physics.substeps)

    def play(self, steps: int) -> Slice:
        """Go on for ``steps`` control steps; wall time counts from the first thread's start to the last one's end."""
        start = self._state()
        began = time.perf_counter()
        parts = list(self._pool.map(lambda index: self._play_part(index, steps), range(len(self._simulations))))
        seconds = time.perf_counter() - began
        action = np.concatenate([np.stack(actions, axis=1) for actions, _ in parts])
        reset = np.concatenate([np.any(dones, axis=0) for _, dones in parts])
        return Slice(seconds, start, action, self._state(), reset)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _play_part(self, index: int, steps: int) -> tuple[list[Floats], list[NDArray[np.bool_]]]:
        actions, dones = [], []
        for taken in itertools.islice(self._loops[index], steps):
            actions.append(np.clip(taken.action, -1.0, 1.0))
            dones.append(taken.step.done)
        return actions, dones

    def _state(self) -> Floats:
        return np.concatenate([simulation.physics.state for simulation in self._simulations])


class Replay:
    """``mujoco.batch.Batch.rollout`` with the controls of a slice: what MuJoCo's C alone takes for the same motion.

    Nothing is recorded, and one simulation after the other runs from start to end on each thread, which is the
    fastest that MuJoCo has; idle threads take over what others have not begun.
    """

    def __init__(self, loop: ClosedLoop, *, sensors: bool = True) -> None:
        """Prepare to replay slices of ``loop`` on as many threads, with or without the body's sensors."""
        model = copy.copy(loop.model)
        if not sensors:
            model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
        self._batch = Batch(model, loop.swimmers, nthread=loop.threads)
        self._substeps, self._joints = loop.substeps, list(loop.body.free_joints)

    def play(self, recorded: Slice) -> float:
        """Replay a slice and return the speed in environment steps per second.

        Raises:
            RuntimeError: a swimmer without a reset in the slice ended elsewhere, by a single bit.
        """
        # Batch.rollout reads one control for each physics step.
        control = np.repeat(recorded.action[:, :, self._joints], self._substeps, axis=1)
        self._batch.state[:] = recorded.start
        began = time.perf_counter()
        self._batch.rollout(control.shape[1], control, record=())
        seconds = time.perf_counter() - began
        going = ~recorded.reset
        if not np.array_equal(self._batch.state[going], recorded.end[going]):
            raise RuntimeError("the replay of a slice does not end where the closed loop did")
        return recorded.steps / seconds
