"""How fast forests grow and predict, and how fast a boosted actor-critic learns, against gbrl and XGBoost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from wormwood.launch.bench.rounds import Contestant, Progress, interleave, ratios
from wormwood.launch.bench.trees_peer_script import (
    DEPTH,
    FEATURES,
    OUTPUTS,
    TABLE_OUTPUTS,
    TABLE_RATE,
    TREES,
    make_rows,
    make_table_batch,
    speed_of,
    table_speed,
)
from wormwood.launch.bench.trees_peers import Peers, running_peers
from wormwood.launch.bench.trees_update import LOGITS, cart_pole_rollout, own_update
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.margins import MarginCache
from wormwood.trees.warm_up import warm_up

__all__ = ["Result", "bench_trees"]

Result = dict[str, str | int | float | dict[str, float]]
Floats = np.typing.NDArray[np.float64]

GBRL = ("gbrl", "gbrl_oblivious")
PREDICTED = (1, 16, 64, 2048)  # rows
UPDATED = (0, 1000, 5000)  # trees before the update
GROWN = (512, 2048)  # rows
GROWERS = {"greedy": {}, "greedy_l2": {"score": "l2"}, "oblivious": {"grower": "oblivious"}}
ENGINES, ENGINE_ROWS = ("native", "xgboost"), (128, 512, 2048, 8192, 65_536)
ITERATIONS, STRETCH = 1000, 50  # of the speed table's loop, and of one slice of it


def bench_trees(*, seconds: float = 40.0, peers: str | None = None, progress: Progress | None = None) -> Result:
    """Measure forests on one thread, and their ratios to gbrl and XGBoost, all in CPU time.

    Slices of 20 ms, or of one call where that takes longer, alternate within one run. Of every case there is the median
    of ours, such as ``fit_512_64_ms``. With peers there are theirs, such as ``fit_512_64_gbrl_ms``, and the median of
    the rounds' ratios with a 95 % interval of it (``median_interval``): ``fit_512_64_gbrl_ratio``, ``_low`` and
    ``_high``, above 1 where ours is faster. gbrl grows greedy trees, as we do here; ``gbrl_oblivious`` is what it does
    with oblivious ones. What is measured for several sizes is a mapping from size to number.

    Args:
        seconds: how long to measure, besides a few seconds to prepare and one for ``table1``, or some two minutes
            with peers.
        peers: a Python that has both. None leaves them out.
        progress: is called with the case and the share of it that is done.

    Returns:
        What was measured, ready for JSON. ``fit_R_B``: one tree of depth 4 for R rows of 20 features and 7 outputs. B
        is 64 bins with codes that a rollout shares, against gbrl's 256 bins and XGBoost's 64 on a matrix that is
        kept, or 255 bins with the binning of new data, against 256 of both. ``predict_10000``: outputs of 10,000
        trees, by rows. ``table1``: seconds for the loop of the speed table in arXiv 2407.08250, 1000 iterations that
        each predict a new batch of 128 rows (20 features, 3 outputs) and fit a tree to it. ``update``: of PPO on
        CartPole with that paper's settings, by trees before it; its ``update_ratio`` is to gbrl. Ours alone: one tree
        at 64 bins by each grower and score, such as ``grow_greedy_l2``, and by each engine, such as
        ``engine_native``, by rows; and ``margins_2048``, one tree added to the margins of so many rows.

    Raises:
        BadInput: ``peers`` is no Python that has them.
        PeerError: their process ended before its time.
    """
    with ExitStack() as stack:
        running = stack.enter_context(running_peers(peers)) if peers is not None else None
        warm_up([LOGITS + 1, TABLE_OUTPUTS, OUTPUTS])
        result: Result = {"threads": 1, **(running.versions if running else {})}
        for bench, share in (
            (_bench_fits, 0.25),
            (_bench_growers, 0.15),
            (_bench_predictions, 0.3),
            (_bench_table, 0.0),
            (_bench_updates, 0.3),
        ):
            result |= bench(running, seconds * share, progress)
    return result


def _bench_fits(peers: Peers | None, seconds: float, progress: Progress | None) -> Result:
    contestants = {"fit_512_64": _fit_shared(512), "fit_512_255": _fit_new(512), "fit_2048_64": _fit_shared(2048)}
    if peers is not None:
        contestants |= {name: peers.contestant(name, "fit", rows=512) for name in (*GBRL, "xgboost")}
        contestants["xgboost_kept"] = peers.contestant("xgboost", "fit_kept", rows=512, bins=64)
    speeds = interleave(contestants, seconds=seconds, name="fit", progress=progress)
    gbrl = {name: speeds[name] for name in GBRL if name in speeds}
    both = {"fit_512_64": "xgboost_kept", "fit_512_255": "xgboost"}
    result = _compared("fit_2048_64", speeds["fit_2048_64"], {})
    for case, xgboost in both.items():
        theirs = {**gbrl, "xgboost": speeds[xgboost]} if peers is not None else {}
        result |= _compared(case, speeds[case], theirs)
    return {**result, "fit_rounds": len(speeds["fit_512_64"])}


def _bench_growers(peers: Peers | None, seconds: float, progress: Progress | None) -> Result:
    contestants = {
        f"grow_{name}_ms {rows}": _fit_shared(rows, **options) for name, options in GROWERS.items() for rows in GROWN
    }
    contestants |= {
        f"engine_{engine}_ms {rows}": _fit_shared(rows, engine=engine) for engine in ENGINES for rows in ENGINE_ROWS
    }
    contestants["margins_2048_ms 1"] = _add_to_margins(2048)
    speeds = interleave(contestants, seconds=seconds, name="growers", progress=progress)
    by_case: dict[str, dict[str, float]] = {}
    for name, samples in speeds.items():
        case, size = name.split()
        by_case.setdefault(case, {})[size] = _milliseconds(samples)
    return {**by_case}


def _add_to_margins(rows: int) -> Contestant:
    features, gradients = make_rows(rows)
    config, rates = TreeConfig(max_depth=DEPTH, max_bins=64), np.full(OUTPUTS, 0.01)
    grid = fit_grid(features, max_bins=config.max_bins, method=config.binning)
    tree = grow_tree(grid.encode(features), grid, gradients, config=config)
    cache = MarginCache(Forest(np.zeros(OUTPUTS), features=FEATURES, depth=DEPTH), features)
    return lambda: speed_of(lambda: cache.add(tree, rates))


def _fit_shared(rows: int, **options: Any) -> Contestant:
    features, gradients = make_rows(rows)
    config = TreeConfig(max_depth=DEPTH, max_bins=64, **options)
    grid = fit_grid(features, max_bins=config.max_bins, method=config.binning)
    codes = grid.encode(features)
    return lambda: speed_of(lambda: grow_tree(codes, grid, gradients, config=config))


def _fit_new(rows: int) -> Contestant:
    features, gradients = make_rows(rows)
    config = TreeConfig(max_depth=DEPTH, max_bins=255)

    def fit() -> None:
        grid = fit_grid(features, max_bins=config.max_bins, method=config.binning)
        grow_tree(grid.encode(features), grid, gradients, config=config)

    return lambda: speed_of(fit)


def _bench_predictions(peers: Peers | None, seconds: float, progress: Progress | None) -> Result:
    forest, results = _large_forest(), dict[str, Result]()
    for count in PREDICTED:
        features, _ = make_rows(count)
        contestants: dict[str, Contestant] = {"ours": lambda x=features: speed_of(lambda: forest.predict(x))}  # type: ignore[misc]
        if peers is not None:
            contestants |= {name: peers.contestant(name, "predict", rows=count) for name in (*GBRL, "xgboost")}
        speeds = interleave(contestants, seconds=seconds / len(PREDICTED), name=f"predict {count}", progress=progress)
        results[str(count)] = _compared(f"predict_{TREES}", speeds.pop("ours"), speeds)
    return _by_size(results)


def _large_forest() -> Forest:
    features, gradients = make_rows(512)
    config, rates = TreeConfig(max_depth=DEPTH, max_bins=64), np.full(OUTPUTS, 0.01)
    grid = fit_grid(features, max_bins=config.max_bins, method=config.binning)
    codes, generator = grid.encode(features), np.random.default_rng(0)
    forest = Forest(np.zeros(OUTPUTS), features=FEATURES, depth=DEPTH)
    for _ in range(TREES):  # other gradients each time, so that no two trees are alike
        forest.append(grow_tree(codes, grid, generator.normal(size=gradients.shape), config=config), rates)
    return forest


def _bench_table(peers: Peers | None, seconds: float, progress: Progress | None) -> Result:
    """Play the loop once, however long it takes, in stretches that alternate with the peers' own."""
    plays: dict[str, Callable[[int, int], float]] = {"ours": _TableLoop().play}
    if peers is not None:
        for name in (*GBRL, "xgboost"):
            plays[name] = lambda begin, end, name=name: peers.play(name, "table", begin=begin, end=end)  # type: ignore[misc]
    speeds: dict[str, list[float]] = {name: [] for name in plays}
    for begin in range(0, ITERATIONS, STRETCH):
        if progress is not None:
            progress("table1", begin / ITERATIONS)
        for name, play in plays.items():
            speeds[name].append(play(begin, begin + STRETCH))
    result: Result = {}
    for name, samples in speeds.items():
        prefix = "table1" if name == "ours" else f"table1_{name}"
        result[f"{prefix}_s"] = float(sum(STRETCH / speed for speed in samples))
        if name != "ours":
            result |= _ratios(f"{prefix}_ratio", speeds["ours"], samples)
    return result


