"""What grows by appending is written once, is shared by the checkpoints, and is never lost before the last of them."""

import errno
import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wormwood.launch.storage.checkpoints import (
    Checkpoint,
    CheckpointError,
    DamagedCheckpoint,
    load_checkpoint,
    load_newest,
    save_checkpoint,
)
from wormwood.launch.storage.segments import pack_arrays, split_segments
from wormwood.launch.storage.states import State, nest, state_sha256


def _segment(number: int) -> State:
    return {"rewards": np.full(4, number, dtype=np.float32), "flags": np.array([True, False])}


def _state(step: int, numbers: range) -> State:
    state: State = {"step": np.array(step)}
    for number in numbers:
        state |= nest(f"replay/segments/{number:06d}", _segment(number))
    return state


def _save(directory: Path, step: int, numbers: range | None = None, **options: Any) -> Path:
    """Save a replay buffer that holds the segments 0 to ``step``, or those that are named."""
    return save_checkpoint(directory, step, _state(step, numbers or range(step + 1)), {}, **options)


def _file(number: int) -> str:
    return f"{hashlib.sha256(pack_arrays(_segment(number))).hexdigest()}.safetensors"


def _files(directory: Path) -> set[str]:
    return {path.name for path in (directory / "segments").iterdir()}


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def _no_skips(path: Path, reason: str) -> None:
    raise AssertionError(f"{path} was skipped: {reason}")


def _load(directory: Path) -> Checkpoint:
    checkpoint = load_newest(directory, on_skip=_no_skips)
    assert checkpoint is not None
    return checkpoint


def _operations(directory: Path, step: int, *arguments: Any, **options: Any) -> list[tuple[str, str]]:
    seen: list[tuple[str, str]] = []
    _save(directory, step, *arguments, watch=lambda operation, path: seen.append((operation, path.name)), **options)
    return seen


def _at(number: int, act: Callable[[str, Path], None]) -> Callable[[str, Path], None]:
    """A watch that acts before operation ``number``, counted from 0, and before all that follow."""
    count = iter(range(10**6))
    return lambda operation, path: act(operation, path) if next(count) >= number else None


def _die(operation: str, path: Path) -> None:
    """SIGKILL in the middle of a write or a removal, or before any other operation."""
    if operation == "write":
        path.write_bytes(b"half of the bytes")
    elif operation == "remove" and path.is_dir():
        next(path.iterdir()).unlink()
    os.kill(os.getpid(), signal.SIGKILL)


def _save_and_die(number: int, *arguments: Any, **options: Any) -> None:
    """Save in a process that is killed at file operation ``number``."""
    child = os.fork()
    if child == 0:
        try:
            _save(*arguments, watch=_at(number, _die), **options)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


# --- names ---


def test_a_name_is_of_a_segment_where_something_follows_its_number() -> None:
    inside = {
        "learner/replay/segments/000003/rewards": ("learner/replay/segments/000003", "rewards"),
        "segments/a/b/c": ("segments/a", "b/c"),
        "x/segments/1/segments/2/y": ("x/segments/1", "segments/2/y"),
        "x/segments/0/": None,
        "x/segments/0": None,
        "x/segments//y": None,
        "x/my_segments/0/y": None,
        "segments": None,
        "": None,
    }
    array = np.zeros(1)
    others, segments = split_segments(dict.fromkeys(inside, array))
    assert others.keys() == {name for name, place in inside.items() if place is None}
    assert {(segment, entry) for segment, entries in segments.items() for entry in entries} == {
        place for place in inside.values() if place is not None
    }


@given(st.lists(st.lists(st.sampled_from(["segments", "0", "a", "", "\n"]), max_size=5).map("/".join), unique=True))
def test_splitting_loses_nothing(names: list[str]) -> None:
    state = {name: np.array(number) for number, name in enumerate(names)}
    others, segments = split_segments(state)
    joined = dict(others)
    for segment, arrays in segments.items():
        joined |= nest(segment, arrays)
    assert joined == state


def test_the_same_arrays_in_another_order_or_layout_are_the_same_file() -> None:
    rows, columns = np.arange(6.0).reshape(2, 3), np.arange(3, dtype=np.int32)
    assert pack_arrays({"a": rows, "b": columns}) == pack_arrays(
        {"b": columns.astype(">i4"), "a": np.asfortranarray(rows)}
    )


# --- saving ---


