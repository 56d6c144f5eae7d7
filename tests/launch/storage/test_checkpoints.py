import errno
import hashlib
import json
import os
import pickle
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wormwood.errors import BadInput
from wormwood.launch.storage import checkpoint_files
from wormwood.launch.storage.checkpoints import (
    Checkpoint,
    CheckpointError,
    DamagedCheckpoint,
    load_checkpoint,
    load_newest,
    save_checkpoint,
)
from wormwood.launch.storage.states import State, state_sha256


def _make_state(value: float = 1.0) -> State:
    return {"weights": np.full(3, value), "step": np.array(int(value))}


def _save(directory: Path, step: int, **overrides: Any) -> Path:
    arguments: dict[str, Any] = {"state": _make_state(step), "metadata": {"iteration": step}, **overrides}
    return save_checkpoint(directory, step, **arguments)


def _no_skips(path: Path, reason: str) -> None:
    raise AssertionError(f"{path} was skipped: {reason}")


def _load(directory: Path, *config_hash: str) -> Checkpoint:
    checkpoint = load_newest(directory, on_skip=_no_skips, config_hashes=config_hash)
    assert checkpoint is not None
    return checkpoint


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def _operations(directory: Path, step: int, **overrides: Any) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    _save(directory, step, watch=lambda operation, path: seen.append((operation, path.name)), **overrides)
    return seen


def _at(number: int, act: Callable[[str, Path], None]) -> Callable[[str, Path], None]:
    """A watch that acts before operation ``number``, counted from 0, and before all that follow."""
    count = iter(range(10**6))
    return lambda operation, path: act(operation, path) if next(count) >= number else None


def _die(operation: str, path: Path) -> None:
    """SIGKILL in the middle of a write or a removal, or before any other operation."""
    if operation == "write":
        path.write_bytes(b"half of the bytes")
    elif operation == "remove":
        next(path.iterdir()).unlink()
    os.kill(os.getpid(), signal.SIGKILL)


def _save_and_die(directory: Path, step: int, *, number: int, **overrides: Any) -> None:
    """Save in a process that is killed at file operation ``number``."""
    child = os.fork()
    if child == 0:
        try:
            _save(directory, step, watch=_at(number, _die), **overrides)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def test_every_kind_of_array_survives_with_its_bits(tmp_path: Path) -> None:
    state: State = {
        "zero-dimensional": np.array(np.pi),
        "flag": np.array(True),
        "flags": np.array([[True], [False]]),
        "counters": np.array([0, 2**64 - 1], dtype=np.uint64),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "also empty": np.zeros((2, 0), dtype=np.int8),
        "special": np.array([np.nan, -0.0, np.inf, 5e-324]),
        "half": np.array([1.5], dtype=np.float16),
        "big-endian": np.array([1, 258], dtype=">i4"),
        "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "every other": np.arange(8, dtype=np.int16)[::2],
        "shards/0/Ω": np.ones((1, 1, 1)),
        "": np.array([1 + 2j], dtype=np.complex64),
    }
    checkpoint = load_checkpoint(save_checkpoint(tmp_path, 7, state, {}))
    assert checkpoint.state.keys() == state.keys()
    for name, array in state.items():
        loaded = checkpoint.state[name]
        assert (loaded.shape, loaded.dtype) == (array.shape, array.dtype.newbyteorder("="))
        assert loaded.tobytes() == array.astype(loaded.dtype).tobytes()
        assert loaded.flags.writeable
    assert checkpoint.state_sha256 == state_sha256(state) == state_sha256(checkpoint.state)
    assert load_checkpoint(save_checkpoint(tmp_path, 8, {}, {})).state == {}


def test_metadata_and_manifest(tmp_path: Path) -> None:
    metadata = {"seconds": np.float64(1.5), "loss": float("nan"), "nested": {"tuple": (1, 2)}, "name": "Ä"}
    path = _save(tmp_path / "deep" / "down", 3, metadata=metadata, config_hash="abc")
    checkpoint = _load(tmp_path / "deep" / "down")
    assert (checkpoint.path, checkpoint.step, checkpoint.config_hash) == (path, 3, "abc")
    assert checkpoint.metadata == {"seconds": 1.5, "loss": None, "nested": {"tuple": [1, 2]}, "name": "Ä"}
    assert checkpoint.warnings == ()
    manifest = json.loads((path / "MANIFEST.json").read_text())
    assert (manifest["schema"], manifest["segments"]) == (2, {})
    assert manifest["files"]["state.safetensors"]["size"] == (path / "state.safetensors").stat().st_size
    assert manifest["versions"]["numpy"] == np.__version__
    packages = ["numba", "torch", "xgboost", "mujoco", "gymnasium", "stable-baselines3", "cmaes", "ray"]
    assert set(manifest["versions"]) == {"wormwood", "python", "machine", "numpy", *packages}
    assert manifest["platform"]["machine"] == os.uname().machine and manifest["platform"]["instruction_set"]


