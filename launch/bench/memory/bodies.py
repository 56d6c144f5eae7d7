"""Does a circuit that adapts swim better than a fixed one on bodies that neither has seen? Returns by body."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from wormwood.agents.policies.interfaces import Floats
from wormwood.agents.references.playing import held_out_returns, trial_returns
from wormwood.envs.families.table import held_out_tasks
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.randomness import training_streams
from wormwood.launch.bench.rounds import Progress, mean_interval
from wormwood.launch.run.agent_files import load_agent
from wormwood.launch.run.run_folder import Run
from wormwood.launch.run.settings import load_config
from wormwood.launch.run.training import train

__all__ = ["bench_bodies"]

PRESETS = {"fixed": "swimmer-bodies-3-fixed", "tuned": "swimmer-bodies-3-modulated"}
TRIALS = 120
"""Held-out trials of each run, and as many on bodies of training."""
OTHER_STARTS = 99
"""Seed of trials on bodies of training: not that of a training run."""

Result = dict[str, object]


def bench_bodies(
    seeds: Iterable[int], updates: int | None, progress: Progress, *, overrides: Sequence[str] = ()
) -> Result:
    """Train both circuits with each seed, and play the same trials with all of them.

    Args:
        seeds: of the runs, which are paired.
        updates: iterations of each run; None is the preset's.
        progress: is told which run is trained.
        overrides: of the presets.

    Returns:
        By held-out body, for all of them and for the bodies of training: the mean return of each episode of a trial,
        such as ``fixed 1``, and the ``mean`` gain of an episode with Student's 95 % interval over the pairs.
    """
    held_out, known = [], []
    for seed in seeds:
        for arm in PRESETS:
            progress(f"{arm}, seed {seed}", 0.0)
            spec, new, old = _returns(arm, seed, [*overrides, *([f"iterations={updates}"] if updates else [])])
            held_out.append(new)
            known.append(old)
    returns, tasks = _paired(held_out), [task.values for task in held_out_tasks(spec.family, TRIALS, seed=0)]
    bodies = {
        f"{body[0]:g} links, {body[1]:g} Pa·s": returns[:, :, [task == body for task in tasks]]
        for body in sorted(set(tasks))
    }
    shown = {**bodies, "all held-out bodies": returns, "bodies of training": _paired(known)}
    return {name: _compared(pair) for name, pair in shown.items()}


def _returns(arm: str, seed: int, overrides: Sequence[str]) -> tuple[TrialSpec, Floats, Floats]:
    """Train one circuit, and return its returns ``[trials, episodes]`` on held-out bodies and on those of training."""
    config = load_config(PRESETS[arm], overrides=[*overrides, "evaluation_episodes=1"], seed=seed)
    spec = config.spec
    assert isinstance(spec, TrialSpec)
    with tempfile.TemporaryDirectory() as folder, Run.create(Path(folder) / "run", config.to_yaml()) as run:
        train(run, config)
        policy = load_agent(str(run.path)).policy(spec)
    known = trial_returns(policy, spec.simulate(TRIALS, streams=training_streams(OTHER_STARTS)))
    return spec, held_out_returns(policy, spec, TRIALS), known


def _paired(returns: Sequence[Floats]) -> Floats:
    """Return ``[2, seeds, trials, episodes]``, the fixed circuits first."""
    return np.stack([np.array(returns[0::2]), np.array(returns[1::2])])


def _compared(returns: Floats) -> dict[str, float]:
    means = {
        f"{arm} {episode}": float(value)
        for arm, arm_returns in zip(PRESETS, returns.mean(axis=(1, 2)), strict=True)
        for episode, value in enumerate(arm_returns, start=1)
    }
    return means | mean_interval((returns[1] - returns[0]).mean(axis=(1, 2)).tolist())
