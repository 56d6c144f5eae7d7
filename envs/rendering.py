"""Pictures and videos of swimmers seen from above, drawn in software: no display and no OpenGL is needed."""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import imageio.v2 as imageio
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from wormwood.envs.bodies import Body
from wormwood.envs.models import build_model
from wormwood.envs.physics import Floats
from wormwood.envs.tasks import TARGET_RADIUS
from wormwood.errors import bad_input

__all__ = ["draw_frame", "draw_strip", "draw_video", "write_picture", "write_video"]

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

SUPERSAMPLING = 3  # shapes are drawn this many times larger and then averaged, for smooth edges
WATER: tuple[Colour, Colour] = ((38, 124, 143), (46, 136, 154))  # two kinds of tiles
SHADOW, OUTLINE, SKIN, SHINE = (27, 96, 114), (130, 52, 22), (244, 142, 56), (255, 190, 112)
HEAD, EYE, PUPIL = (222, 74, 44), (255, 250, 240), (38, 26, 26)
TRAIL, TARGET, TEXT = (190, 232, 232), (255, 221, 87), (241, 250, 250)
FILL = 0.88  # share of the picture's shorter side that a straight body takes
FASTEST = {".gif": 50, ".mp4": 1000}  # frames per second; viewers slow down a GIF that claims to be faster


def draw_frame(
    body: Body,
    positions: Floats,
    *,
    target: tuple[float, float] | None = None,
    trail: Floats | None = None,
    caption: str = "",
    width: int = 480,
    height: int = 360,
) -> Picture:
    """Draw one pose. The camera follows the centre of mass, at a scale at which every pose of the body fits.

    Args:
        body: what swims.
        positions: ``[nq]`` generalized positions: root x and y (m), heading (rad), joints that are not locked (rad).
        target: its x and y in m. An arrow at the border points to a target out of sight.
        trail: ``[K, 2]`` points in m, oldest first, drawn as a line that fades.
        caption: text for the upper left corner.
        width: pixels.
        height: pixels.

    Returns:
        ``[height, width, 3]`` the picture, first row at the top; the world's y axis points up.

    Raises:
        BadInput: ``positions``, ``target`` or ``trail`` has another shape or holds something else than finite
            numbers, or a side is not a whole number from 64 to 4096.
    """
    size = _check_sides(width, height)
    spine = _spines(body, np.asarray(positions)[None], "positions")[0]
    masses = np.array(body.link_mass)
    centre = masses @ (spine[:-1] + spine[1:]) / (2 * masses.sum())
    canvas = _Canvas(body, centre, FILL * min(size) / (2 * _reach(body)), size)
    if trail is not None:
        canvas.draw_trail(_numbers(trail, "trail", (None, 2)))
    if target is not None:
        canvas.draw_target(_numbers(target, "target", (2,)))
    canvas.draw_swimmer(spine)
    return canvas.finish(caption=caption)


def draw_video(
    body: Body,
    poses: Floats,
    *,
    targets: ArrayLike | None = None,
    trail: int = 0,
    captions: Sequence[str] = (),
    width: int = 480,
    height: int = 360,
) -> Iterator[Picture]:
    """Draw one frame ``[height, width, 3]`` for each pose, when it is asked for; a frame is one of ``draw_frame``.

    Args:
        body: what swims.
        poses: ``[T, nq]`` generalized positions.
        targets: ``[2]`` or ``[T, 2]`` the target in m.
        trail: number of past frames whose head positions are drawn as a line.
        captions: T texts, or none.
        width: pixels.
        height: pixels.

    Raises:
        BadInput: at once, as ``draw_frame``; or there are more or fewer captions than poses.
    """
    _check_sides(width, height)
    heads = _spines(body, poses, "poses")[:, 0]
    _check_texts(captions, "captions", len(heads))
    goals = [None] * len(heads)
    if targets is not None:
        shape = (2,) if np.ndim(targets) == 1 else (len(heads), 2)
        goals = np.broadcast_to(_numbers(targets, "targets", shape), (len(heads), 2)).tolist()

    def draw(t: int) -> Picture:
        path, caption = heads[max(t - trail, 0) : t + 1] if trail > 0 else None, captions[t] if captions else ""
        return draw_frame(body, poses[t], target=goals[t], trail=path, caption=caption, width=width, height=height)

    return map(draw, range(len(heads)))