def test_files_reach_the_disk_before_the_name_does(tmp_path: Path) -> None:
    _save(tmp_path / "checkpoints", 1)
    (tmp_path / "checkpoints" / ".temporary-step-9").mkdir()
    temporary = ".temporary-step-2"
    state, manifest = "state.safetensors", "MANIFEST.json"
    assert _operations(tmp_path / "checkpoints", 2, keep=1) == [
        *[("remove", ".temporary-step-9"), ("make", temporary)],
        *[("create", state), ("write", state), ("sync", state)],
        *[("create", manifest), ("write", manifest), ("sync", manifest)],
        *[("sync", temporary), ("rename", temporary), ("sync", "checkpoints")],
        *[("rename", "step-1"), ("remove", ".temporary-old-step-1")],
    ]
    assert _names(tmp_path / "checkpoints") == ["step-2"]


def test_the_directory_that_was_synced_is_the_one_that_gets_the_name(tmp_path: Path) -> None:
    renamed: list[int] = []
    path = _save(tmp_path, 1, watch=lambda name, path: renamed.append(path.stat().st_ino) if name == "rename" else None)
    assert renamed == [path.stat().st_ino]


def test_killed_at_any_operation_a_complete_checkpoint_is_found(tmp_path: Path) -> None:
    _save(tmp_path / "rehearsal", 1)
    found = []
    for number in range(len(_operations(tmp_path / "rehearsal", 2, keep=1))):
        directory = tmp_path / str(number)
        _save(directory, 1)
        _save_and_die(directory, 2, number=number, keep=1)
        checkpoint = _load(directory)
        assert checkpoint.state_sha256 == state_sha256(_make_state(checkpoint.step))
        found.append(checkpoint.step)
        # And the next writer goes on as if nothing had happened.
        _save(directory, 3, keep=1)
        assert _names(directory) == ["step-3"]
    # The rename is what makes the new one: it is the ninth of twelve operations.
    assert found == [1] * 9 + [2] * 3