def test_segments_come_back_and_the_state_has_the_hash_it_has_without_them(tmp_path: Path) -> None:
    state = _state(2, range(3))
    checkpoint = load_checkpoint(_save(tmp_path, 2))
    assert checkpoint.state.keys() == state.keys()
    assert checkpoint.state_sha256 == state_sha256(state) == state_sha256(checkpoint.state)
    assert all(array.flags.writeable for array in checkpoint.state.values())
    manifest = json.loads((checkpoint.path / "MANIFEST.json").read_text())
    size = (tmp_path / "segments" / _file(1)).stat().st_size
    assert manifest["segments"]["replay/segments/000001"] == {"size": size, "sha256": _file(1).split(".")[0]}
    load_checkpoint(save_checkpoint(tmp_path, 3, nest("segments/0", _segment(0)), {}))
    assert load_checkpoint(save_checkpoint(tmp_path, 4, {}, {})).state == {}


def test_a_segment_is_written_once_and_a_second_checkpoint_is_small(tmp_path: Path) -> None:
    def save(step: int, numbers: range) -> int:
        """Save segments of 400 kB, and return the bytes that were written."""
        state = {f"replay/segments/{k}/rewards": np.full(100_000, k, dtype=np.float32) for k in numbers}
        sizes: list[int] = []

        def measure(operation: str, path: Path) -> None:
            if operation == "sync" and path.is_file():
                sizes.append(path.stat().st_size)

        save_checkpoint(tmp_path, step, state, {}, watch=measure)
        return sum(sizes)

    assert save(1, range(5)) > 5 * 400_000
    before = {(path.name, path.stat().st_ino, path.stat().st_mtime_ns) for path in (tmp_path / "segments").iterdir()}
    assert save(2, range(5)) < 5_000
    assert 400_000 < save(3, range(1, 6)) < 405_000
    after = {(path.name, path.stat().st_ino, path.stat().st_mtime_ns) for path in (tmp_path / "segments").iterdir()}
    assert before <= after and len(after) == 6


def test_two_segments_with_the_same_arrays_are_one_file(tmp_path: Path) -> None:
    state = {**nest("forest/segments/0", _segment(0)), **nest("target/segments/7", _segment(0))}
    assert load_checkpoint(save_checkpoint(tmp_path, 1, state, {})).state.keys() == state.keys()
    assert _files(tmp_path) == {_file(0)}


