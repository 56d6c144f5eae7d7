"""Experience as a rollout would record it, and the circuit's equations as plain loops to hold it against."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from wormwood.agents.learning.interfaces import Episodes, Fragment, Transitions
from wormwood.agents.policies.acting import act_steps
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig, make_policy
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, swimmer
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.randomness import stream, training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import Task

NO_EPISODES = Episodes(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int8))


def _play(
    weights: Arrays, agent: AgentConfig, body: Body, task: Task, *, seed: int, shard: int = 0, steps: int = 16
) -> Fragment:
    """Two environments over some steps: a pure function of its arguments."""
    simulation = Simulation(body, task, 2, streams=training_streams(seed), first=2 * shard)
    spec, rng = SwimmerSpec(body, task), stream(seed, "action", shard)
    simulation.reset()
    columns: dict[str, list[np.ndarray]] = {name: [] for name in Transitions.__dataclass_fields__ if name != "memory"}
    played = act_steps(make_policy(agent, weights, spec), simulation, spec.actions, rng=rng)
    for taken in itertools.islice(played, steps):
        step = taken.step
        columns["observation"].append(taken.observation)
        columns["action"].append(taken.action)
        columns["log_prob"].append(taken.extras["log_prob"])
        columns["episode_start"].append(taken.begins)
        columns["reward"].append(step.reward)
        columns["terminated"].append(step.terminated)
        columns["truncated"].append(step.truncated)
        columns["final_observation"].extend(step.final_observation[step.truncated])
    columns["next_observation"] = list(simulation.observation)
    arrays = {name: np.array(values) for name, values in columns.items()}
    return Fragment(shard, 0, 2 * steps, NO_EPISODES, Transitions(**arrays))


@pytest.fixture
def play() -> Callable[..., Fragment]:
    return _play


Floats = NDArray[np.float64]


@dataclass
class Case:
    """A circuit on a body and a task, with weights of any sign, and observations of N environments."""

    config: NCAPConfig
    body: Body
    task: Task
    weights: dict[str, Floats]
    observation: Floats
    time: Floats

    @property
    def layout(self) -> ObservationLayout:
        return self.task.layout(self.body)


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _commands(config: NCAPConfig, weights: dict[str, Floats], command: list[float]) -> tuple[float, float, float]:
    """How far to turn right and left, and how fast to swim."""
    if not command:
        return 0.0, 0.0, 1.0
    if len(command) == 1:
        return 0.0, 0.0, _clip(command[0] / config.full_speed, 0.0, 1.0)
    x, y = -command[0], command[1]
    if config.steering == "fixed":
        return float(x > 0.1), float(x < -0.1), float(abs(y) > 0.12)
    outputs = []
    for k in range(3):
        linear = weights["steering_weight"][k, 0] * x + weights["steering_weight"][k, 1] * abs(y)
        outputs.append(_clip(linear + weights["steering_bias"][k], 0.0, 1.0))
    return outputs[0], outputs[1], outputs[2]


def _slow_row(config: NCAPConfig, weights: dict[str, Floats], case: Case, row: int) -> list[float]:
    body, observation = case.body, case.observation[row].tolist()

    def weight(name: str, side: int, index: int) -> float:
        value = float(weights[name] if config.share_weights else weights[name][side, index])
        if not config.constrain_signs:
            return value
        return min(value, 0.0) if name in ("contra", "speed", "own") else max(value, 0.0)

    angles = observation[case.layout.joints]
    q = [_clip(angle / limit, -1.0, 1.0) for angle, limit in zip(angles, body.joint_limit, strict=True)]
    right, left, speed = _commands(config, weights, observation[case.layout.command])
    period = config.body_periods.get(body.name, float(weights["period"]))
    first_half = math.fmod(case.time[row], period) < period / 2
    switches = {
        "prop": config.proprioception,
        "osc": config.oscillator,
        "own": config.own_feedback,
        "local": config.local_oscillators,
        "turn": config.turn_control,
        "speed": config.speed_control,
    }
    lag = float(weights.get("lag", 0.0))
    neurons: list[list[float]] = [[], []]
    for side in (0, 1):
        for i in range(body.joints):
            later = (case.time[row] - i * lag * period) % period < period / 2
            inputs = {
                "own": _clip((1, -1)[side] * q[i], 0.0, 1.0),
                "local": (float(later), float(not later))[side] if i > 0 else 0.0,
                "prop": _clip((1, -1)[side] * q[i - 1], 0.0, 1.0) if i > 0 else 0.0,
                "osc": (float(first_half), float(not first_half))[side] if i == 0 else 0.0,
                "turn": (right, left)[side] if i < config.turn_joints else 0.0,
                "speed": 1.0 - speed,
            }
            index = {"prop": i - 1, "osc": 0, "own": i, "local": i - 1, "turn": i, "speed": i}
            present = [name for name in inputs if switches[name] and inputs[name] != 0.0]
            drive = sum(weight(name, side, index[name]) * inputs[name] for name in present)
            neurons[side].append(_clip(drive, 0.0, 1.0))
    action = []
    for i in range(body.joints):
        muscles = []
        for side in (0, 1):
            same, other = neurons[side][i], neurons[1 - side][i]
            muscles.append(_clip(weight("ipsi", side, i) * same + weight("contra", side, i) * other, 0.0, 1.0))
        action.append(muscles[0] - muscles[1])
    return action


def _slow_actions(case: Case) -> Floats:
    """Actions ``[N, J]``; where the weights are of M candidates, row ``n`` belongs to candidate ``n // (N / M)``."""
    population = case.weights["period"].shape
    rows = []
    for row in range(len(case.observation)):
        candidate = (row // (len(case.observation) // population[0]),) if population else ()
        weights = {name: np.asarray(values[candidate]) for name, values in case.weights.items()}
        rows.append(_slow_row(case.config, weights, case, row))
    return np.array(rows)


def _draw_case(data: Any, *, clock: bool = False, population: int | None = None) -> Case:
    """Draw a case; with ``clock`` the observation has one, with ``population`` the weights are of M candidates."""
    tasks = ["swim", "swim-speed", "navigate", *([] if clock else ["gymnasium-forward"])]
    name, horizon = data.draw(st.sampled_from(tasks)), data.draw(st.integers(1, 5000))
    task = task_from_name(name, options={"horizon": horizon})
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    body = GYMNASIUM_SWIMMER
    if name != "gymnasium-forward":
        links = data.draw(st.integers(2, 12))
        body = swimmer(links, joint_limit=rng.uniform(0.1, 3.0, links - 1).tolist())
    flags = ("share_weights", "constrain_signs", "proprioception", "oscillator", "speed_control", "turn_control")
    additions = ("own_feedback", "local_oscillators")
    config = NCAPConfig(
        **{flag: data.draw(st.booleans(), label=flag) for flag in (*flags, *additions)},
        turn_joints=data.draw(st.integers(1, 14)),
        steering=data.draw(st.sampled_from(["fixed", "learned"])),
        constraint=data.draw(st.sampled_from(["hard", "straight_through"])),
        full_speed=data.draw(st.floats(0.05, 0.5)),
        body_periods={body.name: 17.3} if data.draw(st.booleans()) else {},
    )
    lead = () if population is None else (population,)
    shapes = {synapse: config.shape(synapse, body.joints) for synapse in config.synapses}
    if config.steering == "learned":
        shapes |= {"steering_weight": (3, 2), "steering_bias": (3,)}
    weights = {synapse: rng.uniform(-2, 2, lead + shape) for synapse, shape in shapes.items()}
    weights["period"] = np.array([data.draw(st.floats(1.5, 300.0)) for _ in range(population or 1)]).reshape(lead)
    if config.local_oscillators:
        weights["lag"] = rng.uniform(0.01, 0.5, lead)
    count = (population or 1) * data.draw(st.integers(1, 5))
    layout = task.layout(body)
    observation = rng.normal(size=(count, layout.size))
    observation[:, layout.joints] = rng.uniform(-1.5, 1.5, (count, body.joints)) * body.joint_limit
    observation[:, layout.command] = rng.uniform(-0.4, 0.4, (count, task.goal_size))
    time = rng.integers(0, horizon + 1, count).astype(np.float64)
    if layout.clock is not None:
        observation[:, layout.clock] = time
    return Case(config, body, task, weights, observation, time)


@pytest.fixture(scope="session")
def slow_actions() -> Callable[[Case], Floats]:
    """The equations, slowly."""
    return _slow_actions


@pytest.fixture(scope="session")
def draw_case() -> Callable[..., Case]:
    """A way to draw circuits from hypothesis' data."""
    return _draw_case
