"""Checkpoints that are complete or not there: written aside, forced to the disk, then renamed; checked when loaded."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import platform
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from wormwood.errors import BadInput, bad_input
from wormwood.launch.storage.checkpoint_files import (
    TEMPORARY,
    CheckpointError,
    DamagedCheckpoint,
    Watch,
    describe_file,
    name_aside,
    read_checked,
    read_file,
    seal,
    sync,
    write_file,
)
from wormwood.launch.storage.files import sync_directory
from wormwood.launch.storage.json_files import parse_json
from wormwood.launch.storage.segments import (
    SEGMENTS,
    pack_arrays,
    read_segments,
    referenced_files,
    remove_segments,
    set_aside_damaged_segments,
    split_segments,
    unreferenced_segments,
    write_segments,
)
from wormwood.launch.storage.states import State, state_sha256
from wormwood.launch.storage.versions import installed_versions

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "DamagedCheckpoint",
    "list_checkpoints",
    "load_checkpoint",
    "load_newest",
    "save_checkpoint",
]

SCHEMA = 2
STATE_FILE = "state.safetensors"
MANIFEST_FILE = "MANIFEST.json"
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}


@dataclass(frozen=True)
class Checkpoint:
    """What was saved, checked to the last bit."""

    path: Path
    step: int
    state: State
    """The arrays, writable."""
    metadata: dict[str, Any]
    state_sha256: str
    config_hash: str
    warnings: tuple[str, ...]
    """Differences, by name, between where it was saved and here, which may change the bits of what follows."""


def save_checkpoint(
    directory: Path,
    step: int,
    state: Mapping[str, NDArray[Any]],
    metadata: Mapping[str, object],
    *,
    config_hash: str = "",
    keep: int = 3,
    keep_best: str | None = None,
    watch: Watch = lambda operation, path: None,
) -> Path:
    """Write ``directory/step-N`` and prune older ones. Killed at any point, it leaves a complete checkpoint to load.

    Entries of a segment (see ``split_segments``) are written to ``directory/segments`` unless they are there.

    Args:
        directory: made where missing; it must have one writer at a time.
        step: N; saving a step again is allowed with the same state, and replaces a damaged checkpoint.
        state: what to save, arrays of any shape by name.
        metadata: anything that JSON holds; numbers that are not finite become null.
        config_hash: names the configuration that the state belongs to.
        keep: how many of the newest stay.
        keep_best: key of ``metadata`` by which the best checkpoint stays too; larger is better.
        watch: lets a test interrupt the writing anywhere.

    Returns:
        The checkpoint's path.

    Raises:
        BadInput: the directory cannot be written, or the state has entries that are not numbers.
        CheckpointError: writing failed; what was there before still is.
    """
    others, segments = split_segments(state)
    if step < 0 or keep < 1 or any("__metadata__" in arrays for arrays in (others, *segments.values())):
        raise ValueError(f"expected step >= 0, keep >= 1 and no entry '__metadata__', got {step=}, {keep=}")
    final, temporary = directory / f"step-{step}", directory / f"{TEMPORARY}step-{step}"
    described = _describe(step, state_sha256(state), config_hash)
    try:
        _prepare(directory, temporary, watch)
    except OSError as error:
        kind = BadInput if error.errno in _NOT_WRITABLE else CheckpointError
        raise kind(f"cannot write checkpoints to {directory}: {error.strerror}") from error
    try:
        if not _already_saved(final, described):
            described |= {"segments": write_segments(directory / SEGMENTS, segments, watch), "metadata": metadata}
            _write_checkpoint(temporary, described, pack_arrays(others), watch)
            watch("rename", temporary)
            temporary.rename(final)
            sync(directory, watch)
        _prune(directory, {final, *list_checkpoints(directory)[-keep:]}, keep_best, watch)
        _prune_segments(directory, watch)
    except OSError as error:
        # Segments of a checkpoint that never came must not fill the disk for the next one.
        with contextlib.suppress(OSError):
            _prune_segments(directory, lambda operation, path: None)
        raise CheckpointError(f"cannot write checkpoint {final}: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return final


def load_checkpoint(path: Path, *, config_hashes: Sequence[str] = ()) -> Checkpoint:
    """Read one checkpoint. Nothing in it is run, and nothing is returned before all of it has been checked.

    Raises:
        DamagedCheckpoint: a file is missing, or any bit is not as it was saved.
        BadInput: its configuration is none of ``config_hashes``, if there are any, or another version of this package
            made its format.
        CheckpointError: the operating system refuses to read it.
    """
    manifest = _read_manifest(path)
    try:
        step, saved_sha256 = int(manifest["step"]), str(manifest["state_sha256"])
        metadata, saved_config = dict(manifest["metadata"]), str(manifest["config_hash"])
        data = read_checked(path / STATE_FILE, checkpoint=path, **manifest["files"][STATE_FILE])
        state = safetensors.numpy.load(data)
        state |= read_segments(path.parent / SEGMENTS, manifest["segments"], checkpoint=path)
        warnings = _differences(manifest, _describe(step, saved_sha256, saved_config))
    except (AttributeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        if isinstance(error, DamagedCheckpoint):
            raise
        raise DamagedCheckpoint(path, f"cannot be understood: {error!r}") from error
    if state_sha256(state) != saved_sha256:
        raise DamagedCheckpoint(path, "its arrays do not have the SHA-256 of the manifest")
    if config_hashes and saved_config not in config_hashes:
        what = "checkpoint of another configuration"
        raise bad_input(what, where=str(path), expected=f"config hash {config_hashes[0]!r}", got=saved_config)
    return Checkpoint(path, step, state, metadata, saved_sha256, saved_config, warnings)


def load_newest(
    directory: Path, *, on_skip: Callable[[Path, str], None], config_hashes: Sequence[str] = ()
) -> Checkpoint | None:
    """Read the newest good checkpoint, or return None where there is none.

    Damaged ones are set aside as ``corrupt-step-N``, and damaged segments as ``corrupt-NAME``, so that both can be
    saved again, and told to ``on_skip`` with the reason.

    Raises:
        BadInput, CheckpointError: as ``load_checkpoint``.
    """
    tried: set[Path] = set()
    candidates = list_checkpoints(directory)
    segments_checked = False
    while candidates:
        newest = candidates.pop()
        tried.add(newest)
        try:
            checkpoint = load_checkpoint(newest, config_hashes=config_hashes)
            if newest.name == f"step-{checkpoint.step}":
                return checkpoint
            reason = f"its manifest is of step {checkpoint.step}"
        except DamagedCheckpoint as error:
            reason = error.reason
        if newest.exists():
            outcome = _set_aside(newest, segments=not segments_checked)
            segments_checked = True
        else:  # a writer pruned it meanwhile, and has put a newer one in its place
            outcome, candidates = "it is gone", [path for path in list_checkpoints(directory) if path not in tried]
        on_skip(newest, f"{reason}; {outcome}")
    if segments_checked:
        with contextlib.suppress(OSError):
            sync_directory(directory)
    return None


def list_checkpoints(directory: Path) -> list[Path]:
    """Return the checkpoints in ``directory``, good or damaged, oldest to newest."""
    found = os.scandir(directory) if directory.is_dir() else ()
    return sorted((Path(entry) for entry in found if _is_checkpoint(entry)), key=_step)


def _is_checkpoint(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith("step-") and entry.is_dir(follow_symlinks=False) and _step(Path(entry)) >= 0


def _step(path: Path) -> int:
    match = re.fullmatch(r"step-(0|[1-9][0-9]*)", path.name)
    return int(match[1]) if match else -1


def _describe(step: int, sha256: str, config_hash: str) -> dict[str, Any]:
    """The manifest as far as it does not concern files and the caller's metadata."""
    return {
        "schema": SCHEMA,
        "step": step,
        "state_sha256": sha256,
        "config_hash": config_hash,
        "versions": installed_versions(),
        "platform": _platform(),
    }