def draw_strip(
    body: Body,
    poses: Floats,
    *,
    target: tuple[float, float] | None = None,
    trail: Floats | None = None,
    labels: Sequence[str] = (),
    width: int = 960,
) -> Picture:
    """Draw several poses into one view, the earlier the paler, turned so that the swimmer travels to the right.

    Args:
        body: what swims.
        poses: ``[K, nq]`` generalized positions, in order of time.
        target: its x and y in m.
        trail: ``[M, 2]`` points in m, oldest first, drawn as a line that fades.
        labels: K texts that stand beside the poses, or none.
        width: pixels. The height follows from what is to be seen, and is at most the width.

    Returns:
        ``[height, width, 3]`` the picture.

    Raises:
        BadInput: as ``draw_frame``, or there are more or fewer labels than poses.
    """
    _check_sides(width, width)
    spines = _spines(body, poses, "poses")
    _check_texts(labels, "labels", len(spines))
    turn = _turn_to_right(spines)
    spines = spines @ turn
    path = np.empty((0, 2)) if trail is None else _numbers(trail, "trail", (None, 2)) @ turn
    goal = np.empty((0, 2)) if target is None else _numbers(target, "target", (2,))[None] @ turn
    seen = np.concatenate([spines.reshape(-1, 2), path, goal - TARGET_RADIUS, goal + TARGET_RADIUS])
    low, high = seen.min(axis=0), seen.max(axis=0)
    extent = high - low + 8 * _thickness(body)
    height = round(width * np.clip(extent[1] / extent[0], 0.25, 1))
    canvas = _Canvas(body, (low + high) / 2, min(width / extent[0], height / extent[1]), (width, height))
    canvas.draw_trail(path)
    for point in goal:
        canvas.draw_target(point)
    for k, spine in enumerate(spines, start=1):
        canvas.draw_swimmer(spine, pallor=0.6 * (1 - k / len(spines)))
    return canvas.finish(labels=list(zip(labels, spines, strict=False)))