class _TableLoop:
    """Boosting on new data in every iteration."""

    def __init__(self) -> None:
        self.forest = Forest(np.zeros(TABLE_OUTPUTS), features=FEATURES, depth=DEPTH)
        self._config, self._rates = TreeConfig(max_depth=DEPTH), np.full(TABLE_OUTPUTS, TABLE_RATE)

    def play(self, begin: int, end: int) -> float:
        """Play some iterations, and return how many a second."""
        return table_speed(self._step, [make_table_batch(iteration) for iteration in range(begin, end)])

    def _step(self, features: Floats, targets: Floats) -> None:
        gradients = self.forest.predict(features) - targets
        grid = fit_grid(features, max_bins=self._config.max_bins, method=self._config.binning)
        tree = grow_tree(grid.encode(features), grid, gradients, config=self._config)
        self.forest.append(tree, self._rates)


def _bench_updates(peers: Peers | None, seconds: float, progress: Progress | None) -> Result:
    rollout, results = cart_pole_rollout(), dict[str, Result]()
    if peers is not None:
        experience = {name: values.tolist() for name, values in rollout.items()}
        for name in GBRL:
            peers.play(name, "set_experience", **experience)
    for trees in UPDATED:
        contestants = {"ours": own_update(trees, rollout)}
        if peers is not None:
            contestants |= {name: peers.contestant(name, "update", trees=trees) for name in GBRL}
        speeds = interleave(contestants, seconds=seconds / len(UPDATED), name=f"update {trees}", progress=progress)
        compared = _compared("update", speeds.pop("ours"), speeds)
        # Its one peer of the same kind of trees needs no name.
        results[str(trees)] = {name.replace("gbrl_ratio", "ratio"): value for name, value in compared.items()}
    return _by_size(results)


def _compared(case: str, ours: Sequence[float], theirs: Mapping[str, Sequence[float]]) -> Result:
    """Return the medians in ms of speeds in calls per second, and the ratios to each of the others."""
    result: Result = {f"{case}_ms": _milliseconds(ours)}
    for name, speeds in theirs.items():
        result[f"{case}_{name}_ms"] = _milliseconds(speeds)
        result |= _ratios(f"{case}_{name}_ratio", ours, speeds)
    return result


def _ratios(prefix: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    return {name.removesuffix("_median"): value for name, value in ratios(prefix, ours, theirs).items()}


def _milliseconds(speeds: Sequence[float]) -> float:
    return 1e3 / float(np.median(speeds))


def _by_size(results: Mapping[str, Result]) -> Result:
    """Turn results by size, all of the same keys, into one result of mappings from size to number."""
    first = next(iter(results.values()))
    return {name: {size: float(result[name]) for size, result in results.items()} for name in first}  # type: ignore[arg-type]