@functools.cache
def _platform() -> dict[str, str]:
    # What NumPy found at run time: the instruction sets among which it and BLAS choose their kernels.
    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {})
    found = [*extensions.get("baseline", []), *extensions.get("found", [])]
    return {"machine": platform.machine(), "instruction_set": " ".join(found)}


def _differences(manifest: Mapping[str, Any], here: Mapping[str, Any]) -> tuple[str, ...]:
    saved, now = ({**source["versions"], **source["platform"]} for source in (manifest, here))
    return tuple(
        f"{name}: {saved.get(name, 'unknown')} when saved, {now.get(name, 'unknown')} here"
        for name in now | saved
        if saved.get(name) != now.get(name)
    )


def _read_manifest(path: Path) -> dict[str, Any]:
    data = read_file(path / MANIFEST_FILE, checkpoint=path)
    try:
        manifest = parse_json(data)
        del manifest["checksum"]
        # Sealing it again must give the same bytes: this sees a changed space, too.
        intact = seal(manifest) == data
    except (ValueError, KeyError, TypeError, RecursionError):
        intact = False
    if not intact:
        raise DamagedCheckpoint(path, f"{MANIFEST_FILE} is not what its checksum says")
    if manifest.get("schema") != SCHEMA:
        got = manifest.get("schema")
        raise bad_input("unknown checkpoint format", where=str(path), expected=f"schema {SCHEMA}", got=got)
    return dict(manifest)


