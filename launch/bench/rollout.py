"""How fast rollouts are: the closed loop as a share of the C limit, and against gymnasium and dm_control."""

from __future__ import annotations

from contextlib import ExitStack

import mujoco
import numpy as np

from wormwood.envs.bodies import load_body
from wormwood.envs.task_table import task_from_name
from wormwood.errors import bad_input
from wormwood.launch.bench.closed_loop import ClosedLoop, Replay, Slice, circuit
from wormwood.launch.bench.peers import bench_dm_control, bench_gymnasium
from wormwood.launch.bench.rounds import Progress, interleave, ratios

__all__ = ["Result", "bench_limit", "bench_rollout"]

Result = dict[str, str | int | float]

WARM_UP = 20  # control steps that are not measured
STEPS = 4  # control steps of a slice: 30 to 60 ms of 256 swimmers
LIMIT_SHARE = 0.5  # of the time; the rest is for the two peers


def bench_rollout(
    *,
    seconds: float = 40.0,
    swimmers: int = 256,
    threads: int = 2,
    peers: bool = True,
    progress: Progress | None = None,
) -> Result:
    """Measure rollouts of the NCAP circuit on swimmer-6, task swim, and their ratios to the C limit and to the peers.

    Everything is measured in slices of 10 to 60 ms that alternate within one run. ``_median`` of a ratio is that of
    the rounds' ratios, ``_low`` and ``_high`` bound a 95 % interval of it (``median_interval``). Set
    ``OMP_NUM_THREADS=1`` before the start, so that ``threads`` is all that runs.

    Args:
        seconds: how long to measure, besides some seconds to start the peers' processes.
        swimmers: number of swimmers, split among the threads.
        threads: threads of the closed loop and of its limit; also the number of dm_control's processes.
        peers: compare with gymnasium and dm_control, too.
        progress: is called with ``"limit"``, ``"gymnasium"`` or ``"dm_control"`` and the share done, before each round.

    Returns:
        What was measured, ready for JSON: the keys of ``bench_limit``, ``bench_gymnasium`` and ``bench_dm_control``.

    Raises:
        BadInput: there is no thread, or not a swimmer for each.
    """
    if threads < 1:
        raise bad_input("threads", where="bench rollout", expected="at least 1", got=threads)
    if swimmers < threads:
        raise bad_input("swimmers", where="bench rollout", expected=f"at least {threads}, the threads", got=swimmers)
    share = LIMIT_SHARE if peers else 1.0
    result = bench_limit(seconds=seconds * share, swimmers=swimmers, threads=threads, progress=progress)
    if peers:
        for bench in (bench_gymnasium, bench_dm_control):
            result |= bench(swimmers=swimmers, threads=threads, seconds=seconds * (1 - share) / 2, progress=progress)
    return result


def bench_limit(*, seconds: float, swimmers: int, threads: int, progress: Progress | None = None) -> Result:
    """Compare the closed loop with the C limit: ``Batch.rollout`` of its controls from its states, slice by slice.

    ``ratio`` is to a replay of the same model, which computes its sensors in every physics step, as MuJoCo does by
    default. ``bare_ratio`` is to a replay of the model without its sensors: the fastest way through this motion,
    and nothing could be observed from it. Each replay must end in the closed loop's states to the bit.
    """
    body, task = load_body("swimmer-6"), task_from_name("swim")
    with ExitStack() as stack:
        loop = ClosedLoop(body, task, policy=lambda index: circuit(body, task), swimmers=swimmers, threads=threads)
        stack.callback(loop.close)
        limit, bare = Replay(loop), Replay(loop, sensors=False)
        recorded: Slice = loop.play(WARM_UP)

        def play() -> float:
            nonlocal recorded
            recorded = loop.play(STEPS)
            return recorded.speed

        contestants = {"loop": play, "limit": lambda: limit.play(recorded), "bare": lambda: bare.play(recorded)}
        speeds = interleave(contestants, seconds=seconds, name="limit", progress=progress)
    return {
        "body": body.name,
        "task": task.name,
        "agent": "ncap",
        "swimmers": swimmers,
        "threads": threads,
        "mujoco": mujoco.__version__,
        "rounds": len(speeds["loop"]),
        **ratios("ratio", speeds["loop"], speeds["limit"]),
        **ratios("bare_ratio", speeds["loop"], speeds["bare"]),
        "steps_per_second": float(np.median(speeds["loop"])),
        "limit_steps_per_second": float(np.median(speeds["limit"])),
        "bare_limit_steps_per_second": float(np.median(speeds["bare"])),
    }