class _Canvas:
    """A view of the world, drawn at SUPERSAMPLING times its size until it is finished."""

    def __init__(self, body: Body, centre: Floats, scale: float, size: tuple[int, int]) -> None:
        """Show ``size`` (width and height in pixels) around ``centre`` (m), at ``scale`` pixels for each m."""
        self.body, self.centre, self.scale, self.size = body, centre, scale, size
        self.tile = _round_number(sum(body.link_length) / 5)
        self.thickness = _thickness(body)
        ground = Image.fromarray(self._ground())
        self.image = ground.resize((size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING), Image.Resampling.NEAREST)
        self.draw = ImageDraw.Draw(self.image)

    def _ground(self) -> Picture:
        """Chequer the water with tiles, one of them centred on the origin."""
        shades = []
        for side, middle, sign in zip(self.size, self.centre, (1, -1), strict=True):
            world = middle + sign * (np.arange(side) + 0.5 - side / 2) / self.scale
            from_even = np.abs((world / self.tile + 1) % 2 - 1)  # distance from the next tile of even number, in tiles
            shades.append(np.clip((0.5 - from_even) * self.tile * self.scale * 2, -1, 1))
        mix = (np.outer(shades[1], shades[0]) * 127.5 + 127.5).round().astype(np.uint8)
        return np.linspace(*WATER, 256).round().astype(np.uint8)[mix]

    def place(self, points: Floats) -> Floats:
        """Return where points ``[..., 2]`` in m lie in the enlarged picture, counted from its first pixel's centre."""
        pixels = (points - self.centre) * [self.scale, -self.scale] + np.array(self.size) / 2
        return np.asarray(pixels * SUPERSAMPLING - 0.5)

    def disc(self, centre: Floats, radius: float, colour: Colour) -> None:
        """Fill a disc; its centre is a place, its radius is in m."""
        half = radius * self.scale * SUPERSAMPLING - 0.5
        self.draw.ellipse(np.rint([*(centre - half), *(centre + half)]).tolist(), fill=colour)

    def chain(self, points: Floats, radii: Floats, colour: Colour) -> None:
        """Fill tapering capsules from place to place ``[K, 2]``; their radii ``[K]`` are in m."""
        along = np.diff(points, axis=0)
        across = along[:, ::-1] * [1, -1] / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
        half = (radii * self.scale * SUPERSAMPLING - 0.5)[:, None]
        front, back = across * half[:-1], across * half[1:]
        sides = [points[:-1] + front, points[1:] + back, points[1:] - back, points[:-1] - front]
        for corners in np.rint(np.concatenate(sides, axis=1)).tolist():
            self.draw.polygon(corners, fill=colour)
        for point, radius in zip(points, radii, strict=True):
            self.disc(point, radius, colour)

    def draw_swimmer(self, spine: Floats, *, pallor: float = 0.0) -> None:
        """Draw a body along ``spine [L + 1, 2]`` in m, from 0 for its own colours to 1 for those of the water."""
        paint = functools.partial(_mix, share=pallor)
        size, points = self.thickness, self.place(spine)
        share = np.concatenate([[0], np.cumsum(self.body.link_length)]) / sum(self.body.link_length)
        radii = size * np.interp(share, [0, 0.35, 0.7, 1], [0.9, 1, 0.85, 0.4])
        forward = spine[0] - spine[1]
        forward /= np.hypot(*forward)
        face, head = 1.5 * size, np.stack([spine[0], spine[0] - 1.3 * size * forward])
        skull, rim = np.array([face, 0.95 * face]), max(0.14 * size, 1 / self.scale)
        drop = np.array([0, 0.8 * size * self.scale * SUPERSAMPLING])  # light falls from the top of the picture
        self.chain(points + drop, radii, paint(SHADOW))
        self.chain(self.place(head) + drop, skull, paint(SHADOW))
        self.chain(points, radii + rim, paint(OUTLINE))
        self.chain(self.place(head), skull + rim, paint(OUTLINE))
        self.chain(points, radii, paint(SKIN))
        self.chain(points - 0.25 * drop, 0.45 * radii, paint(SHINE))
        self.chain(self.place(head), skull, paint(HEAD))
        for side in (1, -1):
            eye = spine[0] + face * (0.3 * forward + side * 0.52 * forward[::-1] * [1, -1])
            self.disc(self.place(eye), 0.34 * face, paint(EYE))
            self.disc(self.place(eye + 0.1 * face * forward), 0.19 * face, paint(PUPIL))

    def draw_trail(self, points: Floats) -> None:
        """Draw a line through points ``[K, 2]`` in m, oldest first and palest."""
        places = np.rint(self.place(points)).tolist()
        width = max(2, round(0.004 * self.size[1])) * SUPERSAMPLING
        for k, (start, end) in enumerate(itertools.pairwise(places)):
            self.draw.line([*start, *end], fill=_mix(TRAIL, share=1 - (k + 1) / len(places)), width=width)

    def draw_target(self, target: Floats) -> None:
        """Draw the target at a point ``[2]`` in m, or where it is out of sight an arrow at the border towards it."""
        place, radius = self.place(target), TARGET_RADIUS * self.scale * SUPERSAMPLING
        middle = np.array(self.size) * SUPERSAMPLING / 2 - 0.5
        offset = place - middle
        if (np.abs(offset) < middle + radius).all():
            for share, colour in ((1, TARGET), (0.88, _mix(TARGET, share=0.6)), (0.3, TARGET)):
                self.disc(place, share * TARGET_RADIUS, colour)
            return
        arrow = 0.035 * min(self.size) * SUPERSAMPLING
        tip = middle + offset * np.min((middle - 0.6 * arrow) / np.maximum(np.abs(offset), 1e-9))
        along = offset / np.hypot(*offset) * arrow
        across = along[::-1] * [0.6, -0.6]
        corners = [tip, tip - 1.4 * along + across, tip - along, tip - 1.4 * along - across]
        self.draw.polygon(np.rint(np.concatenate(corners)).tolist(), fill=TARGET)

    def finish(self, *, caption: str = "", labels: Sequence[tuple[str, Floats]] = ()) -> Picture:
        """Return the picture at its size, with a scale bar and with texts; a label stands above its spine."""
        image = self.image.reduce(SUPERSAMPLING)
        draw = ImageDraw.Draw(image)
        em = max(10, round(sum(self.size) / 65))
        style: dict[str, Any] = {"fill": TEXT, "font": _font(em), "stroke_width": 1, "stroke_fill": SHADOW}
        left, bottom = em, self.size[1] - em
        right = left + round(self.tile * self.scale)
        draw.rectangle([left - 1, bottom - 3, right + 1, bottom + 1], fill=SHADOW)
        draw.rectangle([left, bottom - 2, right, bottom], fill=TEXT)
        metres = f"{self.tile:g} m" if self.tile >= 1 else f"{100 * self.tile:g} cm"
        draw.text(((left + right) / 2, bottom - em / 2), metres, anchor="mb", **style)
        draw.text((em, 0.8 * em), caption, anchor="la", **style)
        for text, spine in labels:
            x, y = self.place(spine).T / SUPERSAMPLING
            draw.text((x.mean(), y.min() - em), text, anchor="mb", **style)
        return np.array(image)


