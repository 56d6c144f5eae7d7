"""What memories learn by predicted gradients, and what that costs, beside truncated and full backpropagation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

from wormwood.agents.learning.memory.feedback import FeedbackPool
from wormwood.agents.learning.memory.learner import update_together
from wormwood.envs.few_shot.classification import Classification, PrototypeClasses
from wormwood.envs.few_shot.sequences import Copy, Recall
from wormwood.errors import bad_input
from wormwood.launch.bench.memory.bodies import bench_bodies
from wormwood.launch.bench.memory.footprint import footprint
from wormwood.launch.bench.memory.plastic_scores import bench_plasticity
from wormwood.launch.bench.memory.runs import Experiment, Pupil, Scores, play, with_median
from wormwood.launch.bench.memory.schedules import bench_schedules
from wormwood.launch.bench.rounds import Progress

__all__ = ["EXPERIMENTS", "bench_memory"]

Result = dict[str, object]

PROTOTYPES = Experiment(Classification(PrototypeClasses(noise=0.2), gap=1), rate=4e-3)
SOLVED = 0.95
"""Share of right answers from which recall and copy count as solved, which ends a run."""
RECALLED = (20, 30, 50, 100)
COPIED = (3, 5)
LENGTHS = (16, 64, 256, 1024)


def bench_memory(what: str, *, seeds: int = 5, updates: int | None = None, progress: Progress | None = None) -> Result:
    """Run one experiment.

    Args:
        what: a name of ``EXPERIMENTS``.
        seeds: how many, from 0.
        updates: of each run; None is as many as documented.
        progress: is told which arm runs, and the share of arms done.

    Returns:
        For each arm its scores on held-out trials by seed: shares of right answers, or mean square errors.

    Raises:
        BadInput: there is no such experiment.
    """
    if what not in EXPERIMENTS:
        names = list(EXPERIMENTS)
        expected = f"one of {', '.join(names)}"
        raise bad_input("unknown experiment", where="bench memory", expected=expected, got=what, nearest_to=names)
    return {"experiment": what} | EXPERIMENTS[what](range(seeds), updates, progress or _silent)


def _silent(stage: str, share: float) -> None:
    pass


def _compare(
    arms: Mapping[str, Experiment],
    seeds: Iterable[int],
    updates: int | None,
    progress: Progress,
    *,
    solved: float | None = None,
) -> Result:
    result: Result = {}
    for number, (name, experiment) in enumerate(arms.items()):
        scores, costs, counts = Scores(), Scores(), Scores()
        for seed in seeds:
            progress(f"{name}, seed {seed}", number / len(arms))
            outcome = play(replace(experiment, updates=updates or experiment.updates), seed, solved=solved)
            scores[str(seed)], costs[str(seed)], counts[str(seed)] = outcome.score, outcome.cpu_s, outcome.updates
        result |= {name: with_median(scores), f"{name}_cpu_s": with_median(costs)}
        if solved is not None:
            result[f"{name}_updates"] = with_median(counts)
    return result


def _few_shot(seeds: Iterable[int], updates: int | None, progress: Progress) -> Result:
    arms = {
        "synthetic": PROTOTYPES,
        "truncated": replace(PROTOTYPES, feedback=False),
        "shuffled": replace(PROTOTYPES, context="shuffled"),
        "full": replace(PROTOTYPES, feedback=False, slow_every=1),
    }
    return _compare(arms, seeds, updates, progress)


def _recall(seeds: Iterable[int], updates: int | None, progress: Progress) -> Result:
    base = Experiment(Recall(10), fast_every=3, updates=1000)
    arms = {"delay_10": base, "delay_10_truncated": replace(base, feedback=False)}
    return _compare(arms, seeds, updates, progress, solved=SOLVED)


def _horizons(seeds: Iterable[int], updates: int | None, progress: Progress) -> Result:
    base = Experiment(Recall(10), fast_every=3, updates=2000)
    arms = {f"delay_{delay}": replace(base, task=Recall(delay)) for delay in RECALLED}
    arms |= {f"copy_{length}": replace(base, task=Copy(length)) for length in COPIED}
    arms |= {f"{name}_truncated": replace(experiment, feedback=False) for name, experiment in arms.items()}
    arms["delay_20_lambda_0.5"] = replace(base, task=Recall(20), trace=0.5)
    result = _compare(arms, seeds, updates, progress, solved=SOLVED)
    scores = Scores()
    for seed in seeds:
        progress(f"delay_20_curriculum, seed {seed}", 1.0)
        scores[str(seed)] = _by_curriculum(replace(base, task=Recall(20), updates=updates or base.updates), seed)
    return result | {"delay_20_curriculum": with_median(scores)}


def _by_curriculum(experiment: Experiment, seed: int) -> float:
    """Learn with a delay that grows from 1 to the experiment's over the first half of the updates."""
    longest, pupil = experiment.task.steps - 1, Pupil(experiment, seed)
    while pupil.done < experiment.updates:
        delay = min(longest, 1 + 2 * longest * pupil.done // experiment.updates)
        pupil.learn(Recall(delay))
    return pupil.score()


def _sharing(seeds: Iterable[int], updates: int | None, progress: Progress) -> Result:
    """A second memory, half as long, with a module that the first has trained; and two memories at once."""
    experiment = replace(PROTOTYPES, updates=updates or PROTOTYPES.updates)
    arms: dict[str, Scores] = {"fresh": {}, "trained": {}, "together": {}}
    for seed in seeds:
        progress(f"seed {seed}", 0.0)
        pool = FeedbackPool()
        first = Pupil(experiment, 1000 + seed, pool=pool, name="shared")
        for _ in range(experiment.updates):
            first.learn()
        second, fresh = Pupil(experiment, seed, pool=pool, name="shared"), Pupil(experiment, seed)
        pool = FeedbackPool()
        pair = [Pupil(experiment, pupil_seed, pool=pool, name="shared") for pupil_seed in (seed, 1000 + seed)]
        for _ in range(experiment.updates // 2):
            second.learn()
            fresh.learn()
            update_together([pupil.learner for pupil in pair], [pupil.trial(experiment.task) for pupil in pair])
            for pupil in pair:
                pupil.done += 1
        for name, pupil in (("fresh", fresh), ("trained", second), ("together", pair[0])):
            arms[name][str(seed)] = pupil.score()
    return {name: with_median(scores) for name, scores in arms.items()}


def _footprint(seeds: Iterable[int], updates: int | None, progress: Progress) -> Result:
    arms = {"fast": 4, "full": 0}
    result: Result = {}
    for name, every in arms.items():
        kilobytes = {}
        for length in LENGTHS:
            progress(f"{name}, {length} steps", 0.0)
            kilobytes[str(length)] = footprint(length, every=every)
        result[f"{name}_kib"] = kilobytes
    return result


EXPERIMENTS: Mapping[str, Callable[[Iterable[int], int | None, Progress], Result]] = {
    "few-shot": _few_shot,
    "recall": _recall,
    "horizons": _horizons,
    "schedules": partial(bench_schedules, PROTOTYPES),
    "sharing": _sharing,
    "footprint": _footprint,
    "plasticity": partial(bench_plasticity, PROTOTYPES),
    "bodies": bench_bodies,
}
"""By name: (seeds, updates or None, progress) -> scores of its arms."""
