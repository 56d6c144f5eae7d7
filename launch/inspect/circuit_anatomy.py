"""What a circuit is made of on a body, and what it does there: for reports and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from wormwood.agents.policies.circuit import NCAP, check_weights, effective, period_of
from wormwood.agents.policies.circuit_settings import SYNAPSES, NCAPConfig
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.envs.bodies import Body
from wormwood.envs.randomness import evaluation_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input

__all__ = ["SIDES", "CircuitActivity", "describe", "record_activity"]

SIDES = ("dorsal", "ventral")
TURNS = ("right", "left")
"""The command that turning obeys on each side."""


@dataclass(frozen=True)
class CircuitActivity:
    """What one circuit did over T control steps; dorsal is side 0, and joints count from the head."""

    time: Floats
    """``[T]`` seconds since the start of the episode."""
    angles: Floats
    """``[T, J]`` joint angles in rad, as the circuit reads them."""
    oscillator: Floats
    """``[T, 2]``, 0 or 1."""
    receptors: Floats
    """``[T, 2, J]`` stretch receptors, in [0, 1]."""
    neurons: Floats
    """``[T, 2, J]`` B neurons, in [0, 1]."""
    muscles: Floats
    """``[T, 2, J]`` in [0, 1]."""
    action: Floats
    """``[T, J]`` dorsal less ventral muscle, in [-1, 1]."""
    speed: Floats
    """``[T]`` forward speed of the head in m/s after each step."""


def record_activity(
    config: NCAPConfig, weights: Arrays, *, body: Body, task: Task, steps: int = 300, seed: int = 0
) -> CircuitActivity:
    """Record one circuit, without noise, over the first control steps of held-out start 0.

    Args:
        config: the circuit.
        weights: those of one circuit.
        body: what swims.
        task: what it is asked to do.
        steps: control steps, at least 1. The end of the episode ends the recording, too.
        seed: of the held-out starts.

    Raises:
        BadInput: the weights do not fit the body or are of a population, or ``steps`` is less than 1.
    """
    _check_single(config, weights, body)
    if steps < 1:
        raise bad_input("steps", where="activity", expected="at least 1 control step", got=steps)
    policy = NCAP(config, weights, body=body, layout=task.layout(body))
    simulation = Simulation(body, task, 1, streams=evaluation_streams(seed))
    observation, rows, memory = simulation.reset(), [], Arrays()
    for _ in range(steps):
        time, memory = policy.patient_time(observation, simulation.steps.astype(np.float64), memory)
        row = _one_row(policy, simulation, observation, time)
        step = simulation.step(row["action"][None])
        rows.append({**row, "speed": step.speed[0]})
        if step.done[0]:
            break
        observation = step.observation
    return CircuitActivity(
        **{field.name: np.array([row[field.name] for row in rows]) for field in fields(CircuitActivity)}
    )


def _one_row(policy: NCAP, simulation: Simulation, observation: Floats, time: Floats) -> dict[str, Floats]:
    activity = policy.activity(observation, time)
    row = {name: getattr(activity, name)[:, 0, 0] for name in ("oscillator", "receptors", "neurons", "muscles")}
    return {
        **row,
        "time": float(simulation.steps[0]) * simulation.body.control_timestep,
        "angles": observation[0, simulation.layout.joints].copy(),
        "action": row["muscles"][0] - row["muscles"][1],
    }


def describe(
    config: NCAPConfig, weights: Arrays, *, body: Body, activity: CircuitActivity | None = None
) -> dict[str, Any]:
    """Describe one circuit on a body, as JSON would hold it.

    Args:
        config: the circuit.
        weights: those of one circuit.
        body: what it moves.
        activity: what it did there.

    Returns:
        A dictionary with

        - ``body``: its ``name``, ``links``, ``joints``, and the joints that are ``lesioned`` or ``locked``,
        - ``neurons``: ``id``, ``kind`` ("oscillator", "stretch receptor", "B neuron", "muscle" or "command"), ``side``
          ("dorsal", "ventral" or None) and ``joint`` (from 0 at the head, or None),
        - ``synapses``: ``source`` and ``target``, the ``weight``'s name, ``sign`` (+1 or -1), and the ``effective``
          weight, which is 0 where a weight lies on the wrong side of its constrained sign,
        - ``weights``: numbers by name as they were learned, nested by side and joint where they are not shared,
        - ``period``: in ``steps`` and ``seconds``, on this body,
        - ``lag``: share of a period by which each local oscillator is later than the one in front, or None,
        - ``shared``: whether all synapses of a kind share one weight, and ``signs_constrained``,
        - ``counts``: of ``neurons``, ``synapses``, ``weights`` (numbers, without the period) and of each kind,
        - ``activity``: the fields of the recording, or None.

    Raises:
        BadInput: the weights do not fit the body, or are those of a population.
    """
    _check_single(config, weights, body)
    neurons, synapses = _neurons(config, body), list(_synapses(config, weights, body))
    period = float(period_of(config, weights, body))
    named = {name: weights[name].tolist() for name in _learned(config)}
    kinds = [neuron["kind"] for neuron in neurons]
    return {
        "body": {
            "name": body.name,
            "links": body.links,
            "joints": body.joints,
            "lesioned": list(body.lesioned),
            "locked": list(body.locked),
        },
        "neurons": neurons,
        "synapses": synapses,
        "weights": named,
        "period": {"steps": period, "seconds": period * body.control_timestep},
        "lag": float(weights["lag"]) if config.local_oscillators else None,
        "shared": config.share_weights,
        "signs_constrained": config.constrain_signs,
        "counts": {
            "neurons": len(neurons),
            "synapses": len(synapses),
            "weights": sum(int(np.size(values)) for values in named.values()),
            **{kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        },
        "activity": None
        if activity is None
        else {f.name: getattr(activity, f.name).tolist() for f in fields(CircuitActivity)},
    }


def _learned(config: NCAPConfig) -> list[str]:
    return [*config.synapses, *(("steering_weight", "steering_bias") if config.steering == "learned" else ())]


def _check_single(config: NCAPConfig, weights: Arrays, body: Body) -> None:
    check_weights(config, weights, body)
    if np.ndim(weights["period"]) > 0:
        raise bad_input("weights", where="agent ncap", expected="one circuit", got=f"{len(weights['period'])} circuits")


def _neurons(config: NCAPConfig, body: Body) -> list[dict[str, Any]]:
    """Return all neurons from which or to which a synapse leads, head first, dorsal before ventral."""
    joints = range(body.joints)
    neurons: list[dict[str, Any]] = []
    if config.speed_control:
        neurons.append({"id": "command.slow", "kind": "command", "side": None, "joint": None})
    if config.turn_control:
        turns = zip(TURNS, SIDES, strict=True)
        neurons += [{"id": f"command.{turn}", "kind": "command", "side": side, "joint": None} for turn, side in turns]
    if config.oscillator:
        neurons += [{"id": f"oscillator.{side}", "kind": "oscillator", "side": side, "joint": None} for side in SIDES]
    if config.own_feedback:
        receptors = joints
    else:
        receptors = joints[:-1] if config.proprioception else joints[:0]
    for kind, name, where in (
        ("oscillator", "oscillator", joints[1:] if config.local_oscillators else joints[:0]),
        ("stretch receptor", "receptor", receptors),
        ("B neuron", "neuron", joints),
        ("muscle", "muscle", joints),
    ):
        for joint in where:
            for side in SIDES:
                neurons.append({"id": f"{name}.{joint}.{side}", "kind": kind, "side": side, "joint": joint})
    return neurons


def _synapses(config: NCAPConfig, weights: Arrays, body: Body) -> Iterator[dict[str, Any]]:
    """Yield all synapses, by kind, dorsal before ventral, and from the head."""
    each = replace(config, share_weights=False)
    for name in config.synapses:
        values = np.broadcast_to(effective(config, name, weights[name]), each.shape(name, body.joints))
        for (side, index), value in np.ndenumerate(values):
            source, target = _ends(name, index, side)
            sign = SYNAPSES[name].sign if config.constrain_signs or value == 0 else int(np.sign(value))
            yield {"source": source, "target": target, "weight": name, "sign": sign, "effective": float(value)}


def _ends(name: str, index: int, side: int) -> tuple[str, str]:
    """Return the ids that a synapse connects; ``index`` is that of its unshared weight."""
    same, other = SIDES[side], SIDES[1 - side]
    neuron, muscle = f"neuron.{index}.{same}", f"muscle.{index}.{same}"
    return {
        "prop": (f"receptor.{index}.{same}", f"neuron.{index + 1}.{same}"),
        "osc": (f"oscillator.{same}", neuron),
        "own": (f"receptor.{index}.{same}", neuron),
        "local": (f"oscillator.{index + 1}.{same}", f"neuron.{index + 1}.{same}"),
        "ipsi": (neuron, muscle),
        "contra": (f"neuron.{index}.{other}", muscle),
        "speed": ("command.slow", neuron),
        "turn": (f"command.{TURNS[side]}", neuron),
    }[name]
