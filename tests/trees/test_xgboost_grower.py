import numpy as np
import pytest

from wormwood.errors import BadInput
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.growing import grow_tree

FIELDS = ("features", "thresholds", "categorical", "leaves", "covers")


def grow_with(engine, x, gradients, *, score="cosine", depth=4, **options):
    grid = fit_grid(x, max_bins=256, method="quantile")
    config = TreeConfig(engine=engine, score=score, max_depth=depth)
    return grow_tree(grid.encode(x), grid, gradients, config=config, **options)


def make_problem(seed, rows=300, features=6, outputs=3):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, features))
    gradients = generator.normal(size=(rows, outputs)) * [1.0, 1e-3, 10.0][:outputs] + x[:, :1]
    return x, gradients


@pytest.mark.parametrize("score", ["cosine", "l2"])
@pytest.mark.parametrize("seed", range(5))
def test_it_grows_the_same_trees_as_the_native_engine(score, seed):
    x, gradients = make_problem(seed)
    ours, theirs = (grow_with(engine, x, gradients, score=score) for engine in ("native", "xgboost"))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), err_msg=name)


@pytest.mark.parametrize("exponent", [-300, 200])
def test_structure_gradients_and_any_scale_give_the_same_trees(exponent):
    x, gradients = make_problem(7)
    structure = np.random.default_rng(8).normal(size=(300, 2)) * 2.0**exponent
    ours, theirs = (grow_with(engine, x, gradients, structure_gradients=structure) for engine in ("native", "xgboost"))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), err_msg=name)


def test_a_tree_that_cannot_split_and_one_that_stops_early_are_the_same():
    for x in (np.ones((5, 2)), np.array([[0.0], [0.0], [1.0]])):
        gradients = np.arange(2.0 * len(x)).reshape(len(x), 2)
        ours, theirs = (grow_with(engine, x, gradients, depth=3) for engine in ("native", "xgboost"))
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), err_msg=name)


@pytest.mark.parametrize(
    ("options", "config", "message"),
    [
        ({"monotone": [[1], [0]]}, {}, "expected no monotone"),
        ({"feature_weights": [1.0, 2.0]}, {}, "expected no feature_weights"),
        ({}, {"min_data_in_leaf": 2}, "expected no min_data_in_leaf above 1"),
        ({}, {"device": "cuda"}, "device in trees: expected cpu: XGBoost finds no CUDA device, got 'cuda'"),
    ],
)
def test_what_xgboost_would_ignore_is_refused(options, config, message):
    if config.get("device") and has_cuda_device():
        pytest.skip("there is a CUDA device")
    x = np.arange(12.0).reshape(6, 2)
    grid = fit_grid(x, max_bins=4, method="quantile")
    with pytest.raises(BadInput, match=message):
        grow_tree(grid.encode(x), grid, x[:, :1], config=TreeConfig(engine="xgboost", **config), **options)


def test_categorical_features_are_refused():
    x = np.arange(12.0).reshape(6, 2)
    grid = fit_grid(x, max_bins=4, method="quantile", categorical=[0])
    with pytest.raises(BadInput, match="expected no categorical features"):
        grow_tree(grid.encode(x), grid, x, config=TreeConfig(engine="xgboost"))


@pytest.mark.parametrize("score", ["cosine", "l2"])
def test_cuda_grows_the_same_trees(score):
    if not has_cuda_device():
        pytest.skip("no CUDA device")
    x, gradients = make_problem(0)
    grid = fit_grid(x, max_bins=256, method="quantile")
    ours, theirs = (
        grow_tree(grid.encode(x), grid, gradients, config=TreeConfig(score=score, **options))
        for options in ({}, {"engine": "xgboost", "device": "cuda"})
    )
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name), err_msg=name)


def has_cuda_device():
    torch = pytest.importorskip("torch")
    return torch.cuda.is_available()
