"""Runs the jobs of a report, each once: what was finished before an interruption is read from its file."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import TypeAdapter

from wormwood.launch.run.interrupts import interrupts_deferred
from wormwood.launch.storage.files import to_json, write_text_atomic
from wormwood.launch.transfer.zero_shot import EvaluationJob, Outcome, run_job

__all__ = ["OutcomeFiles", "measure"]

_OUTCOME = TypeAdapter(Outcome)


class OutcomeFiles:
    """Finished outcomes, one JSON file each, named by what they depend on."""

    def __init__(self, folder: Path) -> None:
        """Keep them in a folder, which is made where missing."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, job: EvaluationJob) -> Outcome | None:
        """Return the outcome of a job, or None where there is none, or only a damaged one."""
        return self.read_key(job.key, job.starts)

    def read_key(self, key: str, starts: int) -> Outcome | None:
        """Return the outcome of a job of this key and so many starts, or None as ``read`` does."""
        try:
            outcome = _OUTCOME.validate_python(json.loads(self._path(key).read_text(encoding="utf-8"))["outcome"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        complete = outcome.reason is not None or len(outcome.returns) == starts
        return outcome if complete else None

    def write(self, job: EvaluationJob, outcome: Outcome) -> None:
        """Keep an outcome; a reader, or a crash, finds all of it or nothing."""
        described = {"agent": job.agent.name, "body": job.spec.body.name, "outcome": dataclasses.asdict(outcome)}
        write_text_atomic(self._path(job.key), to_json(described) + "\n")

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def measure(
    jobs: Sequence[EvaluationJob],
    folder: Path,
    *,
    workers: int = 0,
    address: str = "local",
    progress: Callable[[int], None] = lambda done: None,
) -> list[Outcome]:
    """Return the outcome of every job.

    Args:
        jobs: what to measure.
        folder: of finished outcomes, which are not measured again.
        workers: Ray workers; 0 measures in this process. The outcomes are the same.
        address: of a running Ray cluster; ``"local"`` starts one for this call.
        progress: is told how many jobs are done.
    """
    files = OutcomeFiles(folder)
    outcomes = {k: outcome for k, job in enumerate(jobs) if (outcome := files.read(job)) is not None}
    progress(len(outcomes))
    missing = [k for k in range(len(jobs)) if k not in outcomes]
    if workers:
        # The longest first, so that no worker is left with one at the end.
        missing.sort(key=lambda k: -jobs[k].spec.body.links)
    for index, outcome in _run([jobs[k] for k in missing], workers=workers, address=address):
        k = missing[index]
        with interrupts_deferred():
            files.write(jobs[k], outcome)
            outcomes[k] = outcome
            progress(len(outcomes))
    return [outcomes[k] for k in range(len(jobs))]


def _run(jobs: Sequence[EvaluationJob], *, workers: int, address: str) -> Iterator[tuple[int, Outcome]]:
    """Give each job's place and outcome, when it is done."""
    if workers == 0 or not jobs:
        yield from ((index, run_job(job)) for index, job in enumerate(jobs))
        return
    from wormwood.launch.transfer.ray_jobs import run_on_ray

    yield from run_on_ray(jobs, workers=min(workers, len(jobs)), address=address)
