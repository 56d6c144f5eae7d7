"""What checkpoints cost, and whether memory grows.

    python benchmarks/overhead.py checkpoints [--preset swim-ncap-ppo] [--rounds 60]
    python benchmarks/overhead.py memory [--iterations 5000]

``checkpoints`` advances two runs of a preset in turn, one of which saves after every iteration, and prints the ratio of
their speeds. ``memory`` trains a tiny run and prints how its resident memory grows, after the first fifth.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import linregress

from wormwood.launch.bench.rounds import median_interval
from wormwood.launch.cli.console import print_text, progress_bar
from wormwood.launch.run.executors import InProcessExecutor
from wormwood.launch.run.service import LearnerService
from wormwood.launch.run.settings import RunConfig, load_config

TINY = ["learner.environments=4", "learner.steps=8", "learner.batch_size=32", "learner.epochs=1", "shards=2"]


class Advancing:
    """A run that is advanced one iteration at a time."""

    def __init__(self, config: RunConfig, folder: Path, *, saves: bool) -> None:
        self.service, self.executor, self.saves = LearnerService(), InProcessExecutor(config.plan), saves
        self.service.create("run", config, folder)

    def advance(self) -> float:
        """Make one iteration, and return its seconds."""
        began = time.perf_counter()
        self.service.receive("run", *self.executor.start(self.service.request("run")).result())
        self.service.update("run")
        if self.saves:
            self.service.save("run")
        return time.perf_counter() - began


def checkpoints(preset: str, rounds: int) -> None:
    config = load_config(preset)
    with tempfile.TemporaryDirectory() as folder:
        saving = Advancing(config, Path(folder), saves=True)
        plain = Advancing(config, Path(folder) / "none", saves=False)
        ratios = []
        with progress_bar("comparing", rounds) as show:
            for done in range(rounds):
                show(done)
                pair = (saving, plain) if done % 2 else (plain, saving)
                seconds = {id(run): run.advance() for run in pair}
                ratios.append(seconds[id(plain)] / seconds[id(saving)])
    median, low, high = median_interval(ratios)
    print_text(f"{preset}: speed with a checkpoint every iteration {median:.3f} of without [{low:.3f}, {high:.3f}]")


def memory(preset: str, iterations: int) -> None:
    config = load_config(preset, overrides=TINY)
    page, resident = os.sysconf("SC_PAGE_SIZE"), np.zeros(iterations)
    with tempfile.TemporaryDirectory() as folder:
        run = Advancing(config, Path(folder), saves=True)
        with progress_bar("training", iterations) as show:
            for done in range(iterations):
                run.advance()
                resident[done] = int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**20
                if done % 50 == 0:
                    show(done)
    settled = resident[iterations // 5 :]
    fit = linregress(np.arange(len(settled)), settled)
    growth, error = fit.slope * len(settled), 1.96 * fit.stderr * len(settled)
    noise = np.ptp(settled)
    print_text(
        f"{iterations} iterations: {settled[0]:.1f} MiB at first, {settled[-1]:.1f} MiB at last; "
        f"trend {growth:+.2f} ± {error:.2f} MiB over {len(settled)} iterations, range {noise:.2f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("checkpoints", "memory"))
    parser.add_argument("--preset", default="swim-ncap-ppo")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--iterations", type=int, default=5000)
    options = parser.parse_args()
    if options.what == "checkpoints":
        checkpoints(options.preset, options.rounds)
    else:
        memory(options.preset, options.iterations)


if __name__ == "__main__":
    main()
