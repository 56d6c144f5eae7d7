"""What each preset learns, over several seeds, on held-out starts: a table, and a curve as PNG.

    python benchmarks/learning.py swim-ncap-cma swim-ncap-ppo swim-mlp-ppo --seeds 5 --out runs/learning
    python benchmarks/learning.py swim-ncap-cma --seeds 5 --set body=swimmer-12 --out runs/learning-12

Every seed is a run of its own in the folder. A row gives the returns of the final policies, each the mean of 10
held-out starts that do not depend on the seed: smallest, median and largest over seeds, and the 95 % bootstrap
interval of the median. Runs that are there already are not run again.
"""

import argparse
import multiprocessing
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from wormwood.errors import BadInput
from wormwood.launch.cli.console import print_table, progress_bar
from wormwood.launch.run.run_folder import Run, RunFolder, read_metrics
from wormwood.launch.run.settings import load_config, parse_config
from wormwood.launch.run.training import train

POINTS = 16
"""Evaluations of each curve."""


def learn(job: tuple[str, int, list[str], Path]) -> tuple[str, int]:
    """Train one preset with one seed, unless its run has ended already."""
    preset, seed, overrides, folder = job
    out = folder / f"{preset}-seed-{seed}"
    config = load_config(preset, overrides=overrides, seed=seed)
    every = f"evaluate_every={max(1, config.iterations // POINTS)}"
    config = load_config(preset, overrides=[*overrides, every], seed=seed)
    folder_of_run = RunFolder(out)
    if folder_of_run.config.exists():
        there = parse_config(folder_of_run.read_config(), where=str(folder_of_run.config))
        if there.hash != config.hash:
            raise BadInput(f"{out} is a run with other settings: choose another --out")
    if folder_of_run.read_summary() is None:
        opened = Run.resume(out) if (out / "config.yaml").exists() else Run.create(out, config.to_yaml())
        with opened as run:
            train(run, config)
    return preset, seed


def interval_of_the_median(returns: np.ndarray, *, draws: int = 10_000) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval over seeds."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(returns, size=(draws, len(returns))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(high)


def plot(curves: dict[str, list[list[dict]]], path: Path) -> None:
    """Draw median and range over seeds of the held-out return against environment steps."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for preset, runs in curves.items():
        lines = [[line for line in run if "held_out_return_mean" in line] for run in runs]
        steps = [line["steps"] for line in lines[0]]
        returns = np.array([[line["held_out_return_mean"] for line in run] for run in lines])
        (drawn,) = axes.plot(steps, np.median(returns, axis=0), label=preset)
        axes.fill_between(steps, returns.min(axis=0), returns.max(axis=0), alpha=0.2, color=drawn.get_color())
    axes.set(xscale="log", xlabel="environment steps", ylabel="return on held-out starts", ylim=(0, 1000))
    axes.set_title(f"median and range over {len(runs)} seeds")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/learning"))
    options = parser.parse_args()
    jobs = [
        (preset, seed, options.overrides, options.out) for preset in options.presets for seed in range(options.seeds)
    ]
    # Spawned, not forked: each process reads its own number of threads.
    with (
        multiprocessing.get_context("spawn").Pool(options.processes) as pool,
        progress_bar("learning", len(jobs)) as show,
    ):
        for done, _ in enumerate(pool.imap_unordered(learn, jobs, chunksize=1), start=1):
            show(done)

    rows, curves = [], {}
    for preset in options.presets:
        folders = [RunFolder(options.out / f"{preset}-seed-{seed}") for seed in range(options.seeds)]
        summaries = [folder.read_summary() for folder in folders]
        returns = np.array([summary["return_mean"] for summary in summaries])
        low, high = interval_of_the_median(returns)
        curves[preset] = [read_metrics(folder.metrics) for folder in folders]
        numbers = [f"{value:.0f}" for value in (returns.min(), np.median(returns), returns.max())]
        speed = np.median([summary["speed_mean"] for summary in summaries])
        rows.append((preset, len(returns), summaries[0]["steps"], *numbers, f"{low:.0f} to {high:.0f}", f"{speed:.3f}"))
    columns = ["preset", "seeds", "steps", "smallest", "median", "largest", "95 % of the median", "speed (m/s)"]
    print_table(" ".join(["return of the final policy", *options.overrides]), columns, rows)
    plot(curves, options.out / "learning.png")


if __name__ == "__main__":
    main()