def test_killed_while_writing_the_first_there_is_none_and_the_next_try_works(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    assert load_newest(directory, on_skip=_no_skips) is None
    _save_and_die(directory, 1, number=6)
    assert _names(directory) == [".temporary-step-1"]
    assert load_newest(directory, on_skip=_no_skips) is None
    _save(directory, 1)
    assert _names(directory) == ["step-1"]


@pytest.mark.parametrize(
    ("failure", "seen"),
    [(OSError(errno.ENOSPC, "disk full"), CheckpointError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failure_at_any_operation_keeps_the_old_and_leaves_no_rubbish(
    tmp_path: Path, failure: BaseException, seen: type[BaseException]
) -> None:
    def fail(operation: str, path: Path) -> None:
        raise failure

    _save(tmp_path / "rehearsal", 1)
    for number in range(len(_operations(tmp_path / "rehearsal", 2))):
        directory = tmp_path / str(number)
        _save(directory, 1)
        with pytest.raises(seen, match=rf"{directory}.*: disk full" if seen is CheckpointError else None):
            _save(directory, 2, watch=_at(number, fail))
        checkpoint = _load(directory)
        # Only the last operation, forcing the new name to the disk, comes after the renaming.
        assert _names(directory) == (["step-1"] if number < 9 else ["step-1", "step-2"])
        assert checkpoint.state_sha256 == state_sha256(_make_state(checkpoint.step))


def test_a_real_refusal_in_the_middle_of_a_file(tmp_path: Path) -> None:
    _save(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(CheckpointError, match=rf"{tmp_path}/step-2: File too large"):
            _save(tmp_path, 2, state={"large": np.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert _names(tmp_path) == ["step-1"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_directory_that_cannot_be_written_is_bad_input(tmp_path: Path, code: int) -> None:
    def refuse(operation: str, path: Path) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.raises(BadInput, match=f"cannot write checkpoints to {tmp_path}/new: {os.strerror(code)}"):
        _save(tmp_path / "new", 1, watch=refuse)
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=f"cannot write checkpoints to {tmp_path}/file"):
        _save(tmp_path / "file", 1)


def test_a_state_that_cannot_be_saved_is_bad_input_and_touches_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'names'.*numbers or booleans"):
        _save(tmp_path / "new", 1, state={"names": np.array(["a"], dtype=object)})
    assert not (tmp_path / "new").exists()


def _damages(content: bytes) -> Iterator[bytes]:
    """Every byte changed, by one bit and by all, the case of every letter, every truncation, and a byte more."""
    for place in range(len(content)):
        for mask in {1 << place % 8, 0x20, 0xFF}:
            yield content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :]
        yield content[:place]
    yield from (content + extra for extra in (b"\0", b" ", b"\n"))


@pytest.mark.parametrize("name", ["state.safetensors", "MANIFEST.json"])
def test_every_flipped_byte_every_truncation_and_a_missing_file_are_detected(tmp_path: Path, name: str) -> None:
    path = _save(tmp_path, 1, metadata={"a": " ", "x": 0.1})
    content = (path / name).read_bytes()
    with (path / name).open("r+b") as file:
        for damaged in _damages(content):
            file.seek(0)
            file.truncate()
            file.write(damaged)
            file.flush()
            with pytest.raises(DamagedCheckpoint):
                load_checkpoint(path)
    (path / name).write_bytes(content)
    assert load_checkpoint(path).step == 1
    (path / name).unlink()
    with pytest.raises(DamagedCheckpoint, match=rf"damaged checkpoint {path}: {name} cannot be read: No such file"):
        load_checkpoint(path)


def test_a_file_swapped_for_that_of_another_checkpoint_is_damage(tmp_path: Path) -> None:
    one, two = _save(tmp_path, 1), _save(tmp_path, 2)
    shutil.copy(one / "state.safetensors", two / "state.safetensors")
    with pytest.raises(
        DamagedCheckpoint, match=r"state\.safetensors does not have the SHA-256 of the manifest"
    ) as caught:
        load_checkpoint(two)
    # The error survives the way between processes.
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def _reseal(path: Path, **changes: Any) -> None:
    manifest = json.loads((path / "MANIFEST.json").read_text())
    del manifest["checksum"]
    (path / "MANIFEST.json").write_bytes(checkpoint_files.seal({**manifest, **changes}))


NONSENSE = [{"files": {}}, {"files": []}, {"step": None}, {"metadata": 3}, {"versions": []}, {"state_sha256": "0"}]
NO_SEGMENTS = [{"segments": wrong} for wrong in (None, {"a": {}}, {"a": {"size": 0, "sha256": "../../0"}})]


@pytest.mark.parametrize("changes", NONSENSE + NO_SEGMENTS)
def test_a_well_sealed_manifest_of_nonsense_is_damage(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = _save(tmp_path, 1)
    _reseal(path, **changes)
    with pytest.raises(DamagedCheckpoint):
        load_checkpoint(path)


def test_a_planted_pickle_is_not_run(tmp_path: Path) -> None:
    class Planted:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "planted"),)

    path = _save(tmp_path, 1)
    data = pickle.dumps(Planted())
    (path / "state.safetensors").write_bytes(data)
    entry = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    _reseal(path, files={"state.safetensors": entry})
    with pytest.raises(DamagedCheckpoint, match="cannot be understood"):
        load_checkpoint(path)
    assert not (tmp_path / "planted").exists()


def test_a_damaged_newest_is_set_aside_and_the_older_is_loaded(tmp_path: Path) -> None:
    skipped: list[tuple[Path, str]] = []
    for aside in ("corrupt-step-2", "corrupt-step-2-1"):
        _save(tmp_path, 1)
        path = _save(tmp_path, 2)
        size = (path / "state.safetensors").stat().st_size
        (path / "state.safetensors").write_bytes(b"")
        checkpoint = load_newest(tmp_path, on_skip=lambda path, reason: skipped.append((path, reason)))
        assert checkpoint is not None and checkpoint.step == 1
        reason = f"state.safetensors: expected {size} bytes, got 0; set aside as {aside}"
        assert skipped.pop() == (path, reason) and not skipped
    assert _names(tmp_path) == ["corrupt-step-2", "corrupt-step-2-1", "step-1"]
    # One that was renamed does not pass for another step.
    (tmp_path / "step-1").rename(tmp_path / "step-5")
    assert load_newest(tmp_path, on_skip=lambda path, reason: skipped.append((path, reason))) is None
    assert skipped == [(tmp_path / "step-5", "its manifest is of step 1; set aside as corrupt-step-5")]


def test_a_file_that_may_not_be_read_is_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **limits: Any) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = _save(tmp_path, 1)
    monkeypatch.setattr(checkpoint_files, "read_regular", refuse)
    with pytest.raises(CheckpointError, match=f"cannot read {path}/MANIFEST.json: Permission denied"):
        load_newest(tmp_path, on_skip=_no_skips)
    assert _names(tmp_path) == ["step-1"]


def test_one_pruned_while_it_is_read_gives_way_to_the_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = checkpoint_files.read_regular, iter(range(10**6))

    def prune_between_the_files(path: Path, **limits: Any) -> bytes:
        if next(calls) == 1:
            monkeypatch.setattr(checkpoint_files, "read_regular", real)
            _save(tmp_path, 2, keep=1)
        return real(path, **limits)

    _save(tmp_path, 1)
    monkeypatch.setattr(checkpoint_files, "read_regular", prune_between_the_files)
    checkpoint = load_newest(tmp_path, on_skip=lambda path, reason: None)
    assert checkpoint is not None and checkpoint.step == 2


def test_another_configuration_or_a_later_format_is_bad_input_and_not_damage(tmp_path: Path) -> None:
    path = _save(tmp_path, 1, config_hash="abc")
    assert _load(tmp_path, "abc").step == 1
    with pytest.raises(BadInput, match=r"another configuration in .*expected config hash 'xyz', got 'abc'"):
        _load(tmp_path, "xyz")
    _reseal(path, schema=3)
    with pytest.raises(BadInput, match=r"unknown checkpoint format in .*expected schema 2, got 3"):
        _load(tmp_path, "abc")
    assert _names(tmp_path) == ["step-1"]


def test_other_versions_and_processors_are_named(tmp_path: Path) -> None:
    path = _save(tmp_path, 1)
    manifest = json.loads((path / "MANIFEST.json").read_text())
    here = manifest["versions"]
    versions = {name: "1.0" if name == "numpy" else here[name] for name in here if name != "ray"}
    _reseal(path, versions=versions, platform={"machine": "pdp11", "instruction_set": "EIS"})
    assert set(load_checkpoint(path).warnings) == {
        f"numpy: 1.0 when saved, {here['numpy']} here",
        f"ray: unknown when saved, {here['ray']} here",
        f"machine: pdp11 when saved, {os.uname().machine} here",
        f"instruction_set: EIS when saved, {manifest['platform']['instruction_set']} here",
    }


def test_pruning_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for step, value in enumerate([1.0, 9.0, float("nan"), 5.0, None, 3.0], start=1):
        _save(tmp_path, step * 5, metadata={"return_mean": value}, keep=2, keep_best="return_mean")
    assert _names(tmp_path) == ["step-10", "step-25", "step-30"]
    _save(tmp_path, 100, keep=1)
    assert _names(tmp_path) == ["step-100"]


def test_pruning_leaves_other_files_alone(tmp_path: Path) -> None:
    for name in ("corrupt-step-1", "step-01", "step-x", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-2").write_text("a file")
    _save(tmp_path, 3, keep=1)
    _save(tmp_path, 4, keep=1)
    assert _names(tmp_path) == ["corrupt-step-1", "notes", "step-01", "step-2", "step-4", "step-x"]


def test_saving_a_step_again(tmp_path: Path) -> None:
    path = _save(tmp_path, 1)
    before = (path / "MANIFEST.json").stat().st_ino
    assert (_save(tmp_path, 1), (path / "MANIFEST.json").stat().st_ino) == (path, before)
    with pytest.raises(CheckpointError, match="this step has been saved with another state"):
        _save(tmp_path, 1, state=_make_state(2.0))
    (path / "MANIFEST.json").unlink()
    _save(tmp_path, 1, state=_make_state(2.0))
    assert (_load(tmp_path).state["step"], _names(tmp_path)) == (2, ["corrupt-step-1", "step-1"])


@pytest.mark.parametrize("wrong", [{"step": -1}, {"keep": 0}, {"state": {"__metadata__": np.zeros(1)}}])
def test_impossible_arguments(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected step >= 0, keep >= 1"):
        _save(**{"directory": tmp_path, "step": 1, **wrong})
