"""Pictures and videos as files: what is read back is what was written, and a file is whole or not there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from wormwood.envs.bodies import swimmer
from wormwood.envs.pictures.files import Picture, write_picture, write_video
from wormwood.envs.pictures.rendering import draw_video
from wormwood.errors import BadInput


def _flat(count: int, *, height: int = 64, width: int = 96) -> Iterator[Picture]:
    for k in range(count):
        frame = np.full((height, width, 3), 40, dtype=np.uint8)
        frame[10:20, 2 * k : 2 * k + 10] = [240, 140, 60]
        yield frame


@pytest.mark.parametrize("name", ["picture.png", "picture.PNG"])
def test_a_picture_is_read_back(tmp_path: Path, name: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    write_picture(tmp_path / name, picture)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as read:
        assert read.format == "PNG"
        np.testing.assert_array_equal(np.asarray(read), picture)


def test_a_gif_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "swimmer.GIF"
    body, t = swimmer(6), np.arange(160)[:, None]  # a travelling wave on the way to +x
    joints = 0.5 * np.sin(2 * np.pi * (t / 20 - np.arange(5) / 6))
    poses = np.concatenate([0.02 * t, 0 * t, 0 * t + np.pi / 2, joints], axis=1)
    write_video(path, draw_video(body, poses, trail=40, targets=[0.5, 0.1], width=320, height=240), fps=16)
    assert path.stat().st_size < 1.5e6
    frames = list(draw_video(body, poses[:160:53], targets=[0.5, 0.1], width=320, height=240))
    with Image.open(path) as film:
        assert film.info["loop"] == 0  # for ever
        assert film.size == (320, 240)
        assert getattr(film, "n_frames") == 160  # noqa: B009
        durations = []
        for k in range(160):
            film.seek(k)
            durations.append(film.info["duration"])
            if k % 53 == 0:
                difference = np.abs(np.asarray(film.convert("RGB")).astype(int) - frames[k // 53]).max(axis=2)
                assert (difference > 40).mean() < 0.01  # the trail
        assert sum(durations) == 10_000
        assert set(durations) == {60, 70}


@pytest.mark.parametrize(("name", "fps"), [("swimmer.mp4", 16), ("swimmer.MP4", 1 / 0.03)])
def test_an_mp4_is_read_back(tmp_path: Path, name: str, fps: float) -> None:
    path = tmp_path / name
    write_video(path, _flat(20, height=65, width=97), fps=fps)
    with imageio.get_reader(path) as reader:
        film: Any = reader
        assert film.get_meta_data()["fps"] == pytest.approx(fps, abs=0.01)
        assert film.get_meta_data()["codec"] == "h264"
        assert film.get_meta_data()["size"] == (98, 66)
        frames = list(film.iter_data())
    assert len(frames) == 20
    expected = next(frame for k, frame in enumerate(_flat(20, height=65, width=97)) if k == 19)
    assert np.abs(frames[19][:65, :97].astype(int) - expected).mean() < 4


@pytest.mark.parametrize("name", ["video.gif", "video.mp4"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file(tmp_path: Path, name: str, error: type[BaseException]) -> None:
    (tmp_path / name).write_bytes(b"old")

    def frames() -> Iterator[Picture]:
        yield from _flat(5)
        raise error

    with pytest.raises(error):
        write_video(tmp_path / name, frames(), fps=16)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"old"
    write_video(tmp_path / name, _flat(5), fps=16)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).stat().st_size > 200


@pytest.mark.parametrize("name", ["video.gif", "video.mp4"])
def test_frames_of_another_kind_are_refused(tmp_path: Path, name: str) -> None:
    wrong: list[tuple[Any, str]] = [
        ([], "frames in picture file: expected at least one"),
        ([np.zeros((64, 64), dtype=np.uint8)], "frame 0"),
        ([np.zeros((64, 64, 3))], "frame 0 in picture file: expected uint8"),
        ([*_flat(2), np.zeros((64, 64, 3), dtype=np.uint8)], re.escape("frame 2 in picture file: expected uint8 of")),
    ]
    for frames, words in wrong:
        with pytest.raises(BadInput, match=words):
            write_video(tmp_path / name, frames, fps=16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 51])
def test_a_wrong_fps_is_refused(tmp_path: Path, fps: float) -> None:
    with pytest.raises(BadInput, match="fps"):
        write_video(tmp_path / "video.gif", _flat(2), fps=fps)
    assert list(tmp_path.iterdir()) == []


def test_the_suffix_says_the_format(tmp_path: Path) -> None:
    for name in ("video.avi", "video", ".gif"):
        with pytest.raises(BadInput, match=r"a file ending in \.gif or \.mp4"):
            write_video(tmp_path / name, _flat(2), fps=16)
    with pytest.raises(BadInput, match=r"a file ending in \.png"):
        write_picture(tmp_path / "picture.jpg", next(_flat(1)))
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(BadInput, match=r"folder\.png"):
        write_picture(tmp_path / "folder.png", next(_flat(1)))
    assert [path.name for path in tmp_path.iterdir()] == ["folder.png"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("missing", "file"):
        with pytest.raises(BadInput, match=r"output in .* a folder to write to") as caught:
            write_video(tmp_path / folder / "video.mp4", _flat(2), fps=16)
        assert "\n" not in str(caught.value)
        with pytest.raises(BadInput, match=folder):
            write_picture(tmp_path / folder / "picture.png", next(_flat(1)))


def test_a_video_cut_short_is_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the disk is full."""
    open_writer: Any = imageio.get_writer
    monkeypatch.setattr(imageio, "get_writer", lambda *a, **k: open_writer(*a, **k, output_params=["-frames:v", "3"]))
    with pytest.raises(OSError, match=r"3 of 5 frames|ffmpeg"):
        write_video(tmp_path / "video.mp4", _flat(5), fps=16)
    assert list(tmp_path.iterdir()) == []