def _mix(colour: Colour, *, share: float) -> Colour:
    """Return the colour with a share of water in it."""
    red, green, blue = (round(c + share * (w - c)) for c, w in zip(colour, WATER[0], strict=True))
    return red, green, blue


def _round_number(value: float) -> float:
    """Return 1, 2 or 5 times a power of ten, the one next to a positive value."""
    numbers = [float(f"{digit}e{power}") for power in range(-9, 10) for digit in (1, 2, 5)]
    return min(numbers, key=lambda number: abs(math.log(number / value)))


def _thickness(body: Body) -> float:
    """Return the largest radius of the body as it is drawn, in m: thick enough to be seen in a long body."""
    return max(0.025 * sum(body.link_length), 0.1 * sum(body.link_length) / body.links)


def _reach(body: Body) -> float:
    """Return how far from its centre of mass a body can extend in any pose, in m."""
    ends = np.concatenate([[0], np.cumsum(body.link_length)])
    centre = np.average((ends[:-1] + ends[1:]) / 2, weights=body.link_mass)
    return float(max(centre, ends[-1] - centre)) + 1.5 * _thickness(body)


def _turn_to_right(spines: Floats) -> Floats:
    """Return the matrix ``[2, 2]`` that turns row vectors so that the way from the first to the last spine is +x.

    A swimmer that gets nowhere is turned so that its head looks there.
    """
    middles = spines.mean(axis=1)
    way = middles[-1] - middles[0]
    if np.hypot(*way) < 0.1 * np.ptp(spines[0], axis=0).max():
        way = spines[0, 0] - spines[0, -1]
    x, y = way / max(np.hypot(*way), 1e-9)
    return np.array([[x, -y], [y, x]])


@functools.lru_cache(maxsize=32)
def _model(body: Body) -> tuple[Any, NDArray[np.intp]]:
    """Return the compiled body and the numbers of the sites at the centres of its links."""
    model = build_model(body)
    return model, np.array([model.site(f"link_{link}").id for link in range(body.links)])


def _spines(body: Body, poses: ArrayLike, name: str) -> Floats:
    """Return the ends of all links ``[K, L + 1, 2]`` in m, from the front of the head to the tail.

    Raises:
        BadInput: ``poses`` is not ``[K, nq]`` finite numbers.
    """
    model, sites = _model(body)
    poses = _numbers(poses, name, (None, model.nq))
    data, half = mujoco.MjData(model), np.array(body.link_length)[:, None] / 2
    spines = np.empty((len(poses), body.links + 1, 2))
    for spine, pose in zip(spines, poses, strict=True):
        data.qpos[:] = pose
        mujoco.mj_kinematics(model, data)
        middles = data.site_xpos[sites, :2]
        back = half * data.site_xmat[sites].reshape(-1, 3, 3)[:, :2, 1]  # links look along the -y axis of their sites
        spine[0], spine[1:] = middles[0] - back[0], middles + back
    return spines


def _numbers(values: ArrayLike, name: str, shape: tuple[int | None, ...]) -> Floats:
    """Return finite numbers of a shape, in which None stands for any length of at least 1."""
    array = np.asarray(values)
    fits = array.ndim == len(shape) and all(n > 0 and m in (n, None) for n, m in zip(array.shape, shape, strict=True))
    sizes = ", ".join("any" if n is None else str(n) for n in shape)
    if not fits or array.dtype.kind not in "fiu":
        got = f"{array.dtype} of shape {array.shape}"
        raise bad_input(name, where="picture", expected=f"numbers of shape ({sizes})", got=got)
    if not np.isfinite(array).all():
        raise bad_input(name, where="picture", expected="finite numbers", got=array.ravel().tolist())
    return array.astype(np.float64)


