"""Pictures and videos as files, which are written whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import imageio.v2 as imageio
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wormwood.errors import bad_input

__all__ = ["Picture", "figure_pixels", "write_picture", "write_video"]

Picture = NDArray[np.uint8]
"""``[height, width, 3]`` red, green and blue, from the top."""

FASTEST = {".gif": 50, ".mp4": 1000}  # frames per second; viewers slow down a GIF that claims to be faster


def figure_pixels(figure: Any) -> Picture:
    """Return the pixels ``[height, width, 3]`` of a figure of matplotlib, which needs no display for that."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def write_picture(path: Path, picture: Picture) -> None:
    """Write a picture ``[height, width, 3]`` as PNG, whole or not at all.

    Raises:
        BadInput: the suffix is not .png, the folder cannot be written, or it is no picture.
    """
    with _draft(path, (".png",)) as draft:
        Image.fromarray(next(_checked([picture]))).save(draft, optimize=True)


def write_video(path: Path, frames: Iterable[Picture], *, fps: float) -> None:
    """Write frames ``[height, width, 3]`` of one size as GIF that loops, or as MP4 (H.264), whole or not at all.

    Args:
        path: its suffix says the format. MP4 has even sides: an odd one gets its last row or column twice.
        frames: are taken one at a time. A GIF keeps them compressed until it has seen all of their colours.
        fps: frames per second, at most 50 in a GIF and 1000 in an MP4.

    Raises:
        BadInput: the suffix is neither .gif nor .mp4, the folder cannot be written, ``fps`` is out of range, there is
            no frame, or a frame is no picture or has another size than the first.
    """
    with _draft(path, tuple(FASTEST)) as draft:
        if not 0 < fps <= FASTEST[draft.suffix]:
            expected = f"more than 0 and at most {FASTEST[draft.suffix]}"
            raise bad_input("fps", where=str(path), expected=expected, got=fps)
        (_write_gif if draft.suffix == ".gif" else _write_mp4)(draft, _checked(frames), fps)


def _write_gif(path: Path, frames: Iterator[Picture], fps: float) -> None:
    first = next(frames)
    packed = [zlib.compress(frame.tobytes(), 1) for frame in itertools.chain([first], frames)]
    unpack = functools.partial(Image.frombytes, "RGB", first.shape[1::-1])
    some = [np.asarray(unpack(zlib.decompress(data))) for data in packed[:: math.ceil(len(packed) / 24)]]
    palette = Image.fromarray(np.concatenate(some)).quantize(255)  # the 256th marks what did not change
    images = (unpack(zlib.decompress(data)).quantize(palette=palette, dither=Image.Dither.NONE) for data in packed)
    times = 10 * np.round(np.arange(len(packed) + 1) * 100 / fps).astype(int)  # in ms; a GIF counts in 10 ms
    options = {"palette": bytes(palette.getpalette() or []), "duration": np.diff(times).tolist(), "loop": 0}
    next(images).save(path, save_all=True, append_images=images, optimize=True, **options)


def _write_mp4(path: Path, frames: Iterator[Picture], fps: float) -> None:
    count, open_writer, open_reader = 0, cast(Any, imageio.get_writer), cast(Any, imageio.get_reader)
    writer = open_writer(path, format="FFMPEG", fps=fps, quality=8, macro_block_size=2)
    with contextlib.closing(writer):  # imageio's own `with` lets ffmpeg write on after an error
        for frame in frames:
            writer.append_data(np.pad(frame, [*((0, side % 2) for side in frame.shape[:2]), (0, 0)], mode="edge"))
            count += 1
    with open_reader(path, format="FFMPEG") as reader:  # ffmpeg says nothing where the disk is full
        if reader.count_frames() != count:
            raise OSError(f"{path.name}: ffmpeg wrote {reader.count_frames()} of {count} frames")


def _checked(frames: Iterable[Picture]) -> Iterator[Picture]:
    """Pass frames on, as long as they are pictures of one size; at least one."""
    size: tuple[int, ...] = ()
    for number, frame in enumerate(frames):
        size = size or frame.shape[:2]
        if frame.dtype != np.uint8 or frame.shape != (*size, 3):
            expected, got = f"uint8 of shape {(*size, 3)}", f"{frame.dtype} of shape {frame.shape}"
            raise bad_input(f"frame {number}", where="picture file", expected=expected, got=got)
        yield frame
    if not size:
        raise bad_input("frames", where="picture file", expected="at least one", got=0)


@contextlib.contextmanager
def _draft(path: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Give the path of a draft, which takes the place of ``path`` at the end, or is deleted where writing fails."""
    if path.suffix.lower() not in suffixes or path.is_dir():
        raise bad_input("output", where=str(path), expected=f"a file ending in {' or '.join(suffixes)}", got=path.name)
    draft = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix.lower()}")
    try:
        draft.touch()
    except OSError as error:
        raise bad_input("output", where=str(path), expected="a folder to write to", got=error.strerror) from None
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
