"""What growing one tree costs by the ways there are to grow it, and keeping margins.

    python benchmarks/trees_kernels.py [--rounds 30] [--largest 65536]

Every case plays one slice of some 20 ms in each round, so that what else the machine does meets all alike. Printed are
medians of the rounds and their middle half, in CPU milliseconds on one thread, for 20 features, 7 outputs, depth 4,
64 bins and codes that are shared. `wormwood bench trees` measures new data, predictions and the peers.
"""

import argparse
from collections.abc import Callable

import numpy as np

from wormwood.launch.bench.trees_peer_script import DEPTH, FEATURES, OUTPUTS, make_rows, speed_of
from wormwood.launch.cli.console import print_text, progress_bar
from wormwood.trees.binning import BinGrid, fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.margins import MarginCache
from wormwood.trees.warm_up import warm_up

BINS = 64

Case = Callable[[], object]


def binned_rows(count: int) -> tuple[np.ndarray, BinGrid, np.ndarray]:
    """Return codes, their grid, and gradients."""
    rows, gradients = make_rows(count)
    grid = fit_grid(rows, max_bins=BINS, method="quantile")
    return grid.encode(rows), grid, gradients


def growing_cases() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for count in (512, 2048):
        problem = binned_rows(count)
        for name, options in {
            "greedy": {},
            "oblivious": {"grower": "oblivious"},
            "greedy, L2 score": {"score": "l2"},
        }.items():
            config = TreeConfig(max_depth=DEPTH, max_bins=BINS, **options)
            cases[f"grow on {count} rows, {name}"] = lambda a=problem, c=config: grow_tree(*a, config=c)
    return cases


def margin_cases() -> dict[str, Case]:
    forest, rates = Forest(np.zeros(OUTPUTS), features=FEATURES, depth=DEPTH), np.full(OUTPUTS, 0.01)
    tree = grow_tree(*binned_rows(512), config=TreeConfig(max_depth=DEPTH, max_bins=BINS))
    cache = MarginCache(forest, make_rows(2048)[0])
    return {"add one tree to the margins of 2048 rows": lambda: cache.add(tree, rates)}


def engine_cases(largest: int) -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for count in (128, 512, 2048, 8192, 65_536):
        if count <= largest:
            problem = binned_rows(count)
            for engine in ("native", "xgboost"):
                config = TreeConfig(max_depth=DEPTH, max_bins=BINS, engine=engine)
                cases[f"{engine} on {count} rows"] = lambda a=problem, c=config: grow_tree(*a, config=c)
    return cases


def measure(cases: dict[str, Case], rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each case, one for each round."""
    for case in cases.values():
        case()
    times: dict[str, list[float]] = {name: [] for name in cases}
    with progress_bar("measuring", rounds) as show:
        for done in range(rounds):
            show(done)
            for name, case in cases.items():
                times[name].append(1e3 / speed_of(case))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--largest", type=int, default=65_536, help="most rows for the comparison of engines")
    options = parser.parse_args()
    warm_up([OUTPUTS])
    cases = {**growing_cases(), **margin_cases(), **engine_cases(options.largest)}
    for name, times in measure(cases, options.rounds).items():
        low, median, high = np.quantile(times, (0.25, 0.5, 0.75))
        print_text(f"{name}: {median:.3f} ms [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
