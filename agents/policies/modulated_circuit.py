"""A circuit whose weights depend on the body at hand, in NumPy: their logarithms are linear in cues of the trial.

With ``w_k`` the weights of the circuit and its period, each with the sign of its synapse, and cues ``c``::

    |w_k(c)| = clip(|w_k| exp(Σ_i B_ki c_i), low_k, high_k)
    c_links  = ln(L / 7)                   L links: one more than joints have been seen to bend
    c_return = ln((r + 0.05) / 0.5)        r mean reward of a step in the episodes that have ended; 0 before that

The cues, and that neuromodulation acts as a gain, are this project's choice. Evolution over many bodies learns ``w``
and ``B``. While the agent acts, both are fixed, and only the cues change.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wormwood.agents.policies import circuit as ncap
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.modulated_circuit_settings import WHERE, ModulatedNCAPConfig
from wormwood.agents.policies.search_space import Parameter, SearchSpace
from wormwood.agents.policies.weights import check_arrays, check_rows
from wormwood.envs.bodies import Body
from wormwood.envs.families.swimmer_bodies import SwimmerBodies
from wormwood.envs.families.trials import DONE, REWARD, TrialSpec
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["ModulatedNCAP", "cues_of", "initial_weights", "search_space"]

REFERENCE_LINKS = 7.0
"""L at which ``c_links`` is 0."""
REFERENCE_REWARD, REWARD_OFFSET = 0.5, 0.05
"""``c_return`` is 0 at a mean reward of 0.45, their difference. The offset keeps the logarithm finite where r is 0."""
MAX_MODULATION = 3.0
"""Bound of each ``|B_ki|`` in evolution: at 3, a weight changes with the third power of L / 7."""


def initial_weights(config: ModulatedNCAPConfig, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    """Return the weights of the circuit, its ``period``, and ``modulation [K, C]`` of K of them by C cues, zeros.

    Raises:
        BadInput: the environment is not trials of ``swimmer-bodies``.
    """
    weights = ncap.initial_weights(config.circuit, _largest_body(spec), rng)
    return {**weights, "modulation": np.zeros((len(config.modulated), len(config.cues)))}


def _largest_body(spec: EnvironmentSpec) -> Body:
    """Return the body of most links in the family of these trials."""
    if isinstance(spec, TrialSpec) and isinstance(spec.family, SwimmerBodies):
        return spec.family.largest
    raise bad_input("environment", where=WHERE, expected="trials of the family swimmer-bodies", got=spec.name)


def search_space(config: ModulatedNCAPConfig, weights: Arrays) -> SearchSpace:
    """Return how evolution searches the circuit, as ``ncap.search_space`` has it, and its modulation."""
    space = ncap.search_space(config.circuit, weights)
    if not config.cues:
        return replace(space, fixed={**space.fixed, "modulation": weights["modulation"]})
    modulation = Parameter("modulation", weights["modulation"].shape, low=-MAX_MODULATION, high=MAX_MODULATION)
    return replace(space, parameters=(*space.parameters, modulation))


def cues_of(config: ModulatedNCAPConfig, links: Floats, reward: Floats) -> Floats:
    """Return the cues ``[N, C]`` of numbers of links ``[N]`` and mean rewards ``[N]``, NaN where there is none yet."""
    known = {
        "links": np.log(links / REFERENCE_LINKS),
        "return": np.where(np.isnan(reward), 0.0, np.log((np.maximum(reward, 0.0) + REWARD_OFFSET) / REFERENCE_REWARD)),
    }
    return np.stack([known[cue] for cue in config.cues], axis=1) if config.cues else np.zeros((len(links), 0))


class ModulatedNCAP:
    """The circuit as a policy on trials; see ``wormwood.agents.policies.interfaces.Policy``.

    Weights may carry a leading population axis M, as those of ``NCAP`` may. A body's joints stand where those of the
    largest of the family do, and all are taken to have its limits.
    """

    def __init__(self, config: ModulatedNCAPConfig, weights: Arrays, spec: EnvironmentSpec) -> None:
        """Take the weights of ``initial_weights``.

        Raises:
            BadInput: the environment is not trials of ``swimmer-bodies``, or these are not the weights of the circuit.
        """
        self.config, self._body, self._layout = config, _largest_body(spec), spec.layout
        ncap.check_weights(config.circuit, weights, self._body)
        shape = len(config.modulated), len(config.cues)
        check_arrays(weights, {"period": (), "modulation": shape}, where=WHERE)
        names = (*config.circuit.synapses, "period", *("lag",) * config.circuit.local_oscillators)
        self._weights = {name: np.asarray(weights[name], dtype=np.float64).ravel() for name in names}
        # A single circuit is a population of one.
        self._modulation = weights["modulation"].reshape(len(self._weights["period"]), *shape)
        self._bounds = {name: _bounds(config, name) for name in config.modulated}
        self._latest: tuple[Floats, ncap.NCAP] | None = None

    def act(self, observation: Floats, state: Arrays, rng: np.random.Generator | None) -> tuple[Floats, Arrays, Arrays]:
        """Return the actions ``[N, J]`` of each trial's circuit, and the state from which its next cues follow.

        Raises:
            BadInput: N is no multiple of the number of candidates.
        """
        state = _next_state(observation, state, joints=self._layout.joints)
        steps = np.where(state["steps"] > 0, state["steps"], np.nan)
        cues = cues_of(self.config, 1.0 + state["moved"].sum(axis=1), state["earned"] / steps)
        action, _, _ = self._circuit(cues).act(observation, {}, None)
        return action, state, {}

    def _circuit(self, cues: Floats) -> ncap.NCAP:
        """Return the circuits of all N trials, which change only when the cues do."""
        if self._latest is None or not np.array_equal(self._latest[0], cues):
            tuned = ncap.NCAP(self.config.circuit, self.tuned(cues), body=self._body, layout=self._layout)
            self._latest = cues, tuned
        return self._latest[1]

    def tuned(self, cues: Floats) -> Arrays:
        """Return the weights ``[N]`` by name that answer cues ``[N, C]``; the rows belong to the candidates in turn."""
        rows, population = len(cues), len(self._weights["period"])
        check_rows(rows, population)
        each = {name: np.repeat(values, rows // population) for name, values in self._weights.items()}
        gains = np.exp(np.einsum("nkc,nc->nk", np.repeat(self._modulation, rows // population, axis=0), cues))
        for (name, (low, high)), gain in zip(self._bounds.items(), gains.T, strict=True):
            each[name] = np.sign(each[name]) * np.clip(np.abs(each[name]) * gain, low, high)
        return each


def _next_state(observation: Floats, state: Arrays, *, joints: slice) -> Arrays:
    """Return the state after an observation ``[N, D]``, each entry with a row for each trial; it begins with zeros.

    Entries: ``moved [N, J]``, 1 for each joint that has bent; ``earned`` and ``steps``, the rewards and control steps
    of the episodes that have ended; ``running`` and ``length``, those of the present one.
    """
    zeros = np.zeros(len(observation))
    before = state or {
        "moved": np.zeros_like(observation[:, joints]),
        **dict.fromkeys(("earned", "steps", "running", "length"), zeros),
    }
    ended, length = observation[:, DONE] > 0, before["length"]
    running = before["running"] + observation[:, REWARD]
    return {
        "moved": np.maximum(before["moved"], observation[:, joints] != 0),
        "earned": before["earned"] + np.where(ended, running, 0.0),
        "steps": before["steps"] + np.where(ended, length, 0.0),
        "running": np.where(ended, 0.0, running),
        "length": np.where(ended, 0.0, length) + 1.0,
    }


def _bounds(config: ModulatedNCAPConfig, name: str) -> tuple[float, float]:
    return config.circuit.bounds.get(name, (2.0, np.inf) if name == "period" else (0.0, np.inf))