def test_segments_reach_the_disk_before_the_manifest_and_go_after_the_last_that_needs_them(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoints"
    temporary, state, manifest = ".temporary-step-2", "state.safetensors", "MANIFEST.json"
    segment = f".temporary-{_file(2)}"
    _save(directory, 1, range(1, 2))
    (directory / "segments" / segment).write_bytes(b"left by a writer that was killed")
    assert _operations(directory, 2, range(2, 3), keep=1) == [
        *[("remove", segment), ("make", temporary)],
        *[("create", segment), ("write", segment), ("sync", segment), ("rename", segment), ("sync", "segments")],
        *[("create", state), ("write", state), ("sync", state)],
        *[("create", manifest), ("write", manifest), ("sync", manifest)],
        *[("sync", temporary), ("rename", temporary), ("sync", "checkpoints")],
        *[("rename", "step-1"), ("remove", ".temporary-old-step-1")],
        *[("sync", "checkpoints"), ("remove", _file(1))],
    ]
    # Where the segment is there already, its name is still forced to the disk.
    again = _operations(directory, 3, range(2, 3))
    assert again[:3] == [("make", ".temporary-step-3"), ("sync", "segments"), ("create", state)]


def test_an_entry_that_a_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no entry '__metadata__'"):
        save_checkpoint(tmp_path / "new", 1, {"a/segments/0/__metadata__": np.zeros(1)}, {})
    assert not (tmp_path / "new").exists()


# --- interrupted ---


def _assert_nothing_is_lost(directory: Path) -> int:
    """Load every checkpoint there is, and return the newest step."""
    for path in directory.glob("step-*"):
        step = load_checkpoint(path).step
        assert load_checkpoint(path).state_sha256 == state_sha256(_state(step, range(step - 1, step + 1)))
    return _load(directory).step


def test_killed_at_any_operation_a_complete_checkpoint_is_found(tmp_path: Path) -> None:
    _save(tmp_path / "rehearsal", 1, range(2))
    operations = _operations(tmp_path / "rehearsal", 2, range(1, 3), keep=1)
    found = []
    for number in range(len(operations)):
        directory = tmp_path / str(number)
        _save(directory, 1, range(2))
        _save_and_die(number, directory, 2, range(1, 3), keep=1)
        found.append(_assert_nothing_is_lost(directory))
        # And the next writer goes on as if nothing had happened.
        _save(directory, 3, range(2, 4), keep=1)
        assert _names(directory) == ["segments", "step-3"]
        assert _files(directory) == {_file(2), _file(3)}
        assert _assert_nothing_is_lost(directory) == 3
    renamed = operations.index(("rename", ".temporary-step-2"))
    assert found == [1] * (renamed + 1) + [2] * (len(operations) - renamed - 1)
    assert ("remove", _file(0)) in operations[renamed:] and ("create", f".temporary-{_file(2)}") in operations


def test_killed_at_any_operation_of_the_first_the_next_try_works(tmp_path: Path) -> None:
    operations = _operations(tmp_path / "rehearsal", 1)
    assert operations[:5] == [
        *[("make", "rehearsal"), ("sync", tmp_path.name), ("make", ".temporary-step-1")],
        *[("make", "segments"), ("sync", "rehearsal")],
    ]
    for number in range(len(operations)):
        directory = tmp_path / str(number)
        _save_and_die(number, directory, 1)
        complete = load_newest(directory, on_skip=_no_skips) is not None
        assert complete == (number == len(operations) - 1)
        _save(directory, 1)
        assert _names(directory) == ["segments", "step-1"]
        assert _files(directory) == {_file(0), _file(1)}
        assert _load(directory).state_sha256 == state_sha256(_state(1, range(2)))


@pytest.mark.parametrize(
    ("failure", "seen"),
    [(OSError(errno.ENOSPC, "disk full"), CheckpointError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failure_at_any_operation_keeps_the_old_and_leaves_nothing_unfinished(
    tmp_path: Path, failure: BaseException, seen: type[BaseException]
) -> None:
    def fail(operation: str, path: Path) -> None:
        raise failure

    _save(tmp_path / "rehearsal", 1, range(2))
    for number in range(len(_operations(tmp_path / "rehearsal", 2, range(1, 3), keep=1))):
        directory = tmp_path / str(number)
        _save(directory, 1, range(2))
        with pytest.raises(seen, match=rf"{directory}.*: disk full" if seen is CheckpointError else None):
            _save(directory, 2, range(1, 3), keep=1, watch=_at(number, fail))
        _assert_nothing_is_lost(directory)
        if seen is CheckpointError:
            steps = {load_checkpoint(path).step for path in directory.glob("step-*")}
            assert _files(directory) == {_file(number) for step in steps for number in (step - 1, step)}
        _save(directory, 2, range(1, 3), keep=1)
        assert _names(directory) == ["segments", "step-2"]
        assert _files(directory) == {_file(1), _file(2)}


# --- damaged ---


def test_every_flipped_byte_and_every_truncation_of_a_segment_is_detected(tmp_path: Path) -> None:
    path = _save(tmp_path, 1)
    segment = tmp_path / "segments" / _file(1)
    content = segment.read_bytes()
    for place in range(len(content)):
        for mask in (1 << place % 8, 0x20, 0xFF):
            segment.write_bytes(content[:place] + bytes([content[place] ^ mask]) + content[place + 1 :])
            with pytest.raises(DamagedCheckpoint, match=f"{_file(1)} does not have the SHA-256 of the manifest"):
                load_checkpoint(path)
        segment.write_bytes(content[:place])
        with pytest.raises(DamagedCheckpoint, match=f"{_file(1)}: expected {len(content)} bytes, got {place}"):
            load_checkpoint(path)
    segment.write_bytes(content + b"\0")
    with pytest.raises(DamagedCheckpoint, match=f"expected {len(content)} bytes"):
        load_checkpoint(path)
    segment.unlink()
    with pytest.raises(DamagedCheckpoint, match=f"damaged checkpoint {path}: {_file(1)} cannot be read: No such file"):
        load_checkpoint(path)
    segment.write_bytes(content)
    assert load_checkpoint(path).step == 1


def _flip(path: Path) -> None:
    """Change the last byte, and nothing that can be seen without reading the file."""
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


@pytest.mark.parametrize("manifest", ["good", "damaged too"])
def test_a_damaged_segment_is_set_aside_with_its_checkpoint_and_written_again(tmp_path: Path, manifest: str) -> None:
    for step in (1, 2):
        _save(tmp_path, step)
    _flip(tmp_path / "segments" / _file(2))
    if manifest != "good":
        (tmp_path / "step-2" / "MANIFEST.json").unlink()
    skipped: list[str] = []
    checkpoint = load_newest(tmp_path, on_skip=lambda path, reason: skipped.append(f"{path.name}: {reason}"))
    assert checkpoint is not None and checkpoint.step == 1
    assert len(skipped) == 1 and skipped[0].endswith("set aside as corrupt-step-2")
    assert _files(tmp_path) == {_file(0), _file(1), f"corrupt-{_file(2)}"}
    _save(tmp_path, 2)
    assert _load(tmp_path).step == 2
    assert _names(tmp_path) == ["corrupt-step-2", "segments", "step-1", "step-2"]


def test_saving_a_step_again_heals_its_segment_for_the_older_ones_too(tmp_path: Path) -> None:
    one, two = _save(tmp_path, 1), _save(tmp_path, 2)
    _flip(tmp_path / "segments" / _file(0))
    for path in (one, two):
        with pytest.raises(DamagedCheckpoint):
            load_checkpoint(path)
    _save(tmp_path, 2)
    assert [load_checkpoint(path).step for path in (one, two)] == [1, 2]


def test_a_segment_of_the_wrong_size_is_replaced_by_the_next_checkpoint(tmp_path: Path) -> None:
    one = _save(tmp_path, 1)
    (tmp_path / "segments" / _file(0)).write_bytes(b"cut")
    assert load_checkpoint(_save(tmp_path, 2)).step == 2
    assert load_checkpoint(one).step == 1


def test_a_segment_that_all_need_takes_all_with_it_and_the_run_can_begin_again(tmp_path: Path) -> None:
    for step in (1, 2):
        _save(tmp_path, step)
    _flip(tmp_path / "segments" / _file(0))
    skipped: list[Path] = []
    assert load_newest(tmp_path, on_skip=lambda path, reason: skipped.append(path)) is None
    assert skipped == [tmp_path / "step-2", tmp_path / "step-1"]
    _save(tmp_path, 1)
    assert _load(tmp_path).step == 1


# --- pruned ---


def test_pruning_removes_only_the_segments_that_no_checkpoint_needs(tmp_path: Path) -> None:
    for step in range(1, 6):
        _save(tmp_path, step, range(step, step + 2), keep=2)
        assert _files(tmp_path) == {_file(number) for number in range(max(1, step - 1), step + 2)}
        assert _count_good(tmp_path) == min(step, 2)
    (tmp_path / "segments" / "notes").write_text("somebody's")
    (tmp_path / "segments" / f"corrupt-{_file(3)}").write_text("set aside")
    _save(tmp_path, 6, range(6, 7), keep=1)
    assert _files(tmp_path) == {_file(6), "notes", f"corrupt-{_file(3)}"}


def _count_good(directory: Path) -> int:
    """Load every checkpoint, and return how many there are."""
    return len([load_checkpoint(path) for path in directory.glob("step-*")])


def test_the_best_checkpoint_keeps_its_segments(tmp_path: Path) -> None:
    for step, value in ((1, 9.0), (2, 1.0), (3, 2.0)):
        state = _state(step, range(step, step + 1))
        save_checkpoint(tmp_path, step, state, {"return_mean": value}, keep=1, keep_best="return_mean")
    assert _names(tmp_path) == ["segments", "step-1", "step-3"]
    assert _files(tmp_path) == {_file(1), _file(3)} and _count_good(tmp_path) == 2


def test_a_manifest_that_cannot_be_read_keeps_all_segments(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        _save(tmp_path, step, range(step, step + 1))
    manifest = tmp_path / "step-2" / "MANIFEST.json"
    content = manifest.read_bytes()
    manifest.write_bytes(content[:-9])
    _save(tmp_path, 4, range(4, 5), keep=3)
    assert _names(tmp_path) == ["segments", "step-2", "step-3", "step-4"]
    assert _files(tmp_path) == {_file(number) for number in (1, 2, 3, 4)}
    # Once it is whole again, or gone, the others are known not to be needed.
    manifest.write_bytes(content)
    _save(tmp_path, 4, range(4, 5), keep=3)
    assert _files(tmp_path) == {_file(number) for number in (2, 3, 4)}
    assert _count_good(tmp_path) == 3
    manifest.write_bytes(content[:-9])
    _save(tmp_path, 5, range(5, 6), keep=2)
    assert _files(tmp_path) == {_file(number) for number in (4, 5)}
