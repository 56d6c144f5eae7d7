"""What MuJoCo does beside a simulation in this process: its timers off, and its warnings in no file."""

from __future__ import annotations

import ctypes
import warnings
from functools import cache
from pathlib import Path

import mujoco

__all__ = ["keep_no_log", "stop_timers"]


def stop_timers() -> None:
    """Let MuJoCo measure no time in this process, as it does in C unless asked to.

    Its Python package asks for it: the clock is read some 20 times in a step, which for a swimmer takes a fifth to a
    quarter of the step. No state depends on it; ``mjData.timer`` keeps its zeros. ``mujoco.set_mjcb_time(None)`` puts
    the clock back, until the next swimmers are built. A clock that the user has set stays.
    """
    clock = _clock()
    if clock is not None and mujoco.get_mjcb_time() is None:
        clock.value = None


def keep_no_log() -> None:
    """Let MuJoCo's warnings be Python's, rather than lines of a MUJOCO_LOG.TXT in the current folder.

    That a simulation became unstable is said by the step that it ended, and is no warning. A handler that the user has
    set stays. Reading a model warns, too: this comes before it.
    """
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_warn)


def _warn(text: str) -> None:
    if "simulation is unstable" not in text:
        category = DeprecationWarning if "deprecated" in text else RuntimeWarning
        warnings.warn(f"MuJoCo: {text}", category, stacklevel=2)


@cache
def _clock() -> ctypes.c_void_p | None:
    """Return MuJoCo's variable ``mjcb_time``: the Python package can set it to another clock, but not to none."""
    libraries = sorted(Path(mujoco.__file__).parent.glob("libmujoco*"))
    return ctypes.c_void_p.in_dll(ctypes.CDLL(str(libraries[0])), "mjcb_time") if libraries else None
