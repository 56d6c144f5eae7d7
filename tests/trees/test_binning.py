import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wormwood.errors import BadInput
from wormwood.trees.binning import fit_grid

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0, 5e-324, 1.7e308])


def test_few_distinct_values_have_a_bin_each_with_thresholds_halfway():
    x = np.array([[3.0, 7.0], [1.0, 7.0], [1.0, 7.0], [2.0, 7.0]])
    grid = fit_grid(x, max_bins=3, method="quantile")
    assert grid.candidates(0).tolist() == [1.5, 2.5]
    assert grid.candidates(1).tolist() == []  # constant: one bin, no split
    assert grid.bins == 3
    assert grid.encode(x).tolist() == [[2, 0, 0, 1], [0, 0, 0, 0]]


def test_quantile_bins_share_the_rows_evenly():
    x = np.random.default_rng(0).exponential(size=(1000, 3))
    codes = fit_grid(x, max_bins=8, method="quantile").encode(x)
    assert all(np.bincount(column).tolist() == [125] * 8 for column in codes)


def test_a_value_of_many_rows_has_a_bin_of_its_own():
    x = np.concatenate([np.arange(50.0), np.full(100, 25.0), np.arange(50.0)])[:, None]
    grid = fit_grid(x, max_bins=5, method="quantile")
    codes = grid.encode(x)[0]
    assert set(x[codes == codes[60], 0]) == {25.0}


def test_uniform_bins_have_equal_widths():
    grid = fit_grid(np.array([[0.0], [0.1], [4.0]]), max_bins=4, method="uniform")
    assert grid.candidates(0).tolist() == [1.0, 2.0, 3.0]
    assert grid.encode([[-5.0], [1.0], [1.1], [9.0]]).tolist() == [[0, 0, 1, 3]]


def test_categories_are_codes_and_unseen_ones_equal_none():
    grid = fit_grid([[2.0], [-1.0], [2.0], [7.0]], max_bins=2, method="quantile", categorical=[0])
    assert grid.candidates(0).tolist() == [-1.0, 2.0, 7.0]
    assert grid.encode([[7.0], [-1.0], [3.0], [100.0]]).tolist() == [[2, 0, 3, 3]]


@given(
    fitted=arrays.arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2)), elements=NUMBERS),
    others=arrays.arrays(np.float64, (20, 2), elements=NUMBERS),
    max_bins=st.integers(2, 40),
    method=st.sampled_from(["quantile", "uniform"]),
)
def test_codes_compare_as_the_numbers_do(fitted, others, max_bins, method):
    grid = fit_grid(fitted, max_bins=max_bins, method=method, categorical=[1])
    rows = np.concatenate([fitted, others])
    codes = grid.encode(rows)
    thresholds = grid.candidates(0)
    assert len(thresholds) < max_bins
    assert (np.diff(thresholds) > 0).all()
    for index, threshold in enumerate(thresholds):
        assert ((rows[:, 0] > threshold) == (codes[0] > index)).all()
        if method == "quantile":  # every bin has rows
            assert (codes[0][: len(fitted)] == index).any()
    for index, category in enumerate(grid.candidates(1)):
        assert ((rows[:, 1] == category) == (codes[1] == index)).all()


def test_256_bins_and_255_categories_fit_into_bytes():
    x = np.repeat(np.arange(1000.0)[:, None], 2, axis=1)
    x[:, 1] %= 255
    grid = fit_grid(x, max_bins=256, method="quantile", categorical=[1])
    codes = grid.encode(x)
    assert grid.bins == 256
    assert [int(column.max()) for column in codes] == [255, 254]
    assert grid.encode([[0.0, 999.0]])[1].tolist() == [255]


def test_rare_categories_share_a_code():
    # 300 categories, of which the odd ones are seen twice: 150 of them, and the first 105 of the others, are split off.
    x = np.repeat(np.arange(300.0), 1 + np.arange(300) % 2)[:, None]
    grid = fit_grid(x, max_bins=4, method="quantile", categorical=[0])
    frequent = sorted([*range(1, 300, 2), *range(0, 210, 2)])
    assert grid.candidates(0).tolist() == frequent and len(frequent) == 255
    codes = grid.encode(np.arange(300.0)[:, None])[0]
    assert codes[frequent].tolist() == [*range(255)] and set(codes[210::2].tolist()) == {255}


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        ([[1.0, np.nan]], {}, "row 0, column 1 of the features: expected a finite number, got nan"),
        ([[1.0], [np.inf]], {}, "row 1, column 0 of the features: expected a finite number, got inf"),
        ([1.0, 2.0], {}, r"features: expected shape \[rows, columns\], got \(2,\)"),
        (np.empty((0, 3)), {}, "at least one row to fit bins on"),
        ([[1.0]], {"max_bins": 257}, "max_bins: expected 2 to 256, got 257"),
        ([[1.0]], {"max_bins": 1}, "max_bins: expected 2 to 256, got 1"),
        ([[1.0]], {"categorical": [1]}, "categorical: expected 0 to 0, got 1"),
    ],
)
def test_what_cannot_be_binned_is_named_in_one_line(features, options, message):
    with pytest.raises(BadInput, match=message):
        fit_grid(features, **({"max_bins": 16, "method": "quantile"} | options))


def test_rows_of_another_width_are_refused():
    grid = fit_grid(np.eye(3), max_bins=4, method="quantile")
    with pytest.raises(BadInput, match=r"expected shape \[rows, 3\], got \(3, 2\)"):
        grid.encode(np.ones((3, 2)))
