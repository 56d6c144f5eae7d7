import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from wormwood.errors import BadInput
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.source_export import c_source


def grow_forest():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(80, 3))
    x[:, 2] = generator.integers(0, 4, 80)
    grid = fit_grid(x, max_bins=32, method="quantile", categorical=[2])
    codes = grid.encode(x)
    forest = Forest([0.1, -1e-310], features=3, depth=4)
    for index in range(20):
        gradients = generator.normal(size=(80, 2)) + x[:, 2:] * (x[:, :1] > 0)
        tree = grow_tree(codes, grid, gradients, config=TreeConfig(max_depth=1 + index % 4, min_data_in_leaf=6))
        forest.append(tree, [0.3, 0.1])
    return forest, x


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_compiled_source_predicts_the_same_bits(tmp_path, level):
    forest, x = grow_forest()
    source, library = tmp_path / "forest.c", tmp_path / "forest.so"
    source.write_text(c_source(forest, name="worm"))
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-nostdlib", "-shared", "-fPIC", level]
    subprocess.run(["cc", *options, "-o", library, source], check=True)
    predict = ctypes.CDLL(str(library)).worm
    outputs = np.empty((len(x), 2))
    for row, output in zip(x, outputs, strict=True):
        doubles = ctypes.POINTER(ctypes.c_double)
        predict(row.ctypes.data_as(doubles), output.ctypes.data_as(doubles))
    np.testing.assert_array_equal(outputs, forest.predict(x))


def test_a_name_that_is_no_identifier_and_an_empty_forest_are_refused():
    forest, _ = grow_forest()
    with pytest.raises(BadInput, match="expected letters, digits and underscores, got 'f; int x'"):
        c_source(forest, name="f; int x")
    with pytest.raises(BadInput, match="at least one tree"):
        c_source(forest[:0])
