"""Jobs of a cluster: sent, followed, stopped, and sent again after the head was lost."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

import wormwood
from wormwood.errors import bad_input
from wormwood.launch.clusters.api import ClusterError, Head
from wormwood.launch.clusters.files import STRICT, SshCluster
from wormwood.launch.clusters.plans import CODE, JOB, Job
from wormwood.launch.clusters.state import ClusterState
from wormwood.launch.run.custom_code import source_files, zip_files
from wormwood.launch.storage.files import write_private
from wormwood.launch.storage.json_files import parse_json, read_json_object

__all__ = ["follow_job", "list_jobs", "read_record", "send_again", "send_job", "stop_job"]

ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
PATIENCE = 60.0
"""Seconds for which a head may be silent, as while the network is broken."""


def send_job(head: Head, state: ClusterState, job: Job, *, send_package: bool = False) -> str:
    """Send a job and return its name. It goes on without us from then on.

    Args:
        head: of the cluster.
        state: of the cluster, in whose folder the job is noted.
        job: what to do.
        send_package: send our own package along, in place of the one that is installed on the cluster.

    Raises:
        ClusterError: the head does not take it.
    """
    cluster = state.parsed()
    python = cluster.python if isinstance(cluster, SshCluster) else sys.executable
    environment: dict[str, Any] = {"env_vars": {JOB: job.to_json()}}
    content = pack(package=send_package, code=job.code)
    if content:
        environment["working_dir"] = f"gcs://{_package_name(content)}"
    name = f"{job.verb}-{secrets.token_hex(4)}"
    request = {
        "entrypoint": f"{shlex.quote(python)} -m wormwood.launch.cli.job_entry",
        "submission_id": name,
        "runtime_env": environment,
        "metadata": {"verb": job.verb, "run": job.out or ""},
    }
    _send(head, request, content)
    _note(state, name, {"request": request, "ended": False, "package": send_package, "code": job.code})
    return name


def _send(head: Head, request: dict[str, Any], content: bytes) -> None:
    """Send a request to a head that may not be quite ready yet."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if content:
                head.put(f"/api/packages/gcs/{_package_name(content)}", content)
            head.post("/api/jobs/", request)
            return
        except ClusterError as error:
            if error.code in (400, 401, 403) or time.monotonic() > deadline:
                raise
            time.sleep(1)


def pack(*, package: bool, code: Sequence[str]) -> bytes:
    """Return a zip file of what a job takes along, or nothing.

    Args:
        package: take this package.
        code: folders with modules of the user's, which come to stand under ``CODE``.
    """
    files = _package_files() if package else {}
    files |= {f"{CODE}/{name}": content for name, content in source_files(map(Path, code)).items()}
    return zip_files(files) if files else b""


def _package_files() -> dict[str, bytes]:
    root = Path(wormwood.__file__).parent
    # Its folders may be links; pathlib does not follow those by itself.
    folders = [root, *(path for path in root.iterdir() if path.is_dir())]
    paths = {path for folder in folders for path in (folder.glob("*") if folder == root else folder.rglob("*"))}
    chosen = [path for path in paths if path.is_file() and path.suffix in (".py", ".yaml", ".typed")]
    return {f"wormwood/{path.relative_to(root).as_posix()}": path.read_bytes() for path in chosen}


def _package_name(content: bytes) -> str:
    return f"_ray_pkg_{hashlib.sha256(content).hexdigest()[:32]}.zip"


def follow_job(head: Head, name: str, emit: Callable[[str], None]) -> dict[str, Any]:
    """Pass on what a job says until it ends.

    Returns:
        ``status`` (SUCCEEDED, FAILED or STOPPED), ``run``, and ``result``: the JSON object that it printed, if any.

    Raises:
        ClusterError: there is no such job, or the head is silent for too long.
    """
    shown, heard, text = 0, time.monotonic(), ""
    while True:
        try:
            found = head.get(f"/api/jobs/{name}")
            text = head.get(f"/api/jobs/{name}/logs")["logs"] or ""
            heard = time.monotonic()
        except ClusterError as error:
            if error.code in (401, 403, 404) or time.monotonic() - heard > PATIENCE:
                raise
            time.sleep(1)
            continue
        whole = text if found["status"] in ENDED else text[: text.rfind("\n") + 1]
        # The result, one JSON object in a line, is what is returned.
        said = [line for line in whole[shown:].splitlines() if line.strip() and not line.startswith("{")]
        if said:
            emit("\n".join(said))
        shown = max(shown, len(whole))
        if found["status"] in ENDED:
            result = {"status": found["status"], "run": (found.get("metadata") or {}).get("run") or None}
            return {**result, "result": _result(text), "message": _reason(text)}
        time.sleep(1)


