"""A job on the cluster: the command line, told by ``WORMWOOD_JOB`` what to do.

It may be started again at any time, as after the loss of the head: a training whose folder is there goes on.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wormwood.errors import BadInput

__all__ = ["JOB", "main", "training_arguments"]

JOB = "WORMWOOD_JOB"
"""Environment variable that holds a ``jobs.Job`` as JSON."""
REPORT_SECONDS = 5.0


def training_arguments(job: dict[str, Any], *, address: str, folder: Path) -> list[str]:
    """Return the arguments of `wormwood` for a training: a new one, or one to go on with.

    Args:
        job: as ``jobs.Job`` is sent.
        address: of the cluster.
        folder: for the file of a new run's configuration.
    """
    common = [*job["words"], "--address", address, "--out", job["out"], "--json"]
    if job["config"] is None or (Path(job["out"]) / "config.yaml").exists():
        return ["train", *common, "--resume"]
    preset = folder / "job.yaml"
    preset.write_text(job["config"], encoding="utf-8")
    return ["train", str(preset), *common]


def main() -> int:
    """Run the job, and return its exit code."""
    from wormwood.launch import command_line

    job = json.loads(os.environ[JOB])
    if job["verb"] != "train":
        return command_line.main([job["verb"], *job["words"], "--json"])
    address = os.environ.get("RAY_ADDRESS", "")
    if address in ("", "auto", "local"):
        raise BadInput("a job without the address of its cluster in RAY_ADDRESS")
    with tempfile.TemporaryDirectory() as folder:
        done = threading.Event()
        threading.Thread(target=_report, args=(Path(job["out"]), done), daemon=True).start()
        try:
            return command_line.main(training_arguments(job, address=address, folder=Path(folder)))
        finally:
            done.set()


def _report(out: Path, done: threading.Event) -> None:
    """Say every few seconds how far a run has come, for whom follows it."""
    last = ""
    while not done.wait(REPORT_SECONDS):
        line = next(_last_metrics(out), {})
        parts = [f"iteration {line['iteration']}, {line['steps']:,} steps"] if line else []
        if line.get("return_mean") is not None:
            parts.append(f"return {line['return_mean']:.0f}")
        said = ", ".join(parts)
        if said and said != last:
            print(said, file=sys.stderr, flush=True)
        last = said


def _last_metrics(out: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in reversed(lines):
        try:
            yield json.loads(line)
        except ValueError:  # half written
            continue


if __name__ == "__main__":
    sys.exit(main())
