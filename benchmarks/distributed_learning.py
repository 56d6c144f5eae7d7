"""Whether an SB3 PPO learns under ``wormwood.distribute`` what it learns without.

    python benchmarks/distributed_learning.py [--seeds 5] [--steps 102400] [--lag 0]

Both train a 64×64 MLP to swim with 6 links, in 16 environments with episodes of 256 steps. Printed is the mean return
of the episodes that ended in each quarter of training, over seeds, and Welch's 95 % interval of the difference.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import ttest_ind
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

import wormwood
from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv
from wormwood.launch.cli.console import print_table, progress_bar

QUARTERS = 4


class Returns(BaseCallback):
    """Collects when episodes ended, and their returns."""

    def _on_training_start(self) -> None:
        self.ended: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        self.ended += [(self.num_timesteps, info["episode"]["r"]) for info in self.locals["infos"] if "episode" in info]
        return True


def curve(seed: int, steps: int, change: Callable[[PPO], PPO]) -> list[float]:
    """Return the mean return of the episodes that ended in each quarter of training."""
    env = SwimmerVecEnv("swimmer-6", 16, seed=1000 * seed, horizon=256)
    seen = Returns()
    change(PPO("MlpPolicy", env, n_steps=128, batch_size=512, seed=seed, device="cpu")).learn(steps, callback=seen)
    quarters = [[ret for at, ret in seen.ended if (at - 1) * QUARTERS // steps == part] for part in range(QUARTERS)]
    return [float(np.mean(part)) for part in quarters]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=102_400)
    parser.add_argument("--lag", type=int, default=0, choices=(0, 1))
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways: dict[str, Callable[[PPO], PPO]] = {
        "without": lambda model: model,
        # The result is the same with workers, but for the time it takes.
        "distributed": lambda model: wormwood.distribute(model, workers=0, lag=options.lag),
    }
    curves: dict[str, list[list[float]]] = {name: [] for name in ways}
    with progress_bar("training", 2 * options.seeds) as show:
        for seed in range(options.seeds):
            for done, (name, change) in enumerate(ways.items(), start=2 * seed):
                show(done)
                curves[name].append(curve(seed, options.steps, change))
    rows = []
    for part, (plain, distributed) in enumerate(
        zip(*(np.array(own).T for own in curves.values()), strict=True), start=1
    ):
        low, high = ttest_ind(distributed, plain, equal_var=False).confidence_interval()
        means = f"{plain.mean():.1f}", f"{distributed.mean():.1f}"
        rows.append([f"{part * options.steps // QUARTERS:,}", *means, f"{low:+.1f} to {high:+.1f}"])
    print_table("", ["steps until", *ways, "difference, 95 %"], rows)


if __name__ == "__main__":
    main()