def _result(text: str) -> dict[str, Any] | None:
    """Return the last JSON object of a log."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                found: dict[str, Any] = parse_json(line)
                return found
            except ValueError:
                continue
    return None


def _reason(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if line.startswith("wormwood: ")), (lines or ["it said nothing"])[-1])


def stop_job(head: Head, name: str) -> str:
    """Have a job stopped, which leaves a checkpoint of a training, and return its status. Errors as ``follow_job``."""
    status = str(head.get(f"/api/jobs/{name}")["status"])
    if status in ENDED:
        return status
    head.post(f"/api/jobs/{name}/stop", {})
    return "STOPPING"


def list_jobs(head: Head, state: ClusterState) -> list[dict[str, Any]]:
    """Return name, status and run of each job that we sent, the oldest first, and note which have ended.

    One that had ended keeps its status where the head was lost; others are ``LOST`` until they are sent again.
    """
    known = {job["submission_id"]: job for job in head.get("/api/jobs/") if job.get("submission_id")}
    jobs = []
    for path, record in _records(state):
        found = known.get(path.stem)
        status = found["status"] if found else record["status"] or "LOST"
        if status in ENDED and status != record["status"]:
            _note(state, path.stem, {**record, "ended": True, "status": status})
        metadata = record["request"]["metadata"]
        jobs.append({"job": path.stem, "verb": metadata["verb"], "status": status, "run": metadata["run"] or None})
    return jobs


def send_again(head: Head, state: ClusterState) -> list[str]:
    """Send the jobs of a lost head that had not ended, and return their names. A training goes on where it was."""
    sent = []
    for path, record in _records(state):
        if record["ended"]:
            continue
        request = record["request"]
        content = pack(package=record["package"], code=record["code"])
        if content:
            request["runtime_env"]["working_dir"] = f"gcs://{_package_name(content)}"
        _send(head, request, content)
        sent.append(path.stem)
    return sent


def _note(state: ClusterState, name: str, record: dict[str, Any]) -> None:
    folder = state.folder / "jobs"
    folder.mkdir(exist_ok=True, mode=0o700)
    write_private(folder / f"{name}.json", json.dumps(record))


def _records(state: ClusterState) -> list[tuple[Path, dict[str, Any]]]:
    paths = sorted((state.folder / "jobs").glob("*.json"), key=lambda path: path.stat().st_ctime)
    return [(path, read_record(path)) for path in paths]


def read_record(path: Path) -> dict[str, Any]:
    """Return what was noted of a job.

    Raises:
        BadInput: it is not what ``send_job`` notes.
    """
    fields = read_json_object(path, what="job")
    try:
        record = _ADAPTER.validate_json(json.dumps(fields))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part)[:60] for part in problem["loc"])
        raise bad_input(key, where=str(path), expected=problem["msg"], got=problem["input"]) from None
    return dataclasses.asdict(record)


@dataclass(frozen=True)
class _Metadata:
    __pydantic_config__ = STRICT

    verb: str
    run: str


@dataclass(frozen=True)
class _Request:
    __pydantic_config__ = STRICT

    entrypoint: str
    submission_id: str
    runtime_env: dict[str, Any]
    metadata: _Metadata


@dataclass(frozen=True)
class _Record:
    """What is noted of a job, so that it can be sent again."""

    __pydantic_config__ = STRICT

    request: _Request
    ended: bool
    package: bool
    code: list[str]
    status: str = ""
    """How it ended."""


_ADAPTER = TypeAdapter(_Record)
