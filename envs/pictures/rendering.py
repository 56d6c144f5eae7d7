"""Swimmers seen from above, drawn in software: no display and no OpenGL is needed."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont, ImageOps

from wormwood.envs.bodies import Body
from wormwood.envs.models import build_model
from wormwood.envs.physics import Floats
from wormwood.envs.pictures.files import Picture
from wormwood.envs.tasks import TARGET_RADIUS
from wormwood.errors import bad_input

__all__ = ["draw_frame", "draw_strip", "draw_video"]

Colour = tuple[int, ...]

SUPERSAMPLING = 3  # shapes are drawn this many times larger and then averaged, for smooth edges
WATER = ((38, 124, 143), (46, 136, 154))  # two kinds of tiles
SHADOW, OUTLINE, SKIN, SHINE = (27, 96, 114), (130, 52, 22), (244, 142, 56), (255, 190, 112)
HEAD, EYE, PUPIL = (222, 74, 44), (255, 250, 240), (38, 26, 26)
TRAIL, TARGET, TEXT = (190, 232, 232), (255, 221, 87), (241, 250, 250)


def draw_frame(
    body: Body,
    positions: Floats,
    *,
    target: tuple[float, float] | None = None,
    trail: Floats | None = None,
    width: int = 480,
    height: int = 360,
) -> Picture:
    """Draw one pose into ``[height, width, 3]``, seen from above with the y axis upwards.

    The camera follows the centre of mass, at a scale at which every pose of the body fits.

    Args:
        body: what swims.
        positions: ``[nq]`` generalized positions: root x and y (m), heading (rad), joints that are not locked (rad).
        target: its x and y in m. An arrow at the border points to a target out of sight.
        trail: ``[K, 2]`` points in m, oldest first, drawn as a line that fades.
        width: pixels.
        height: pixels.

    Raises:
        BadInput: ``positions``, ``target`` or ``trail`` has another shape or holds something else than finite
            numbers, or a side is not a whole number from 64 to 4096.
    """
    size = _check_sides(width, height)
    spine = _spines(body, _numbers(positions, "positions", (_model(body).nq,))[None])[0]
    centre = np.average((spine[:-1] + spine[1:]) / 2, axis=0, weights=body.link_mass)
    canvas = _Canvas(body, centre, 0.44 * min(size) / _measures(body)[1], size)
    canvas.draw_trail(np.empty((0, 2)) if trail is None else _numbers(trail, "trail", (None, 2)))
    if target is not None:
        canvas.draw_target(_numbers(target, "target", (2,)))
    canvas.draw_swimmer(spine)
    return canvas.finish()


def draw_video(
    body: Body,
    poses: Floats,
    *,
    targets: ArrayLike | None = None,
    trail: int = 0,
    width: int = 480,
    height: int = 360,
) -> Iterator[Picture]:
    """Draw one frame ``[height, width, 3]`` for each pose, when it is asked for; a frame is one of ``draw_frame``.

    Args:
        body: what swims.
        poses: ``[T, nq]`` generalized positions.
        targets: ``[2]`` or ``[T, 2]`` the target in m.
        trail: number of past frames whose head positions are drawn as a line.
        width: pixels.
        height: pixels.

    Raises:
        BadInput: at once, as ``draw_frame``.
    """
    _check_sides(width, height)
    heads = _spines(body, _numbers(poses, "poses", (None, _model(body).nq)))[:, 0]
    goals, shape = [None] * len(heads), (len(heads), 2)
    if targets is not None:
        goals = np.broadcast_to(_numbers(targets, "targets", shape[-np.ndim(targets) :]), shape).tolist()
    paths = [heads[max(t - trail, 0) : t + 1] if trail > 0 else None for t in range(len(heads))]
    return (
        draw_frame(body, pose, target=goal, trail=path, width=width, height=height)
        for pose, goal, path in zip(poses, goals, paths, strict=True)
    )


def draw_strip(
    body: Body,
    poses: Floats,
    *,
    target: tuple[float, float] | None = None,
    labels: Sequence[str] = (),
    width: int = 960,
) -> Picture:
    """Draw poses into one view ``[height, width, 3]``, the earlier the paler, turned so that they travel to the right.

    Args:
        body: what swims.
        poses: ``[K, nq]`` generalized positions, in order of time.
        target: its x and y in m.
        labels: K texts that stand above the poses, or none. One that would lie on that of a later pose is left out.
        width: pixels. The height follows from what is to be seen, and is at most the width.

    Raises:
        BadInput: as ``draw_frame``, or there are more or fewer labels than poses.
    """
    _check_sides(width, width)
    spines = _spines(body, _numbers(poses, "poses", (None, _model(body).nq)))
    _check_texts(labels, "labels", len(spines))
    turn = _turn_to_right(spines)
    spines = spines @ turn
    goal = np.empty((0, 2)) if target is None else _numbers(target, "target", (2,))[None] @ turn
    seen = np.concatenate([spines.reshape(-1, 2), goal - TARGET_RADIUS, goal + TARGET_RADIUS])
    low, high = seen.min(axis=0), seen.max(axis=0)
    extent = high - low + 8 * _measures(body)[0]
    height = round(width * np.clip(extent[1] / extent[0], 0.25, 1))
    canvas = _Canvas(body, (low + high) / 2, min(width / extent[0], height / extent[1]), (width, height))
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
        numbers = [float(f"{digit}e{power}") for power in range(-9, 10) for digit in (1, 2, 5)]
        self.tile = min(numbers, key=lambda number: abs(math.log(number * scale / (0.16 * min(size)))))
        self.image = ImageOps.scale(Image.fromarray(self._ground()), SUPERSAMPLING, Image.Resampling.NEAREST)
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
        half = max(radius * self.scale * SUPERSAMPLING - 0.5, 0)
        self.draw.ellipse(np.rint([*(centre - half), *(centre + half)]).tolist(), fill=colour)

    def chain(self, points: Floats, radii: Floats, colour: Colour) -> None:
        """Fill tapering capsules from place to place ``[K, 2]``; their radii ``[K]`` are in m."""
        along = np.diff(points, axis=0)
        across = along[:, ::-1] * [1, -1] / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
        half = np.maximum(radii * self.scale * SUPERSAMPLING - 0.5, 0)[:, None]
        front, back = across * half[:-1], across * half[1:]
        sides = [points[:-1] + front, points[1:] + back, points[1:] - back, points[:-1] - front]
        for corners in np.rint(np.concatenate(sides, axis=1)).tolist():
            self.draw.polygon(corners, fill=colour)
        for point, radius in zip(points, radii, strict=True):
            self.disc(point, radius, colour)

    def draw_swimmer(self, spine: Floats, *, pallor: float = 0.0) -> None:
        """Draw a body along ``spine [L + 1, 2]`` in m, from 0 for its own colours to 1 for those of the water."""
        size, points = _measures(self.body)[0], self.place(spine)
        share = np.concatenate([[0], np.cumsum(self.body.link_length)]) / sum(self.body.link_length)
        radii = size * np.interp(share, [0, 0.35, 0.7, 1], [0.9, 1, 0.85, 0.4])
        forward = (spine[0] - spine[1]) / np.hypot(*(spine[0] - spine[1]))
        head, skull = self.place(np.stack([spine[0], spine[0] - 1.3 * size * forward])), size * np.array([1.5, 1.4])
        rim = max(0.14 * size, 1 / self.scale)
        drop = np.array([0, 0.8 * size * self.scale * SUPERSAMPLING])  # light falls from the top of the picture
        chains = [points + drop, head + drop, points, head, points, points - 0.25 * drop, head]
        widths = [radii, skull, radii + rim, skull + rim, radii, 0.45 * radii, skull]
        colours = [SHADOW, SHADOW, OUTLINE, OUTLINE, SKIN, SHINE, HEAD]
        for chain, width, colour in zip(chains, widths, colours, strict=True):
            self.chain(chain, width, _mix(colour, share=pallor))
        for side in (-1, 1):
            eye = spine[0] + size * (0.45 * forward + side * 0.78 * forward[::-1] * [1, -1])
            self.disc(self.place(eye), 0.51 * size, _mix(EYE, share=pallor))
            self.disc(self.place(eye + 0.15 * size * forward), 0.29 * size, _mix(PUPIL, share=pallor))

    def draw_trail(self, points: Floats) -> None:
        """Draw a line through points ``[K, 2]`` in m, oldest first and palest."""
        places = np.rint(np.clip(self.place(points), -1e6, 1e6)).tolist()  # Pillow counts in 32 bits
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
        size = 0.035 * min(self.size) * SUPERSAMPLING
        tip = middle + offset * np.min((middle - 0.6 * size) / np.maximum(np.abs(offset), 1e-9))
        along = offset / np.hypot(*offset) * size
        across = along[::-1] * [0.6, -0.6]
        arrow = np.concatenate([tip, tip - 1.4 * along + across, tip - along, tip - 1.4 * along - across])
        self.draw.polygon(np.rint(arrow).tolist(), fill=TARGET)

    def finish(self, *, labels: Sequence[tuple[str, Floats]] = ()) -> Picture:
        """Return the picture at its size, with a scale bar, and labels above their spines."""
        image = self.image.reduce(SUPERSAMPLING)
        draw = ImageDraw.Draw(image)
        em = max(10, round(sum(self.size) / 65))
        style: dict[str, Any] = {"fill": TEXT, "font": _font(em), "stroke_width": 1, "stroke_fill": SHADOW}
        left, right, bottom = em, em + round(self.tile * self.scale), self.size[1] - em
        draw.rectangle([left - 1, bottom - 3, right + 1, bottom + 1], fill=SHADOW)
        draw.rectangle([left, bottom - 2, right, bottom], fill=TEXT)
        metres = f"{self.tile:g} m" if self.tile >= 1 else f"{100 * self.tile:g} cm"
        draw.text(((left + right) / 2, bottom - em / 2), metres, anchor="mb", **style)
        self._write_labels(draw, labels, em=em, style=style)
        return np.array(image)

    def _write_labels(
        self, draw: ImageDraw.ImageDraw, labels: Sequence[tuple[str, Floats]], *, em: int, style: dict[str, Any]
    ) -> None:
        """Write the latest label first; an earlier one that would lie on another is left out."""
        away = max(em, 2 * _measures(self.body)[0] * self.scale)  # clear of the body around the spine
        written: list[tuple[float, ...]] = []
        for text, spine in reversed([label for label in labels if label[0]]):
            x, y = self.place(spine).T / SUPERSAMPLING
            right, bottom = draw.textbbox((0, 0), text, anchor="rb", font=style["font"], stroke_width=1)[:2]
            width, height = -right, -bottom
            left = float(np.clip(x.mean() - width / 2, 0.5 * em, max(0.5 * em, self.size[0] - 0.5 * em - width)))
            top = max(y.min() - away - height, 0.5 * em)
            box = left, top, left + width + 0.5 * em, top + height + 0.5 * em  # with the space between texts
            if all(box[2] < a or box[0] > c or box[3] < b or box[1] > d for a, b, c, d in written):
                written.append(box)
                draw.text((left + width, top + height), text, anchor="rb", **style)


def _mix(colour: Colour, *, share: float) -> Colour:
    """Return the colour with a share of water in it."""
    return tuple(round(c + share * (w - c)) for c, w in zip(colour, WATER[0], strict=True))


def _measures(body: Body) -> tuple[float, float]:
    """Return the largest radius of the drawn body, and how far from its centre of mass it extends in any pose, in m."""
    ends = np.concatenate([[0], np.cumsum(body.link_length)])
    radius = ends[-1] * max(0.025, 0.1 / body.links)  # a long body would be a hair if it were drawn at its own radius
    centre = np.average((ends[:-1] + ends[1:]) / 2, weights=body.link_mass)
    return float(radius), float(max(centre, ends[-1] - centre) + 1.5 * radius)


def _turn_to_right(spines: Floats) -> Floats:
    """Return the matrix ``[2, 2]`` that turns row vectors so that a swimmer travels, or at rest looks, along +x."""
    way = spines[-1].mean(axis=0) - spines[0].mean(axis=0)
    if np.hypot(*way) < 0.1 * np.ptp(spines[0], axis=0).max():
        way = spines[0, 0] - spines[0, 1]
    x, y = way / np.hypot(*way)
    return np.array([[x, -y], [y, x]])


def _spines(body: Body, poses: Floats) -> Floats:
    """Return the ends of all links ``[K, L + 1, 2]`` in m, head first, of poses ``[K, nq]``."""
    model = _model(body)
    sites = [model.site(f"link_{link}").id for link in range(body.links)]
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
    if not fits or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        expected = f"finite numbers of shape {shape}".replace("None", "any")
        got = array.ravel().tolist() if fits else f"{array.dtype} of shape {array.shape}"
        raise bad_input(name, where="picture", expected=expected, got=got)
    return array.astype(np.float64)


def _check_texts(texts: Sequence[str], name: str, count: int) -> None:
    if len(texts) not in (0, count):
        raise bad_input(name, where="picture", expected=f"none or one for each of {count} poses", got=list(texts))


def _check_sides(width: int, height: int) -> tuple[int, int]:
    for name, side in (("width", width), ("height", height)):
        if isinstance(side, bool) or not isinstance(side, int) or not 64 <= side <= 4096:
            raise bad_input(name, where="picture", expected="a whole number from 64 to 4096", got=side)
    return width, height


_model = functools.lru_cache(maxsize=32)(build_model)
_font = functools.lru_cache(maxsize=8)(ImageFont.load_default)
