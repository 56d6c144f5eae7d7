"""Does a trained memory gain by learning on at test time? Frozen against plastic, on the usual trials and on others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from wormwood.envs.few_shot.classification import Classification, PrototypeClasses
from wormwood.envs.few_shot.trials import FewShotTask
from wormwood.launch.bench.memory.few_shot import answer_scores, frozen_answers
from wormwood.launch.bench.memory.plasticity import PlasticityConfig, plastic_answers
from wormwood.launch.bench.memory.runs import Experiment, Pupil, Scores, with_median
from wormwood.launch.bench.rounds import Progress, mean_interval

__all__ = ["bench_plasticity"]

Result = dict[str, object]

SHIFTS: Mapping[str, FewShotTask] = {
    "noisier": Classification(PrototypeClasses(noise=0.6), gap=1),
    "closer": Classification(PrototypeClasses(noise=0.1, spread=0.3), gap=1),
    "moved": Classification(PrototypeClasses(noise=0.2, centre=2.0), gap=1),
}
"""Trials of other distributions than ``PROTOTYPES``, which has noise 0.2, spread 1 and centre 0."""
ALONE = 2000
"""Trials that are adapted to each on its own."""
COPIES, LENGTH, LATE = 32, 256, 64
"""Streams, trials in each, and the last so many of them, which show what was reached."""
WITHIN = PlasticityConfig(read_rate=0.3, output_rate=0.3, write_rate=0.3)
"""For one trial; rates of 1 and more harm."""
ALONG = PlasticityConfig()
"""For a stream; chosen, with the rates above, on seeds 100 to 102."""


def bench_plasticity(experiment: Experiment, seeds: Iterable[int], updates: int | None, progress: Progress) -> Result:
    """Train a memory for each seed, and let copies of it learn on from held-out trials.

    Args:
        experiment: what is trained; its task is also tested, as ``same``.
        seeds: of weights and trials.
        updates: of the training; None is the experiment's.
        progress: is told which seed is played.

    Returns:
        Scores by seed, and ``median``, of ``TASK_REGIME_ARM``. Regimes are ``trial`` (each trial from the trained
        weights), ``stream`` and ``late`` (the whole of each stream, and its end). Arms are ``frozen``, ``synthetic``
        (predicted gradients), ``truncated`` (none beyond the window) and ``full`` (one window of the whole trial).
        Beside each plastic arm its ``_gain`` over frozen with the 95 % interval of the mean over seeds.
    """
    tasks = {"same": experiment.task, **SHIFTS}
    arms: dict[str, Scores] = {}
    for seed in seeds:
        progress(f"seed {seed}, training", 0.0)
        pupil = Pupil(replace(experiment, updates=updates or experiment.updates), seed)
        while pupil.done < pupil.experiment.updates:
            pupil.learn()
        for number, (name, task) in enumerate(tasks.items()):
            progress(f"seed {seed}, {name}", number / len(tasks))
            for arm, score in _scores(pupil, task).items():
                arms.setdefault(f"{name}_{arm}", {})[str(seed)] = score
    result: Result = {}
    for arm, scores in arms.items():
        result[arm] = with_median(scores)
        frozen = arms[arm.rsplit("_", 1)[0] + "_frozen"]
        if scores is not frozen:
            result[f"{arm}_gain"] = mean_interval([scores[seed] - frozen[seed] for seed in scores])
    return result


def _scores(pupil: Pupil, task: FewShotTask) -> Scores:
    """Return the scores of a trained memory by regime and arm."""
    whole = replace(ALONG, fast_every=task.steps)
    alone = _shares(pupil, task, length=1, copies=ALONE, arms={"frozen": None, "synthetic": WITHIN})
    arms = {"frozen": None, "synthetic": ALONG, "truncated": ALONG, "full": whole}
    along = _shares(pupil, task, length=LENGTH, copies=COPIES, arms=arms)
    scores = {f"trial_{arm}": float(scores_of_arm.double().mean()) for arm, scores_of_arm in alone.items()}
    for arm, scores_of_arm in along.items():
        scores |= {
            f"stream_{arm}": float(scores_of_arm.double().mean()),
            f"late_{arm}": float(scores_of_arm[-LATE:].double().mean()),
        }
    return scores


def _shares(
    pupil: Pupil, task: FewShotTask, *, length: int, copies: int, arms: Mapping[str, PlasticityConfig | None]
) -> dict[str, torch.Tensor]:
    """Return the scores ``[L, A, S]`` of each arm on the same held-out streams; None is frozen."""
    stream = [task.sample(pupil.seed, number, copies, held_out=True) for number in range(length)]
    found, network, head = dict[str, torch.Tensor](), pupil.network, pupil.head
    for arm, config in arms.items():
        if config is None:
            answers = torch.stack([frozen_answers(network, head, batch) for batch in stream])
        else:
            expectation = pupil.learner.expectation if arm == "synthetic" else None
            answers = plastic_answers(network, head, stream, task=task, config=config, expectation=expectation)
        pairs = zip(answers, stream, strict=True)
        found[arm] = torch.stack([answer_scores(given, batch, task) for given, batch in pairs])
    return found
