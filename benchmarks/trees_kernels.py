"""What one tree costs: growing it, predicting with ten thousand of them, keeping margins.

    python benchmarks/trees_kernels.py [--rounds 30] [--largest 65536]

Every case plays one slice of some 20 ms in each round, so that what else the machine does meets all alike. Printed are
medians of the rounds and their middle half, in CPU milliseconds on one thread, for 20 features, 7 outputs and depth 4.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from wormwood.launch.console import print_text, progress_bar
from wormwood.trees.binning import BinGrid, fit_grid
from wormwood.trees.compilation import warm_up
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.margins import MarginCache
from wormwood.trees.tree import Tree

FEATURES, OUTPUTS, DEPTH, TREES = 20, 7, 4, 10_000
SLICE = 0.02

Case = Callable[[], object]


def make_rows(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Features, and gradients that depend on some of them."""
    generator = np.random.default_rng(count)
    rows = generator.normal(size=(count, FEATURES))
    return rows, generator.normal(size=(count, OUTPUTS)) + rows[:, :OUTPUTS]


def binned(rows: np.ndarray, bins: int) -> tuple[BinGrid, np.ndarray]:
    grid = fit_grid(rows, max_bins=bins, method="quantile")
    return grid, grid.encode(rows)


def growing_cases() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for count in (512, 2048):
        rows, gradients = make_rows(count)
        grid, codes = binned(rows, 64)
        for name, options in {
            "greedy": {},
            "oblivious": {"grower": "oblivious"},
            "greedy, L2 score": {"score": "l2"},
        }.items():
            config = TreeConfig(max_depth=DEPTH, max_bins=64, **options)
            cases[f"grow on {count} rows, 64 bins, shared codes, {name}"] = (
                lambda a=(codes, grid, gradients), c=config: grow_tree(*a, config=c)
            )
    rows, gradients = make_rows(512)
    config = TreeConfig(max_depth=DEPTH, max_bins=255)

    def everything() -> Tree:
        grid, codes = binned(rows, 255)
        return grow_tree(codes, grid, gradients, config=config)

    cases["grow on 512 rows, 255 bins, binning included, greedy"] = everything
    return cases


def predicting_cases() -> dict[str, Case]:
    rows, gradients = make_rows(512)
    grid, codes = binned(rows, 64)
    forest = Forest(np.zeros(OUTPUTS), features=FEATURES, depth=DEPTH)
    generator = np.random.default_rng(0)
    config, rates = TreeConfig(max_depth=DEPTH, max_bins=64), np.full(OUTPUTS, 0.01)
    for _ in range(TREES):  # other gradients each time, so that no two trees are alike
        noise = generator.normal(size=gradients.shape)
        tree = grow_tree(codes, grid, noise, config=config)
        forest.append(tree, rates)
    cases: dict[str, Case] = {
        f"predict {len(x)} rows, {TREES} trees": lambda x=x: forest.predict(x)
        for x in (make_rows(count)[0] for count in (1, 16, 64, 2048))
    }
    cache = MarginCache(forest[:0], make_rows(2048)[0])
    cases["add one tree to the margins of 2048 rows"] = lambda: cache.add(tree, rates)
    return cases


def engine_cases(largest: int) -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for count in (128, 512, 2048, 8192, 65_536):
        if count <= largest:
            rows, gradients = make_rows(count)
            grid, codes = binned(rows, 64)
            for engine in ("native", "xgboost"):
                config = TreeConfig(max_depth=DEPTH, max_bins=64, engine=engine)
                cases[f"{engine} on {count} rows, 64 bins, shared codes"] = (
                    lambda a=(codes, grid, gradients), c=config: grow_tree(*a, config=c)
                )
    return cases


def milliseconds(case: Case) -> float:
    """CPU time of one call, over a slice of calls."""
    calls, began = 0, time.process_time()
    while time.process_time() - began < SLICE:
        case()
        calls += 1
    return 1e3 * (time.process_time() - began) / calls


def measure(cases: dict[str, Case], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each case, one for each round."""
    for case in cases.values():
        case()
    times: dict[str, list[float]] = {name: [] for name in cases}
    with progress_bar("measuring", rounds) as show:
        for done in range(rounds):
            show(done)
            for name, case in cases.items():
                times[name].append(milliseconds(case))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--largest", type=int, default=65_536, help="most rows for the comparison of engines")
    options = parser.parse_args()
    warm_up([OUTPUTS])
    cases = {**growing_cases(), **predicting_cases(), **engine_cases(options.largest)}
    for name, times in measure(cases, options.rounds).items():
        low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
        print_text(f"{name}: {median:.3f} ms [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
