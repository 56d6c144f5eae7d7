"""How much memory an update takes at its peak, buffers included, by the length of the trial."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

from wormwood.envs.few_shot.sequences import Recall
from wormwood.launch.bench.memory.runs import Experiment, Pupil

__all__ = ["footprint"]


def footprint(length: int, *, every: int) -> float:
    """Return by how many KiB the resident memory of a fresh process grows at most in one update of 64 trials.

    The process has the trial already, and has learned from short ones. Linux only.

    Args:
        length: steps of the trial.
        every: steps of a window; 0 is full backpropagation.
    """
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_grown, (length, every))


def _grown(length: int, every: int) -> float:
    experiment = Experiment(Recall(length - 1), fast_every=every or 1, slow_every=0 if every else 1, feedback=every > 0)
    pupil = Pupil(experiment, 0)
    short = replace(experiment, task=Recall(7)).task
    for _ in range(5):
        pupil.learn(short)
    trial = pupil.trial(experiment.task)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident("VmRSS")
    pupil.learner.update(trial)
    return _resident("VmHWM") - before


def _resident(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))
