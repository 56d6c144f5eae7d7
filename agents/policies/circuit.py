"""The C. elegans locomotion circuit in NumPy, for one circuit or for a population.

Equations: Bhattasali, Zador and Engel, *Neural Circuit Architectural Priors for Embodied Control*, NeurIPS 2022
(https://arxiv.org/abs/2201.05242). For joint ``i`` counted from the head, dorsal side; the ventral side is mirrored::

    q_i  = clip(angle_i / limit_i, -1, 1)           d_i = clip(q_i, 0, 1), v_i = clip(-q_i, 0, 1)
    bD_i = graded([i > 0] prop d_{i-1} + [i = 0] osc o_d + [i < turn_joints] turn right + speed (1 - speed_command))
    mD_i = graded(ipsi bD_i + contra bV_i)
    a_i  = mD_i - mV_i                               graded(x) = clip(x, 0, 1)

with the square wave ``o_d = 1`` where ``(t mod period) < period / 2`` and ``o_v = 1 - o_d``. Three additions, which are
this project's, are left out unless asked for: ``own`` adds ``own d_i`` to ``bD_i``, ``local`` adds
``[i > 0] local o_d(t - i lag period)``, and with ``patience`` the clock ``t`` stands still at the end of each half
period while ``d_0`` (``v_0`` in the ventral half) is below ``reach``, for ``patience`` periods at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wormwood.agents.policies.action_head import choose_action
from wormwood.agents.policies.circuit_settings import SYNAPSES, NCAPConfig
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.search_space import Parameter, SearchSpace
from wormwood.agents.policies.weights import Shape, check_arrays, check_rows
from wormwood.envs.bodies import Body
from wormwood.envs.layouts import ObservationLayout
from wormwood.errors import bad_input

__all__ = ["NCAP", "Activity", "check_weights", "effective", "initial_weights", "period_of", "search_space"]

TURN_THRESHOLD = 0.1  # m the target must be to one side before the circuit turns
SPEED_THRESHOLD = 0.12  # m the target must be ahead or behind before the circuit swims


def initial_weights(config: NCAPConfig, body: Body, rng: np.random.Generator) -> Arrays:
    """Return the weights a circuit starts from, by name of the synapse, and its ``period``.

    Shapes are those of ``NCAPConfig.shape``; a learned steering adds ``steering_weight [3, 2]`` and
    ``steering_bias [3]``.
    """
    weights: Arrays = {}
    for name in config.synapses:
        shape = config.shape(name, body.joints)
        magnitude = np.ones(shape) if config.initialization == "unit" else rng.uniform(size=shape)
        drawn = rng.choice([-1.0, 1.0], size=shape)
        weights[name] = np.asarray(magnitude * (SYNAPSES[name].sign if config.constrain_signs else drawn))
    if config.steering == "learned":
        weights["steering_weight"] = rng.uniform(-1, 1, size=(3, 2)) / np.sqrt(2)
        weights["steering_bias"] = rng.uniform(-1, 1, size=3) / np.sqrt(2)
    weights["period"] = np.array(float(config.period))
    if config.local_oscillators:
        # Files and hashes of states hold the weight by this name.
        weights["lag"] = np.array(float(config.phase_lag))
    return weights


def period_of(config: NCAPConfig, weights: Arrays, body: Body) -> Floats:
    """Return the period in control steps: the body's own, or else that of the weights.

    It is shaped as in the weights: a scalar, or ``[M]`` for a population.
    """
    body_period = config.period_on(body)
    return weights["period"] if body_period is None else np.full(np.shape(weights["period"]), float(body_period))


def search_space(config: NCAPConfig, weights: Arrays) -> SearchSpace:
    """Return how evolution searches the circuit: magnitudes on a logarithmic scale where signs are constrained."""
    parameters = []
    for name in config.synapses:
        low, high = config.bounds.get(name, (0.0, np.inf))
        if config.constrain_signs:
            bounded = Parameter(name, weights[name].shape, sign=SYNAPSES[name].sign, low=low, high=high)
        else:
            bounded = Parameter(name, weights[name].shape, low=-high, high=high)
        parameters.append(bounded)
    for name in ("steering_weight", "steering_bias"):
        if name in weights:
            parameters.append(Parameter(name, weights[name].shape))
    if config.local_oscillators:
        low, high = config.bounds.get("lag", (0.0, np.inf))
        parameters.append(Parameter("lag", sign=+1, low=low, high=high))
    if config.learn_period:
        low, high = config.bounds.get("period", (2.0, np.inf))
        return SearchSpace((*parameters, Parameter("period", sign=+1, low=low, high=high)))
    return SearchSpace(tuple(parameters), fixed={"period": weights["period"]})


def effective(config: NCAPConfig, name: str, weight: Floats) -> Floats:
    """Return a weight as the circuit uses it: on the side of zero that its synapse's sign asks for.

    It keeps its shape: that of ``NCAPConfig.shape``, or ``[M, ...]`` for a population.
    """
    if not config.constrain_signs:
        return weight
    return np.maximum(weight, 0.0) if SYNAPSES[name].sign > 0 else np.minimum(weight, 0.0)


@dataclass(frozen=True)
class Activity:
    """What every neuron does; dorsal is side 0, and the N circuits stand as ``[M, K]``, K of each of M candidates."""

    receptors: Floats
    """``[2, M, K, J]`` stretch of each joint, in [0, 1]."""
    oscillator: Floats
    """``[2, M, K]``"""
    neurons: Floats
    """``[2, M, K, J]`` B neurons, in [0, 1]."""
    muscles: Floats
    """``[2, M, K, J]`` in [0, 1]."""


class NCAP:
    """The circuit as a policy.

    Weights may carry a leading population axis M; the N rows of an observation then belong to the candidates in turn,
    N / M to each. Where the observation has no clock, the circuit counts the steps itself, as ``time`` in its state. A
    patient one also remembers how many steps its clock has stood still, ``held``, and how many in a row, ``waited``.
    """

    def __init__(
        self,
        config: NCAPConfig,
        weights: Arrays,
        *,
        body: Body,
        layout: ObservationLayout,
        noise_std: float | Floats | None = None,
    ) -> None:
        """Take the weights of ``initial_weights``.

        Raises:
            BadInput: the weights were made for another body, or are not those of this circuit.
        """
        self._config, self._layout, self._joints = config, layout, body.joints
        self._limit, self._noise_std = np.array(body.joint_limit), noise_std
        check_weights(config, weights, body)
        self._weights = {name: self._with_axes(name, weights[name]) for name in config.synapses}
        self._period = period_of(config, weights, body).reshape(-1, 1)
        self._lag = weights["lag"].reshape(-1, 1) if config.local_oscillators else np.zeros((1, 1))
        self._steering = [weights[f"steering_{part}"] for part in ("weight", "bias") if config.steering == "learned"]

    def _with_axes(self, name: str, weight: Floats) -> Floats:
        """Return the effective weight as ``[1 or 2, M, 1, 1 or joints]``."""
        weight = effective(self._config, name, weight)
        if self._config.share_weights:
            return weight.reshape(1, -1, 1, 1)
        candidates = weight if weight.ndim == 3 else weight[None]
        return np.moveaxis(candidates, 1, 0)[:, :, None]

    def act(self, observation: Floats, state: Arrays, rng: np.random.Generator | None) -> tuple[Floats, Arrays, Arrays]:
        """Return actions ``[N, J]`` for observations ``[N, D]``; see ``Policy.act``.

        Raises:
            BadInput: N is no multiple of the number of candidates, or the noise is for another number of joints.
        """
        if self._layout.clock is not None:
            time, counted = observation[:, self._layout.clock], Arrays()
        else:
            time = state.get("time", np.zeros(len(observation)))
            counted = {"time": time + 1.0}
        time, waited = self.patient_time(observation, time, state)
        state = {**counted, **waited}
        dorsal, ventral = self.activity(observation, time).muscles
        action = (dorsal - ventral).reshape(len(observation), self._joints)
        if rng is not None and self._noise_std is not None and np.shape(self._noise_std) not in ((), (self._joints,)):
            expected, got = f"one deviation for each of {self._joints} joints", np.shape(self._noise_std)
            raise bad_input("exploration noise", where="agent ncap", expected=expected, got=got)
        action, extras = choose_action(action, std=self._noise_std, rng=rng)
        return action, state, extras

    def patient_time(self, observation: Floats, time: Floats, state: Arrays) -> tuple[Floats, Arrays]:
        """Return what the oscillators' clock shows ``[N]``, and what to remember of it.

        Args:
            observation: ``[N, D]``
            time: ``[N]`` control steps after reset.
            state: what it returned at the step before; nothing at the first.
        """
        if not self._config.patience:
            return time, {}
        check_rows(len(observation), len(self._period))
        held, waited = (state.get(name, np.zeros(len(observation))) for name in ("held", "waited"))
        period = np.repeat(self._period[:, 0], len(observation) // len(self._period))
        time = time - held
        half, before = np.floor(time / (period / 2)), np.floor((time - 1) / (period / 2))
        head = observation[:, self._layout.joints][:, 0] / self._limit[0]
        stretch = np.where(before % 2 == 0, head, -head)
        turning = (half != before) & (time > 0)
        waits = turning & (stretch < self._config.reach) & (waited < self._config.patience * period)
        return time - waits, {"held": held + waits, "waited": np.where(waits, waited + 1, 0.0)}

    def activity(self, observation: Floats, time: Floats) -> Activity:
        """Return what the circuit does at observations ``[N, D]``, ``time [N]`` control steps after reset."""
        check_rows(len(observation), len(self._period))
        weights = self._weights
        angles = observation[:, self._layout.joints] / self._limit
        angles = angles.reshape(len(self._period), -1, self._joints)
        receptors = np.clip(np.stack([angles, -angles]), 0.0, 1.0)
        time = time.reshape(len(self._period), -1)
        oscillator = _square_wave(time, self._period)

        drive = np.zeros_like(receptors)
        if self._config.proprioception:
            drive[..., 1:] = weights["prop"] * receptors[..., :-1]
        if self._config.oscillator:
            drive[..., :1] += weights["osc"] * oscillator[..., None]
        if self._config.own_feedback:
            drive += weights["own"] * receptors
        if self._config.local_oscillators:
            period = self._period[..., None]
            delay = np.arange(1, self._joints) * self._lag[..., None] * period
            drive[..., 1:] += weights["local"] * _square_wave(time[..., None] - delay, period)
        if self._config.turn_control or self._config.speed_control:
            self._add_commands(drive, observation[:, self._layout.command])
        neurons = np.clip(drive, 0.0, 1.0)
        muscles = np.clip(weights["ipsi"] * neurons + weights["contra"] * neurons[::-1], 0.0, 1.0)
        return Activity(receptors, oscillator, neurons, muscles)

    def _add_commands(self, drive: Floats, command: Floats) -> None:
        right, left, speed = (part.reshape(1, *drive.shape[1:3], 1) for part in self._commands(command))
        if self._config.turn_control:
            drive[..., : self._config.turn_joints] += self._weights["turn"] * np.concatenate([right, left])
        if self._config.speed_control:
            drive += self._weights["speed"] * (1.0 - speed)

    def _commands(self, command: Floats) -> Floats:
        """Return how far to turn right and left and how fast to swim ``[3, N]``, each in [0, 1].

        ``command`` is the target in the head's frame ``[N, 2]`` in m, a speed ``[N, 1]`` in m/s, or nothing ``[N, 0]``.
        """
        none, full = np.zeros(len(command)), np.ones(len(command))
        if command.shape[1] == 0:
            return np.stack([none, none, full])
        if command.shape[1] == 1:
            return np.stack([none, none, np.clip(command[:, 0] / self._config.full_speed, 0.0, 1.0)])
        x, distance = -command[:, 0], np.abs(command[:, 1])
        if self._config.steering == "fixed":
            return np.stack([x > TURN_THRESHOLD, x < -TURN_THRESHOLD, distance > SPEED_THRESHOLD]).astype(np.float64)
        weight, bias = self._steering
        # [M, 3, 2] candidates times [M, 2, K] circuits of each.
        inputs = np.stack([x, distance]).reshape(2, len(self._period), -1).transpose(1, 0, 2)
        steered = weight.reshape(-1, 3, 2) @ inputs + bias.reshape(-1, 3, 1)
        commands: Floats = np.clip(steered.transpose(1, 0, 2).reshape(3, -1), 0.0, 1.0)
        return commands


def _square_wave(time: Floats, period: Floats) -> Floats:
    """Return the oscillator of both sides ``[2, ...]`` at ``time [...]``."""
    dorsal = np.mod(time, period) < period / 2
    return np.stack([dorsal, ~dorsal]).astype(np.float64)


def check_weights(config: NCAPConfig, weights: Arrays, body: Body) -> None:
    """Check that the weights are those of this circuit on this body, or of a population of such circuits.

    Raises:
        BadInput: an array is missing, or has another shape, or something else than finite numbers in it.
    """
    shapes: dict[str, Shape] = {"period": ()}
    if config.local_oscillators:
        shapes["lag"] = ()
    shapes |= {name: config.shape(name, body.joints) for name in config.synapses}
    if config.steering == "learned":
        shapes |= {"steering_weight": (3, 2), "steering_bias": (3,)}
    if "log_std" in weights:
        # The noise is for the body that was learned on; without it, a circuit of shared weights acts on any other.
        joints = np.shape(weights["log_std"])[-1:] if config.share_weights else ()
        shapes["log_std"] = joints or (body.joints,)
    where = f"agent ncap on the {body.joints} joints of body {body.name}"
    check_arrays(weights, shapes, where=where, positive=("period", "lag"))
