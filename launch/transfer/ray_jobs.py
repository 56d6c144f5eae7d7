"""Jobs as Ray tasks: Ray repeats those whose worker dies, which gives the same outcome."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import ray

from wormwood.launch.run.custom_code import opened, pack
from wormwood.launch.run.ray_session import get_result, ray_session
from wormwood.launch.transfer.zero_shot import EvaluationJob, Outcome, run_job

__all__ = ["run_on_ray"]


def run_on_ray(jobs: Sequence[EvaluationJob], *, workers: int, address: str) -> Iterator[tuple[int, Outcome]]:
    """Give the place and the outcome of each job as they get done, with ``workers`` of them at a time."""
    task = ray.remote(num_cpus=1, max_retries=3)(_run)
    with ray_session(workers, address=address):
        waiting = list(enumerate(jobs))
        running: dict[Any, int] = {}
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    index, job = waiting.pop(0)
                    running[task.remote(pack(job))] = index
                done, _ = ray.wait(list(running), num_returns=1)
                for reference in done:
                    yield running.pop(reference), get_result(reference)
        finally:
            with contextlib.suppress(Exception):  # Ray may be gone, too: what ended the loop is what counts
                for reference in running:
                    ray.cancel(reference, force=True)


def _run(packed: Any) -> Outcome:
    """Do a job, which comes with the modules of the user's that its agent and its task need."""
    return run_job(opened(packed))
