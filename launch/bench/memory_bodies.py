"""Does it pay to try circuits on a body that is not told? A fixed circuit against a repertoire of two."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Floats
from wormwood.agents.policies.repertoire import Repertoire, chosen_circuits
from wormwood.agents.policies.repertoire_settings import RepertoireConfig
from wormwood.agents.references.playing import held_out_returns, trial_returns
from wormwood.envs.families.swimmer_bodies import SwimmerBodies
from wormwood.envs.families.table import held_out_tasks
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.randomness import training_streams
from wormwood.launch.bench.rounds import Progress

__all__ = ["CANDIDATES", "bench_bodies", "played_in_turn"]

CANDIDATES = ((40.0, 2.0), (60.0, 1.0), (90.0, 1.0), (90.0, 4.0), (130.0, 1.0))
"""Period in control steps and weight of proprioception of the circuits to choose from."""
TRIALS = 24
"""On training bodies, to choose by, and on held-out ones, to judge by; of each seed."""
EPISODES = 3

Result = dict[str, object]


def bench_bodies(
    seeds: Iterable[int], progress: Progress, *, spec: TrialSpec | None = None, trials: int = TRIALS
) -> Result:
    """Choose the best fixed circuit and the best two to try on training bodies, and judge them on held-out ones.

    Starts do not depend on actions, so a trial of a repertoire follows from those of its circuits alone.

    Args:
        seeds: of bodies and starts.
        progress: is told which seed is played.
        spec: what is played; None is three episodes of ``swimmer-bodies``.
        trials: of each seed, for either purpose.

    Returns:
        Mean returns by episode, and of the whole trial, of the ``fixed`` circuit, of the ``repertoire``, and of the
        ``gain`` of the second over the first, with its 95 % interval over the paired trials of all seeds. And
        ``in_hindsight``, of who always plays the circuit that is best on the held-out body: it is chosen and judged
        by the same trials, and so too high. ``chosen`` names the circuits by period and proprioception.
    """
    spec = spec or TrialSpec(SwimmerBodies(), EPISODES)
    fixed, both, hindsight, chosen = [], [], [], {}
    for seed in seeds:
        progress(f"seed {seed}", 0.0)
        known = _alone(spec, trials, seed, held_out=False)
        new = _alone(spec, trials, seed, held_out=True)
        one = int(known.mean(axis=(1, 2)).argmax())
        pairs = list(itertools.permutations(range(len(CANDIDATES)), 2))
        pair = max(pairs, key=lambda members: played_in_turn(known[list(members)]).mean())
        fixed.append(new[one])
        both.append(played_in_turn(new[list(pair)]))
        hindsight.append(_best_of_each_body(new, spec, trials, seed))
        chosen[str(seed)] = f"{_named([one])} / {_named(pair)}"
    first, second = np.concatenate(fixed), np.concatenate(both)
    gain = (second - first).sum(axis=1)
    half = 1.96 * float(gain.std()) / len(gain) ** 0.5
    mean = float(gain.mean())
    return {
        "fixed": _by_episode(first),
        "repertoire": _by_episode(second),
        "in_hindsight": _by_episode(np.concatenate(hindsight)),
        "gain": {**_by_episode(second - first), "low": mean - half, "high": mean + half},
        "chosen": chosen,
    }


def played_in_turn(alone: Floats) -> Floats:
    """Return the returns ``[N, K]`` of a repertoire of S circuits from those of each alone ``[S, N, K]``."""
    circuits, count, episodes = alone.shape
    rows = np.arange(count)
    earned, played, returns = np.zeros((count, circuits)), np.zeros((count, circuits)), np.zeros((count, episodes))
    for episode in range(episodes):
        circuit = chosen_circuits(np.full(count, float(episode)), earned, played)
        returns[:, episode] = alone[circuit, rows, episode]
        earned[rows, circuit] += returns[:, episode]
        played[rows, circuit] += 1
    return returns


def _alone(spec: TrialSpec, trials: int, seed: int, *, held_out: bool) -> Floats:
    """Return the returns ``[C, trials, K]`` of each candidate."""
    config = RepertoireConfig(circuits=1, circuit=NCAPConfig(learn_period=True))
    returns = []
    for period, prop in CANDIDATES:
        weights = {"prop": prop, "osc": 0.5, "ipsi": 1.0, "contra": -1.0, "period": period}
        policy = Repertoire(config, {name: np.array([value]) for name, value in weights.items()}, spec)
        if held_out:
            returns.append(held_out_returns(policy, spec, trials, seed=seed))
        else:
            returns.append(trial_returns(policy, spec.simulate(trials, streams=training_streams(seed))))
    return np.stack(returns)


def _best_of_each_body(alone: Floats, spec: TrialSpec, trials: int, seed: int) -> Floats:
    """Return the returns ``[trials, K]`` of the candidate that is best on the body of each held-out trial."""
    tasks = held_out_tasks(spec.family, trials, seed=seed)
    best = np.empty(alone.shape[1:])
    for task in set(tasks):
        rows = np.array([other == task for other in tasks])
        best[rows] = alone[alone[:, rows].mean(axis=(1, 2)).argmax(), rows]
    return best


def _named(members: Sequence[int]) -> str:
    return " then ".join(f"{CANDIDATES[member][0]:g}, {CANDIDATES[member][1]:g}" for member in members)


def _by_episode(returns: Floats) -> dict[str, float]:
    means = {f"episode {number}": float(value) for number, value in enumerate(returns.mean(axis=0), start=1)}
    return {**means, "trial": float(returns.sum(axis=1).mean())}
