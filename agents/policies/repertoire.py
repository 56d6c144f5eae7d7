"""Circuits to choose from, in NumPy: try each for an episode, then play the one that has earned most.

With ``R_s`` the mean return so far of circuit s of S, the circuit of a trial's episode e, counted from 0, is e where
e < S, and else ``argmax_s R_s``: successive trial, or explore-then-commit whose choice is looked at after each episode.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies import circuit as ncap
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.repertoire_settings import RepertoireConfig
from wormwood.agents.policies.search_space import SearchSpace
from wormwood.envs.families.largest_body import largest_body
from wormwood.envs.families.trials import DONE, REWARD
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input

__all__ = ["Repertoire", "chosen_circuits", "initial_weights", "search_space"]

WHERE = "agent repertoire"


def initial_weights(config: RepertoireConfig, spec: EnvironmentSpec, rng: np.random.Generator) -> Arrays:
    """Return the weights of all S circuits, ``[S]`` by name of the synapse, and their ``period [S]``.

    Periods lie ``spread`` apart, the circuit's own in their middle.

    Raises:
        BadInput: the environment is not trials of ``swimmer-bodies``.
    """
    body, count = largest_body(spec, where=WHERE), config.circuits
    drawn = [ncap.initial_weights(config.circuit, body, rng) for _ in range(count)]
    weights = {name: np.stack([one[name] for one in drawn]) for name in drawn[0]}
    weights["period"] *= config.spread ** (np.arange(count) - (count - 1) / 2)
    return weights


def search_space(config: RepertoireConfig, weights: Arrays) -> SearchSpace:
    """Return how evolution searches the circuits: each weight of each as ``ncap.search_space`` has it."""
    space = ncap.search_space(config.circuit, {name: values[0] for name, values in weights.items()})
    parameters = tuple(replace(one, shape=(config.circuits, *one.shape)) for one in space.parameters)
    return SearchSpace(parameters, fixed={name: weights[name] for name in space.fixed})


def chosen_circuits(episode: Floats, earned: Floats, played: Floats) -> NDArray[np.intp]:
    """Return which circuit plays ``[N]``.

    Args:
        episode: ``[N]`` episodes of the trial that have ended.
        earned: ``[N, S]`` sum of the returns of each circuit.
        played: ``[N, S]`` episodes that each has played to the end; all have, once ``episode`` is S.
    """
    best = np.argmax(earned / np.maximum(played, 1.0), axis=1)
    return np.where(episode < earned.shape[1], episode.astype(np.intp), best)


class Repertoire:
    """The circuits as a policy on trials; see ``wormwood.agents.policies.interfaces.Policy``.

    Weights may carry a leading population axis M, as those of ``NCAP`` may. A body's joints stand where those of the
    largest of the family do, and all are taken to have its limits.
    """

    def __init__(self, config: RepertoireConfig, weights: Arrays, spec: EnvironmentSpec) -> None:
        """Take the weights of ``initial_weights``.

        Raises:
            BadInput: the environment is not trials of ``swimmer-bodies``, or these are not the weights of the circuits.
        """
        body = largest_body(spec, where=WHERE)
        for name, values in weights.items():
            if values.shape[-1:] != (config.circuits,):
                expected = f"one weight for each of {config.circuits} circuits"
                raise bad_input(name, where=WHERE, expected=expected, got=f"shape {values.shape}")
        self._circuits = [
            ncap.NCAP(
                config.circuit,
                {name: values[..., circuit] for name, values in weights.items()},
                body=body,
                layout=spec.layout,
            )
            for circuit in range(config.circuits)
        ]

    def act(self, observation: Floats, state: Arrays, rng: np.random.Generator | None) -> tuple[Floats, Arrays, Arrays]:
        """Return the actions ``[N, J]`` of the circuit that each trial plays, and what each has earned."""
        count, rows = len(observation), np.arange(len(observation))
        # A trial begins with zeros, and so does a memory.
        each = np.zeros((count, len(self._circuits)))
        memory = state or {"episode": np.zeros(count), "running": np.zeros(count), "earned": each, "played": each}
        episode, running, earned, played = (memory[name].copy() for name in ("episode", "running", "earned", "played"))
        before, ended = chosen_circuits(episode, earned, played), observation[:, DONE]
        running += observation[:, REWARD]
        earned[rows, before] += ended * running
        played[rows, before] += ended
        running, episode = np.where(ended > 0, 0.0, running), episode + ended
        memory = {"episode": episode, "running": running, "earned": earned, "played": played}
        actions = np.stack([circuit.act(observation, {}, None)[0] for circuit in self._circuits])
        return actions[chosen_circuits(episode, earned, played), rows], memory, {}
