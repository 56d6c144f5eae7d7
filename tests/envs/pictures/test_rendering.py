"""Pictures and videos: what is drawn where."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, load_body, swimmer
from wormwood.envs.pictures import rendering
from wormwood.envs.pictures.rendering import draw_frame, draw_strip, draw_video
from wormwood.errors import BadInput

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]

SIX = swimmer(6)
STRAIGHT = np.zeros(8)  # from (0, -0.05), where the head's front is, upwards to (0, 0.55)
SCALE = 0.44 * 360 / (0.3 + 1.5 * 0.015)  # pixels per m of six links of 0.1 m, whose radius is 0.015 m


def _has_colour(picture: Picture, colour: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.asarray((np.abs(picture.astype(int) - colour) <= 2).all(axis=2))


def _worm(picture: Picture) -> NDArray[np.bool_]:
    """Tell where there is more red than blue, which water has not."""
    return np.asarray(picture[..., 0].astype(int) > picture[..., 2].astype(int) + 40)


def _box(mask: NDArray[np.bool_]) -> list[int]:
    """Return the first and last column, and the first and last row."""
    rows, columns = np.nonzero(mask)
    return [columns.min(), columns.max(), rows.min(), rows.max()]


def _wave(body: Body, count: int) -> Floats:
    """Make poses of a travelling wave on the way to +x."""
    free, t = len(body.free_joints), np.arange(count)[:, None]
    joints = 0.5 * np.sin(2 * np.pi * (t / 20 - np.arange(free) / 6))
    return np.concatenate([0.02 * t, 0 * t, 0 * t + np.pi / 2, joints], axis=1)


# --- one frame ---


def test_a_straight_swimmer_is_where_its_pose_says() -> None:
    picture = draw_frame(SIX, STRAIGHT)
    assert picture.shape == (360, 480, 3)
    assert picture.dtype == np.uint8
    # Its middle is in the picture's middle; the head looks along -y, which is down.
    head = _has_colour(picture, rendering.HEAD)
    assert head[round(180 + 0.29 * SCALE), 240]
    left, right, top, bottom = _box(_worm(picture))
    assert (left + right) / 2 == pytest.approx(239.5, abs=1)
    assert top == pytest.approx(180 - SCALE * (0.3 + 0.4 * 0.015), abs=2.5)  # the tail tapers to 0.4 of the radius
    assert bottom == pytest.approx(180 + SCALE * (0.3 + 1.5 * 0.015), abs=2.5)
    assert _box(head)[2] > 240
    skin = _has_colour(picture, rendering.SKIN) | _has_colour(picture, rendering.SHINE)
    for y in np.arange(-0.2, 0.3, 0.1):
        assert skin[round(180 - SCALE * y), 238:242].any()


def test_it_has_two_eyes_at_the_front() -> None:
    eyes = _has_colour(draw_frame(SIX, STRAIGHT), rendering.EYE)
    left, right, top, bottom = _box(eyes)
    assert eyes.sum() == 2 * eyes[:, :240].sum() > 0
    assert left + right == 479
    assert 180 + 0.29 * SCALE < top < bottom < 180 + 0.33 * SCALE


def test_heading_turns_it_counterclockwise() -> None:
    # A quarter turn takes -y to +x.
    positions = np.array([0, 0, np.pi / 2, 0, 0, 0, 0, 0])
    left, right, top, bottom = _box(_worm(draw_frame(SIX, positions)))
    assert right - left > 8 * (bottom - top)
    assert _box(_has_colour(draw_frame(SIX, positions), rendering.HEAD))[0] > 360


@pytest.mark.parametrize("shift", [(0.2, 0), (0, -0.2), (0.1, 0.1), (-0.4, 0.6)])
def test_a_tile_further_all_looks_the_same(shift: tuple[float, float]) -> None:
    # Tiles are as long as the scale bar of 10 cm, light and dark in turn.
    bent = np.array([0.013, 0.027, 0.4, 0.3, -0.2, 0.5, 0.1, -0.4])
    moved = bent.copy()
    moved[:2] += shift
    difference = np.abs(draw_frame(SIX, bent).astype(int) - draw_frame(SIX, moved))
    assert (difference > 1).mean() < 1e-4
    moved[0] += 0.1  # one tile, where light and dark change places
    assert (draw_frame(SIX, bent) != draw_frame(SIX, moved)).any(axis=2).mean() > 0.5


def test_a_mirrored_pose_is_a_mirrored_picture() -> None:
    bent = np.array([0.013, 0.027, 0.4, 0.3, -0.2, 0.5, 0.1, -0.4])
    mirrored = bent * [-1, 1, -1, -1, -1, -1, -1, -1]
    one, two = draw_frame(SIX, bent)[:300], draw_frame(SIX, mirrored)[:300, ::-1]  # above the scale bar
    difference = np.abs(one.astype(int) - two).max(axis=2)
    assert (difference > 100).mean() < 1e-3
    assert (_worm(one) != _worm(two)).sum() < 0.02 * _worm(one).sum()


def test_a_heavy_head_moves_the_camera() -> None:
    # All but all of the mass is in the head link, whose middle is at the origin.
    heavy = swimmer(6, link_mass=(1e6, 1, 1, 1, 1, 1))
    picture = draw_frame(heavy, STRAIGHT)
    _, _, top, bottom = _box(_worm(picture))
    scale = 0.44 * 360 / (0.55 + 1.5 * 0.015)
    assert bottom == pytest.approx(180 + scale * (0.05 + 1.5 * 0.015), abs=2.5)
    assert top == pytest.approx(180 - scale * (0.55 + 0.4 * 0.015), abs=2.5)


def test_a_locked_joint_is_straight() -> None:
    stiff = swimmer(3, locked=(0,))
    np.testing.assert_array_equal(
        draw_frame(stiff, np.array([0.1, 0.2, 0.3, 0.4])), draw_frame(swimmer(3), np.array([0.1, 0.2, 0.3, 0.0, 0.4]))
    )


def test_link_lengths_are_drawn() -> None:
    # The first joint, 0.3 m behind the front, bends by a right angle: 0.3 m up, and 0.1 m to the side.
    body = swimmer(2, link_length=(0.3, 0.1), link_mass=(1.0, 1.0))
    left, right, top, bottom = _box(_worm(draw_frame(body, np.array([0, 0, 0, np.pi / 2]))))
    radius = 0.4 * 0.05
    scale = 0.44 * 360 / (0.25 + 1.5 * radius)  # the centre of mass is 0.25 m behind the front
    assert right - left == pytest.approx(scale * (0.1 + 1.4 * radius + 0.5 * radius), abs=0.7 * scale * radius)
    assert bottom - top == pytest.approx(scale * (0.3 + 1.5 * radius + radius), abs=0.3 * scale * radius)


@pytest.mark.parametrize(
    "body", [*(swimmer(links) for links in (2, 3, 12, 25)), GYMNASIUM_SWIMMER, load_body("tapered"), load_body("heavy")]
)
@pytest.mark.parametrize("size", [(480, 360), (64, 100)])
def test_every_body_fits(body: Body, size: tuple[int, int]) -> None:
    width, height = size
    for heading in (0.0, 0.7, np.pi / 2):
        for bend in (0.0, 0.3):
            positions = np.array([3.0, -2.0, heading, *[bend] * len(body.free_joints)])
            picture = draw_frame(body, positions, width=width, height=height)
            assert picture.shape == (height, width, 3)
            left, right, top, bottom = _box(_worm(picture))
            assert left > 0
            assert top > 0
            assert right < width - 1
            assert bottom < height - 1
            assert bend or max(right - left, bottom - top) > 0.5 * min(size)


def test_the_gymnasium_swimmer_looks_along_x() -> None:
    picture = draw_frame(GYMNASIUM_SWIMMER, np.zeros(5))
    left, right, top, bottom = _box(_worm(picture))
    assert right - left > 8 * (bottom - top)
    # The head begins 1.5 m ahead of the middle, less 2.7 radii of 0.1 m; 1.65 m with its front are 0.44 of the height.
    assert _box(_has_colour(picture, rendering.HEAD))[0] == pytest.approx(240 + 96 * (1.5 - 0.27), abs=3)


def test_a_target_in_sight_is_a_disc() -> None:
    # The camera looks at (0, 0.25), and the target is 0.1 m right of the middle of the body and to the top of it.
    target = _has_colour(draw_frame(SIX, STRAIGHT, target=(0.3, 0.35)), rendering.TARGET)
    assert target[round(180 - 0.1 * SCALE), round(240 + 0.3 * SCALE)]
    expected = [240 + 0.2 * SCALE, 240 + 0.4 * SCALE, 180 - 0.2 * SCALE, 180]
    np.testing.assert_allclose(_box(target), expected, atol=1.5)


@pytest.mark.parametrize(("target", "middle"), [((9, 0.25), (470, 180)), ((-9, 0.25), (9, 180)), ((0, 99), (240, 9))])
def test_a_target_out_of_sight_is_an_arrow_at_the_border(
    target: tuple[float, float], middle: tuple[float, float]
) -> None:
    left, right, top, bottom = _box(_has_colour(draw_frame(SIX, STRAIGHT, target=target), rendering.TARGET))
    np.testing.assert_allclose([(left + right) / 2, (top + bottom) / 2], middle, atol=8)
    assert 5 < right - left < 25
    assert 5 < bottom - top < 25


def test_a_trail_fades() -> None:
    # Level at the height of the camera, from its left to its right.
    trail = np.stack([np.linspace(-0.4, 0.4, 50), np.full(50, 0.4)], axis=1)
    bare, drawn = draw_frame(SIX, STRAIGHT), draw_frame(SIX, STRAIGHT, trail=trail)
    change = np.abs(drawn.astype(int) - bare).sum(axis=2)[round(180 - 0.15 * SCALE)]
    assert change[100] < change[180] < change[300] < change[400]
    assert (drawn != bare).any(axis=2).sum() < 3 * 480


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"positions": np.zeros(7)}, "positions"),
        ({"positions": np.full(8, np.nan)}, "positions in picture: expected finite numbers"),
        ({"positions": ["a"] * 8}, "positions"),
        ({"width": 63}, "width in picture: expected a whole number from 64 to 4096, got 63"),
        ({"height": 100.0}, "height"),
        ({"target": (1.0, np.inf)}, "target"),
        ({"target": (1.0, 2.0, 3.0)}, "target"),
        ({"trail": np.zeros(2)}, "trail"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        draw_frame(SIX, **{"positions": STRAIGHT, **arguments})


def test_wild_numbers_are_drawn() -> None:
    far = np.array([1e12, -1e12, 1e6, *[30.0] * 5])
    assert draw_frame(SIX, far, target=(1e12, 1e12), trail=np.array([[0, 0], [1e12, 1e15]])).shape == (360, 480, 3)


# --- many poses ---


def test_a_video_is_its_frames() -> None:
    poses = _wave(SIX, 6)
    targets = np.linspace([0.1, 0.2], [0.3, 0.4], 6)
    frames = list(draw_video(SIX, poses, targets=targets, width=160, height=120))
    assert len(frames) == 6
    for t in (0, 5):
        expected = draw_frame(SIX, poses[t], target=tuple(targets[t]), width=160, height=120)
        np.testing.assert_array_equal(frames[t], expected)
    same = next(draw_video(SIX, poses, targets=[0.1, 0.2]))
    np.testing.assert_array_equal(same, draw_frame(SIX, poses[0], target=(0.1, 0.2)))


def test_the_trail_is_where_the_head_was() -> None:
    # With no bend and heading π/2, the front is at the root: (0, -0.05) turned about itself.
    poses = np.zeros((5, 8))
    poses[:, 1] = [0, 0.1, 0.2, 0.3, 0.4]
    last = list(draw_video(SIX, poses, trail=2))[-1]
    expected = draw_frame(SIX, poses[4], trail=np.array([[0, 0.15], [0, 0.25], [0, 0.35]]))
    np.testing.assert_array_equal(last, expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"poses": np.zeros((3, 7))}, "poses"),
        ({"poses": np.zeros((0, 8))}, "poses"),
        ({"targets": np.zeros((2, 2))}, "targets"),
        ({"width": 1}, "width"),
    ],
)
def test_a_wrong_video_is_refused_at_once(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        draw_video(SIX, **{"poses": np.zeros((3, 8)), **arguments})


def test_a_strip_travels_to_the_right() -> None:
    # Upwards, head first: heading π. The strip turns it, so it is wide, and the last head is at the right.
    poses = np.zeros((3, 8))
    poses[:, 1], poses[:, 2] = [0, 0.8, 1.6], np.pi
    picture = draw_strip(SIX, poses, labels=["a", "b", "c"])
    assert picture.shape == (240, 960, 3)  # no flatter than 1 to 4
    heads = _has_colour(picture, rendering.HEAD)
    assert _box(heads)[0] > 880  # the earlier ones are paler
    # From tail to head there are 1.6 + 0.6 m, and 4 radii of 0.015 m at either side.
    scale = 960 / (2.2 + 8 * 0.015)
    skin = _has_colour(picture, rendering.SKIN) | _has_colour(picture, rendering.SHINE)
    assert _box(skin)[0] == pytest.approx(960 - scale * (0.6 + 4 * 0.015), abs=5)
    assert (draw_strip(SIX, poses) != picture).any(axis=2)[:120].any()


def test_a_strip_shows_the_target() -> None:
    poses = _wave(SIX, 40)[::13]
    picture = draw_strip(SIX, poses, target=(0.5, 1.0), width=320)
    assert picture.shape[1] == 320 >= picture.shape[0] > 160
    disc = _has_colour(picture, rendering.TARGET)
    left, right, top, bottom = _box(disc)
    assert right - left == pytest.approx(bottom - top, abs=2)
    assert top < picture.shape[0] / 4


@pytest.mark.parametrize("poses", [np.zeros((1, 8)), np.zeros((3, 8)), [[0] * 8, [1000] + [0] * 7]])
def test_a_strip_of_any_poses_is_drawn(poses: Any) -> None:
    assert draw_strip(SIX, poses).shape[1] == 960
    with pytest.raises(BadInput, match="labels"):
        draw_strip(SIX, poses, labels=["a"] * 7)


def _label_masks(poses: Floats, labels: list[str], **options: Any) -> tuple[Any, list[Any]]:
    """Return where labels change the picture: all together, and each when it is alone."""
    bare = draw_strip(SIX, poses, **options)

    def changed(texts: list[str]) -> Any:
        return (draw_strip(SIX, poses, labels=texts, **options) != bare).any(axis=2)

    alone = [changed([text if k == i else "" for i, text in enumerate(labels)]) for k in range(len(labels))]
    return changed(labels), alone


def test_labels_of_poses_that_are_apart_are_all_written_clear_of_each_other() -> None:
    together, alone = _label_masks(_wave(SIX, 120)[::29], ["0.0 s", "0.9 s", "1.7 s", "2.6 s", "3.5 s"])
    assert all(mask.sum() > 50 for mask in alone)
    np.testing.assert_array_equal(together, np.any(alone, axis=0))
    for one, other in itertools.pairwise(_box(mask) for mask in alone):
        assert one[1] + 3 < other[0], "from left to right, with space between"


def test_a_swimmer_that_does_not_move_has_the_label_of_the_last_pose_alone() -> None:
    together, alone = _label_masks(np.tile(STRAIGHT, (5, 1)), [f"{3 * k:.1f} s" for k in range(5)])
    assert alone[4].sum() > 50
    np.testing.assert_array_equal(together, alone[4])
    # It stands above the body, which lies in the middle of the picture.
    picture = draw_strip(SIX, np.tile(STRAIGHT, (5, 1)))
    left, right, top, bottom = _box(together)
    assert 0 < top < bottom < _box(_worm(picture))[2]
    assert (left + right) / 2 == pytest.approx(480, abs=10)


@pytest.mark.parametrize("speed", [1e-4, 1e-3, 3e-3, 1e-2])
def test_no_label_lies_on_another(speed: float) -> None:
    poses = np.tile([0.0, 0.0, 0.3, 0.8, 0.8, 0.8, 0.8, 0.8], (7, 1))
    poses[:, :2] += speed * np.array([[k, (-1) ** k * k] for k in range(7)])
    together, alone = _label_masks(poses, [f"{k}.0 s" for k in range(7)])
    written = [mask for mask in alone if together[mask].all()]
    np.testing.assert_array_equal(together, np.any(written, axis=0))
    np.testing.assert_array_equal(written[-1], alone[-1])
    for one, other in itertools.combinations((_box(mask) for mask in written), 2):
        assert one[1] < other[0] or other[1] < one[0] or one[3] < other[2] or other[3] < one[2]


def test_a_label_stands_clear_of_a_large_swimmer() -> None:
    bent = np.array([[0.0, 0.0, 0.3, 0.8, 0.8, 0.8, 0.8, 0.8]])
    written, _ = _label_masks(bent, ["12.0 s"])
    assert written.any()
    assert not (written & _worm(draw_strip(SIX, bent))).any()


@pytest.mark.parametrize("target", [(40.0, 1.0), (-40.0, 1.0), (1.0, 40.0), (40.0, 40.0), (-40.0, -40.0), (0.0, -40.0)])
def test_a_label_is_whole_where_the_swimmer_is_at_the_border(target: tuple[float, float]) -> None:
    poses, label = STRAIGHT[None], "1234.5 s"
    whole, _ = _label_masks(poses, [label])
    near, _ = _label_masks(poses, [label], target=target)
    em = round((near.shape[0] + near.shape[1]) / 65) / round((whole.shape[0] + whole.shape[1]) / 65)
    (left, right, top, bottom), (a, b, c, d) = _box(near), _box(whole)
    assert right - left == pytest.approx(em * (b - a), abs=4)
    assert bottom - top == pytest.approx(em * (d - c), abs=4)
    assert min(left, top, near.shape[1] - 1 - right, near.shape[0] - 1 - bottom) >= 3
