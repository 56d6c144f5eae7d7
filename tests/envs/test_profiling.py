"""MuJoCo's timers are off where swimmers are built, and the user's own clock stays."""

from collections.abc import Iterator

import mujoco
import numpy as np
import pytest

from wormwood.envs.bodies import swimmer
from wormwood.envs.physics import Physics
from wormwood.envs.profiling import stop_timers


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    mujoco.set_mjcb_time(None)
    yield
    mujoco.set_mjcb_time(None)
    stop_timers()


def _timed_step() -> float:
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint/><geom size='1'/></body></worldbody></mujoco>"
    )
    data = mujoco.MjData(model)
    mujoco.mj_step(model, data)
    return float(data.timer[mujoco.mjtTimer.mjTIMER_STEP].duration)


def test_nothing_is_timed_once_swimmers_are_built() -> None:
    assert _timed_step() > 0
    Physics(swimmer(3), 1)
    assert _timed_step() == 0


def test_the_clock_can_be_put_back() -> None:
    stop_timers()
    mujoco.set_mjcb_time(None)
    assert _timed_step() > 0


def test_a_clock_of_the_user_stays() -> None:
    readings = iter(np.arange(1.0, 1000.0))
    mujoco.set_mjcb_time(lambda: float(next(readings)))
    stop_timers()
    assert _timed_step() >= 1
