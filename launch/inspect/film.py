"""An agent on a held-out start, as a video or as one picture of its way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from wormwood.envs.pictures.files import write_picture, write_video
from wormwood.envs.pictures.rendering import draw_strip, draw_video
from wormwood.envs.specs import SwimmerSpec
from wormwood.errors import bad_input
from wormwood.launch.run.agent_files import Agent
from wormwood.launch.run.evaluation import record_poses

__all__ = ["check_film", "write_film"]

Frame = TypeVar("Frame")

SUFFIXES = (".mp4", ".gif", ".png")
STRIP_POSES = 5


def check_film(out: Path) -> None:
    """Check the name of a file that ``write_film`` is to write.

    Raises:
        BadInput: it does not end in .mp4, .gif or .png.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise bad_input("file name", where="--out", expected="one that ends in .mp4, .gif or .png", got=str(out))


def write_film(
    agent: Agent,
    spec: SwimmerSpec,
    out: Path,
    *,
    seconds: float = 12.0,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> float:
    """Play held-out start 0, and write it as MP4 or GIF, or as one PNG of five moments.

    Args:
        agent: what acts.
        spec: the body and the task.
        out: the file, whose folder is made where missing.
        seconds: of simulated time, fewer where the episode ends before.
        seed: of the held-out start.
        progress: is told which share of a video is drawn.

    Returns:
        The seconds that it shows.

    Raises:
        BadInput: the agent does not fit, or the file cannot be written.
    """
    check_film(out)
    timestep = spec.body.control_timestep
    poses, goal = record_poses(agent, spec, steps=max(1, round(seconds / timestep)), seed=seed)
    target = goal if len(goal) == 2 else None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        got = f"{out.parent}: {error.strerror}"
        raise bad_input("folder", where="--out", expected="a writable one", got=got) from None
    if out.suffix.lower() == ".png":
        chosen = np.linspace(0, len(poses) - 1, min(len(poses), STRIP_POSES)).round().astype(int)
        labels = [f"{step * timestep:.1f} s" for step in chosen]
        target_xy = None if target is None else (float(target[0]), float(target[1]))
        write_picture(out, draw_strip(spec.body, poses[chosen], target=target_xy, labels=labels))
    else:
        shown, fps = poses[::2], 1 / (2 * timestep)
        frames = draw_video(spec.body, shown, targets=target, trail=round(2 * fps))
        write_video(out, _counted(frames, len(shown), progress), fps=fps)
    return len(poses) * timestep


def _counted(frames: Iterable[Frame], count: int, progress: Callable[[float], None]) -> Iterator[Frame]:
    for done, frame in enumerate(frames):
        progress(done / count)
        yield frame
