"""A job on the cluster: the command line, told by ``WORMWOOD_JOB`` what to do.

It may be started again at any time, as after the loss of the head: a run or report whose folder is there goes on.
"""

from __future__ import annotations

import datetime
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from wormwood.errors import BadInput
from wormwood.launch.clusters.plans import CODE, JOB
from wormwood.launch.storage.mirrors import Mirror, StorageError, has_run, is_url

__all__ = ["job_arguments", "main"]

REPORT_SECONDS = 5.0


def job_arguments(job: dict[str, Any], *, address: str, folder: Path) -> list[str]:
    """Return the arguments of `wormwood` for a job: a new one, or one to go on with.

    Args:
        job: as ``plans.Job`` is sent.
        address: of the cluster.
        folder: for the file of a new run's configuration.
    """
    from wormwood.launch.transfer.plan import OUTCOMES

    given = list(job["words"])
    in_driver = "--workers" in given and given[len(given) - given[::-1].index("--workers")] == "0"
    words = [*given, *([] if in_driver else ["--address", address]), "--out", job["out"], "--json"]
    if job["verb"] == "transfer":
        begun = Path(job["out"], OUTCOMES).is_dir() and "--resume" not in words
        return ["transfer", *words, *(["--resume"] if begun else [])]
    if job["config"] is None or has_run(job["out"]):
        return ["train", *words, "--resume"]
    preset = folder / "job.yaml"
    preset.write_text(job["config"], encoding="utf-8")
    return ["train", str(preset), *words]


def main() -> int:
    """Run the job, and return its exit code."""
    from wormwood.launch.cli import main as command_line

    job = json.loads(os.environ[JOB])
    address = os.environ.get("RAY_ADDRESS", "")
    if address in ("", "auto", "local"):
        raise BadInput("a job without the address of its cluster in RAY_ADDRESS")
    if Path(CODE).is_dir():
        sys.path.append(str(Path(CODE).resolve()))  # behind all others: it hides nothing
    if job["folder"] is not None:
        os.chdir(job["folder"])
    with tempfile.TemporaryDirectory() as folder:
        # Whoever sent the job has noted the user's classes, with their own folder; the job is told to trust them.
        os.environ["XDG_STATE_HOME"] = folder
        done = threading.Event()
        threading.Thread(target=_report, args=(job["out"], done), daemon=True).start()
        try:
            return command_line.main(job_arguments(job, address=address, folder=Path(folder)))
        finally:
            done.set()


def _report(out: str, done: threading.Event) -> None:
    """Say every few seconds how far a job has come, for whom follows it."""
    last = ""
    while not done.wait(REPORT_SECONDS):
        said = _progress(out)
        if said and said != last:
            print(said, file=sys.stderr, flush=True)
        last = said


def _progress(out: str) -> str:
    """Return how far a run or report has come, or nothing."""
    from wormwood.launch.transfer.plan import OUTCOMES

    line = next(_last_metrics(_reader_of(out, "metrics.jsonl")), {})
    parts = _training_progress(line, _iterations(_reader_of(out, "config.yaml"))) if line else []
    measured = 0 if is_url(out) else len(list(Path(out, OUTCOMES).glob("*.json")))
    return ", ".join([*parts, *([f"{measured} agents on bodies measured"] if measured else [])])


def _training_progress(line: Mapping[str, Any], iterations: int | None) -> list[str]:
    """Return what a line of metrics says of a training of so many iterations."""
    done, seconds = line["iteration"], line.get("seconds") or 0.0
    parts = [f"iteration {done}" + (f" of {iterations}" if iterations else ""), f"{line['steps']:,} steps"]
    if seconds:
        parts.append(f"{line['steps'] / seconds:,.0f} steps/s")
    if seconds and iterations and done < iterations:
        parts.append(f"{datetime.timedelta(seconds=round(seconds / done * (iterations - done)))} left")
    if line.get("return_mean") is not None:
        parts.append(f"return {line['return_mean']:.0f}")
    return parts


def _reader_of(out: str, name: str) -> Callable[[], str]:
    """Return what reads a file of a run, at a URL as it was sent there with the last checkpoint."""
    if is_url(out):
        return partial(Mirror(out).read_text, name)
    return partial(Path(out, name).read_text, encoding="utf-8")


def _iterations(read: Callable[[], str]) -> int | None:
    """Return how many iterations a run's configuration asks for."""
    try:
        return int(yaml.safe_load(read())["iterations"])
    except (OSError, StorageError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return None


def _last_metrics(read: Callable[[], str]) -> Iterator[dict[str, Any]]:
    try:
        lines = read().splitlines()
    except (OSError, StorageError):
        return
    for line in reversed(lines):
        try:
            yield json.loads(line)
        except ValueError:  # half written
            continue


if __name__ == "__main__":
    sys.exit(main())