def _prepare(directory: Path, temporary: Path, watch: Watch) -> None:
    """Make the temporary directory, and remove those that killed writers left."""
    if not directory.is_dir():
        watch("make", directory)
        directory.mkdir(parents=True)
        sync(directory.parent, watch)
    for stale in directory.glob(f"{TEMPORARY}*"):
        _remove(stale, watch)
    remove_segments(list((directory / SEGMENTS).glob(f"{TEMPORARY}*")), watch)
    watch("make", temporary)
    temporary.mkdir()


def _write_checkpoint(temporary: Path, described: Mapping[str, Any], data: bytes, watch: Watch) -> None:
    """Fill the temporary directory, and force its files and their names to the disk."""
    manifest = {**described, "files": {STATE_FILE: describe_file(data)}}
    for name, content in ((STATE_FILE, data), (MANIFEST_FILE, seal(manifest))):
        write_file(temporary / name, content, watch)
    sync(temporary, watch)


def _already_saved(final: Path, described: Mapping[str, Any]) -> bool:
    if not final.exists():
        return False
    try:
        saved = load_checkpoint(final)
    except DamagedCheckpoint:
        _set_aside(final)
        return False
    if (saved.state_sha256, saved.config_hash) != (described["state_sha256"], described["config_hash"]):
        raise CheckpointError(f"cannot write checkpoint {final}: this step has been saved with another state")
    return True


def _prune(directory: Path, kept: set[Path], keep_best: str | None, watch: Watch) -> None:
    """Remove the checkpoints that are neither in ``kept`` nor the best."""
    checkpoints = list_checkpoints(directory)
    if keep_best is not None:
        kept = kept | {max(checkpoints, key=lambda path: (_metric(path, keep_best), _step(path)))}
    for path in checkpoints:
        if path not in kept:
            # Renamed first: what is half removed must not pass for a checkpoint.
            old = path.with_name(f"{TEMPORARY}old-{path.name}")
            watch("rename", path)
            path.rename(old)
            _remove(old, watch)


def _prune_segments(directory: Path, watch: Watch) -> None:
    """Remove the segments that no checkpoint needs; none where that cannot be told."""
    try:
        manifests = [_read_manifest(path) for path in list_checkpoints(directory)]
        needed = set[str]().union(*(referenced_files(manifest["segments"]) for manifest in manifests))
    except (BadInput, CheckpointError, AttributeError, KeyError, TypeError):
        return
    if unneeded := unreferenced_segments(directory / SEGMENTS, needed):
        # First the names that needed them: after a loss of power none must come back without its segments.
        sync(directory, watch)
        remove_segments(unneeded, watch)


def _remove(directory: Path, watch: Watch) -> None:
    watch("remove", directory)
    shutil.rmtree(directory)


def _metric(path: Path, name: str) -> float:
    try:
        value = _read_manifest(path)["metadata"].get(name)
    except (BadInput, CheckpointError):
        value = None
    return float(value) if isinstance(value, (int, float)) else -np.inf


def _set_aside(path: Path, *, segments: bool = True) -> str:
    """Rename a damaged checkpoint, and damaged segments, to the first free names, and say what became of it."""
    try:
        # Segments first: interrupted in between, the checkpoint still counts as damaged.
        if segments:
            set_aside_damaged_segments(path.parent / SEGMENTS)
        target = name_aside(path)
        path.rename(target)
    except OSError as error:
        return f"it cannot be set aside: {error.strerror}"
    return f"set aside as {target.name}"
