import numpy as np
import pytest

from wormwood.agents.learning.compiled.matrices import LANES, multiply, padded, transpose

SHAPES = [(1, 1, 8), (1, 5, 8), (3, 64, 16), (8, 8, 24), (13, 7, 40), (64, 64, 64), (65, 3, 72)]


def _product(left: np.ndarray, right: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return ``start + left right`` by the kernel."""
    (rows, depth), width = left.shape, right.shape[1]
    product = np.zeros((rows, width), dtype=np.float32)
    flat = [np.ascontiguousarray(each).ravel() for each in (left, right, product, start)]
    multiply(flat[0], 0, depth, 1, flat[1], 0, width, flat[2], 0, width, flat[3], 0, 0, rows, width, depth)
    return flat[2].reshape(rows, width)


@pytest.mark.parametrize(("rows", "depth", "width"), SHAPES)
def test_a_product_is_that_of_double_precision_within_rounding(rows, depth, width):
    rng = np.random.default_rng(rows * depth * width)
    left, right, start = (rng.standard_normal(shape).astype("f4") for shape in ((rows, depth), (depth, width), width))
    exact = left.astype(float) @ right.astype(float) + start
    size = np.abs(left).astype(float) @ np.abs(right) + np.abs(start)
    # Each of `depth` fused multiply-adds rounds once, by half a unit in the last place at most.
    assert (np.abs(_product(left, right, start) - exact) <= size * depth * 2.0**-24).all()


def test_bits_are_those_of_one_chain_of_fused_multiply_adds():
    # In tiles of any shape: each row and each column alone gives the bits that they have among the others.
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((13, 37)).astype("f4"), rng.standard_normal((37, 40)).astype("f4")
    start = np.zeros(40, dtype="f4")
    whole = _product(left, right, start)
    for row in range(13):
        for first in range(0, 40, LANES):
            part = _product(left[row : row + 1], right[:, first : first + LANES], start[first : first + LANES])
            np.testing.assert_array_equal(part[0], whole[row, first : first + LANES])


def test_a_product_rounds_once_for_each_term():
    # (1 + 2^-12)(1 + 2^-12) = 1 + 2^-11 + 2^-24: minus 1 + 2^-11 it is 2^-24 if the product is not rounded before.
    near = np.float32(1.0 + 2.0**-12)
    start = np.full(8, -(1.0 + 2.0**-11), dtype="f4")
    assert _product(np.array([[near]]), np.full((1, 8), near, dtype="f4"), start)[0].tolist() == [2.0**-24] * 8


def test_a_transposed_matrix_has_zeros_behind_its_rows():
    matrix = np.arange(6, dtype="f4").reshape(2, 3)
    target = np.full(3 * 8, np.nan, dtype="f4")
    transpose(matrix.ravel(), 2, 3, 3, target, 8)
    assert target.reshape(3, 8).tolist() == [[0, 3, *[0] * 6], [1, 4, *[0] * 6], [2, 5, *[0] * 6]]
    assert [padded(units) for units in (1, 8, 9, 64)] == [8, 8, 16, 64]