def _check_texts(texts: Sequence[str], name: str, count: int) -> None:
    if len(texts) not in (0, count):
        raise bad_input(name, where="picture", expected=f"none or {count}, one for each pose", got=list(texts))


def _check_sides(width: int, height: int) -> tuple[int, int]:
    for name, side in (("width", width), ("height", height)):
        if isinstance(side, bool) or not isinstance(side, int) or not 64 <= side <= 4096:
            raise bad_input(name, where="picture", expected="a whole number from 64 to 4096", got=side)
    return width, height


@functools.lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


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
        BadInput: the suffix is neither .gif nor .mp4, the folder cannot be written, there is no frame, a frame is no
            picture or has another size than the first, or ``fps`` is out of range.
        OSError: writing failed, as where the disk is full.
    """
    with _draft(path, tuple(FASTEST)) as draft:
        if not 0 < fps <= FASTEST[draft.suffix]:
            expected = f"more than 0 and at most {FASTEST[draft.suffix]}"
            raise bad_input("fps", where=str(path), expected=expected, got=fps)
        (_write_gif if draft.suffix == ".gif" else _write_mp4)(draft, _checked(frames), fps)


def _write_gif(path: Path, frames: Iterator[Picture], fps: float) -> None:
    first = next(frames)
    packed = [zlib.compress(frame.tobytes(), 1) for frame in itertools.chain([first], frames)]

    def unpack(data: bytes) -> Image.Image:
        return Image.frombytes("RGB", first.shape[1::-1], zlib.decompress(data))

    some = [np.asarray(unpack(data)) for data in packed[:: math.ceil(len(packed) / 24)]]
    # One colour fewer than a GIF holds: the last one marks what did not change since the frame before.
    palette = Image.fromarray(np.concatenate(some)).quantize(255)
    images = (unpack(data).quantize(palette=palette, dither=Image.Dither.NONE) for data in packed)
    # A GIF counts in hundredths of a second; rounding their sum keeps the whole video's length.
    times = 10 * np.round(np.arange(len(packed) + 1) * 100 / fps).astype(int)
    options = {"palette": bytes(palette.getpalette() or []), "duration": np.diff(times).tolist(), "loop": 0}
    next(images).save(path, save_all=True, append_images=images, optimize=True, **options)


def _write_mp4(path: Path, frames: Iterator[Picture], fps: float) -> None:
    count, open_writer, open_reader = 0, cast(Any, imageio.get_writer), cast(Any, imageio.get_reader)
    with open_writer(path, format="FFMPEG", fps=fps, quality=8, macro_block_size=2) as writer:
        for frame in frames:
            writer.append_data(np.pad(frame, [*((0, side % 2) for side in frame.shape[:2]), (0, 0)], mode="edge"))
            count += 1
    # ffmpeg ends without a word where the disk is full.
    with open_reader(path, format="FFMPEG") as reader:
        if reader.count_frames() != count:
            raise OSError(f"{path.name}: ffmpeg wrote {reader.count_frames()} of {count} frames")


def _checked(frames: Iterable[Picture]) -> Iterator[Picture]:
    """Pass frames on, as long as they are pictures of one size; at least one."""
    shape: tuple[int, ...] = ()
    for number, frame in enumerate(frames):
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.shape != (shape or frame.shape):
            got = f"{frame.dtype} of shape {frame.shape}"
            expected = f"uint8 of shape {shape or '(height, width, 3)'}"
            raise bad_input(f"frame {number}", where="picture file", expected=expected, got=got)
        shape = frame.shape
        yield frame
    if not shape:
        raise bad_input("frames", where="picture file", expected="at least one", got=0)


@contextlib.contextmanager
def _draft(path: Path, suffixes: tuple[str, ...]) -> Iterator[Path]:
    """Give the path of a draft, which takes the place of ``path`` at the end, or is deleted where writing fails."""
    if path.suffix.lower() not in suffixes:
        raise bad_input("file name", where=str(path), expected=f"one ending in {' or '.join(suffixes)}", got=path.name)
    draft = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix.lower()}")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        draft.touch()
    except OSError as error:
        expected = "a file in a folder that can be written"
        raise bad_input("output", where=str(path), expected=expected, got=error.strerror) from None
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
