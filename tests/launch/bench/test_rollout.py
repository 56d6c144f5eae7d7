"""The rollout benchmark: what it compares is the same work, and what it reports is what it says. No speed is tested."""

import json
import math
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from wormwood.agents.policies.baselines import UniformPolicy
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, load_body, swimmer
from wormwood.envs.randomness import stream
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Swim, Task
from wormwood.errors import BadInput
from wormwood.launch.bench.closed_loop import ClosedLoop, Replay, circuit
from wormwood.launch.bench.peers import bench_dm_control, bench_gymnasium
from wormwood.launch.bench.rollout import bench_rollout
from wormwood.launch.bench.rounds import LEAST_ROUNDS, interleave, median_interval, ratios


def _loop(body: Body, task: Task, *, swimmers: int = 8) -> ClosedLoop:
    return ClosedLoop(
        body,
        task,
        policy=lambda index: UniformPolicy(SwimmerSpec(body, Swim()).actions, stream(0, "action", index)),
        swimmers=swimmers,
        threads=2,
    )


@pytest.mark.parametrize(
    ("body", "task"),
    [(swimmer(6), Swim()), (swimmer(5, locked=[1]), Swim()), (GYMNASIUM_SWIMMER, GymnasiumForward())],
)
def test_the_replay_ends_in_the_closed_loops_states_to_the_bit(body: Body, task: Task) -> None:
    with closing(_loop(body, task)) as loop:
        limit, bare = Replay(loop), Replay(loop, sensors=False)
        for _ in range(10):
            recorded = loop.play(3)
            assert recorded.action.shape == (8, 3, body.joints)
            assert not np.array_equal(recorded.start, recorded.end)
            assert limit.play(recorded) > 0
            assert bare.play(recorded) > 0
            np.testing.assert_array_equal(limit._batch.state[~recorded.reset], recorded.end[~recorded.reset])


def test_a_replay_of_other_controls_is_refused() -> None:
    with closing(_loop(swimmer(6), Swim())) as loop:
        recorded = loop.play(2)
        recorded.action[3, 0, 2] += 1e-9
        with pytest.raises(RuntimeError, match="does not end where"):
            Replay(loop).play(recorded)


def test_slices_go_on_from_each_other_and_resets_are_spread_over_them() -> None:
    with closing(_loop(swimmer(3), Swim(horizon=16))) as loop:
        first = loop.play(4)
        second = loop.play(4)
    # Eight swimmers begin at steps 0, 2, .. 14 of 16: the two nearest to the end reset in the first four steps.
    assert first.reset.tolist() == [False] * 6 + [True] * 2
    assert second.reset.tolist() == [False] * 4 + [True] * 2 + [False] * 2
    np.testing.assert_array_equal(first.end, second.start)


def test_one_thread_and_two_swim_alike() -> None:
    body, task, ends = load_body("swimmer-6"), Swim(), []
    for threads in (1, 2):
        loop = ClosedLoop(body, task, policy=lambda index: circuit(body, task), swimmers=6, threads=threads)
        with closing(loop):
            ends.append(loop.play(20).end)
    np.testing.assert_array_equal(ends[0], ends[1])


def test_contestants_play_in_turn_and_progress_is_told() -> None:
    played, told = list[str](), list[tuple[str, float]]()
    speeds: Iterator[float] = iter(range(100))

    def contestant(name: str) -> float:
        played.append(name)
        return next(speeds)

    result = interleave(
        {name: lambda name=name: contestant(name) for name in "abc"},  # type: ignore[misc]
        seconds=0.0,
        name="letters",
        progress=lambda name, share: told.append((name, share)),
    )
    assert played == list("abc") * LEAST_ROUNDS
    assert result == {"a": [0, 3, 6], "b": [1, 4, 7], "c": [2, 5, 8]}
    assert told == [("letters", 1.0)] * (LEAST_ROUNDS + 1)


def test_median_and_interval_by_hand() -> None:
    # 100 values: ranks 50 ± 9.8, so the values with 40 and with 60 before them.
    assert median_interval(np.arange(100.0)[::-1].tolist()) == (49.5, 40.0, 60.0)
    assert median_interval([3.0]) == (3.0, 3.0, 3.0)
    assert median_interval([1.0, 2.0, 4.0]) == (2.0, 1.0, 4.0)
    assert ratios("r", [2.0, 6.0, 4.0], [1.0, 2.0, 4.0]) == {"r_median": 2.0, "r_low": 1.0, "r_high": 3.0}


def test_the_interval_holds_the_median_in_95_of_100_samples() -> None:
    samples = np.random.default_rng(0).exponential(size=(2000, 60))
    intervals = np.array([median_interval(sample.tolist()) for sample in samples])
    covered = (intervals[:, 1] <= math.log(2)) & (math.log(2) <= intervals[:, 2])
    assert 0.93 < covered.mean() < 0.985


def test_a_tiny_run_has_the_documented_keys() -> None:
    result = bench_rollout(seconds=0.0, swimmers=6, threads=2, peers=False)
    assert json.loads(json.dumps(result)) == result
    numbers = {
        *(f"{name}_{part}" for name in ("ratio", "bare_ratio") for part in ("low", "median", "high")),
        "steps_per_second",
        "limit_steps_per_second",
        "bare_limit_steps_per_second",
    }
    facts = {"body", "task", "agent", "swimmers", "threads", "mujoco", "rounds"}
    assert set(result) == numbers | facts
    assert all(float(result[name]) > 0 for name in numbers)
    assert (result["swimmers"], result["threads"], result["rounds"]) == (6, 2, LEAST_ROUNDS)
    assert float(result["ratio_low"]) <= float(result["ratio_median"]) <= float(result["ratio_high"])


@pytest.mark.parametrize(("swimmers", "threads", "what"), [(1, 2, "swimmers"), (4, 0, "threads")])
def test_threads_without_swimmers_are_refused(swimmers: int, threads: int, what: str) -> None:
    with pytest.raises(BadInput, match=f"{what} in bench rollout: expected at least"):
        bench_rollout(seconds=0.0, swimmers=swimmers, threads=threads)


def test_the_peers_step_and_leave_no_process_behind() -> None:
    result = bench_gymnasium(swimmers=4, threads=2, seconds=0.0, environments=(2,))
    result |= bench_dm_control(swimmers=4, threads=2, seconds=0.0)
    assert result["gymnasium_environments"] == 2
    assert result["dm_control_processes"] == 2
    for name in ("gymnasium_ratio", "dm_control_ratio", "dm_control_per_core_ratio"):
        assert 0 < result[f"{name}_low"] <= result[f"{name}_median"] <= result[f"{name}_high"]
    assert all(speed > 0 for name, speed in result.items() if name.endswith("steps_per_second"))
    assert not multiprocessing.active_children()


def test_the_peers_look_for_no_display_and_leave_the_environment_alone(tmp_path: Path) -> None:
    script = tmp_path / "bench.py"
    script.write_text("""
import os
from wormwood.launch.bench.peers import bench_dm_control

if __name__ == "__main__":
    bench_dm_control(swimmers=2, threads=1, seconds=0.0)
    print(os.environ.get("MUJOCO_GL"))
""")
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    result = subprocess.run(
        [sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (result.returncode, result.stdout.strip()) == (0, "None")
    assert not [word for word in ("GLFW", "DISPLAY", "OpenGL") if word in result.stderr], result.stderr
