import ctypes
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from wormwood.errors import BadInput
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.source_export import c_source, python_source


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
    source.write_text(c_source(forest, comment="x: three numbers\nout: two"))
    options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-nostdlib", "-shared", "-fPIC", level]
    subprocess.run(["cc", *options, "-o", library, source], check=True)
    predict = ctypes.CDLL(str(library)).predict_forest
    rows = _odd_rows(forest, x)
    outputs = np.empty((len(rows), 2))
    for row, output in zip(rows, outputs, strict=True):
        doubles = ctypes.POINTER(ctypes.c_double)
        predict(row.ctypes.data_as(doubles), output.ctypes.data_as(doubles))
    assert outputs.tobytes() == forest.predict(rows).tobytes()


def _odd_rows(forest, x):
    """Return 10,000 random rows, and others on thresholds and next to them, of subnormal numbers, and of both zeros."""
    generator = np.random.default_rng(1)
    random = generator.normal(size=(10_000, 3))
    random[:, 2] = generator.integers(-1, 5, 10_000)
    arrays = forest.arrays()
    ends = arrays["thresholds"][np.isfinite(arrays["thresholds"])]
    near = [ends, np.nextafter(ends, np.inf), np.nextafter(ends, -np.inf)]
    smallest = [[5e-324, -5e-324, 0.0], [-0.0, 0.0, -0.0], [0.0, -0.0, 2.2e-308], [1e308, -1e308, 3.0]]
    return np.concatenate([x, random, *(np.repeat(each[:, None], 3, axis=1) for each in near), smallest])


def test_python_source_predicts_the_same_bits_without_any_package(tmp_path):
    forest, x = grow_forest()
    source = tmp_path / "policy.py"
    source.write_text(python_source(forest, comment='x: """three""" numbers\nimport none'))
    program = f"""
import json, runpy
predict = runpy.run_path({str(source)!r})["predict_forest"]
rows = json.loads(input())
print(json.dumps([[value.hex() for value in predict(row)] for row in rows]))
"""
    isolated = [sys.executable, "-I", "-S", "-c", program]
    done = subprocess.run(isolated, input=json.dumps(x.tolist()), capture_output=True, text=True, check=True)
    outputs = [[float.fromhex(value) for value in row] for row in json.loads(done.stdout)]
    np.testing.assert_array_equal(outputs, forest.predict(x))


@pytest.mark.parametrize("export", [c_source, python_source])
def test_a_comment_stands_at_the_top_and_the_numbers_are_the_same_in_both_languages(export):
    forest, _ = grow_forest()
    source = export(forest, comment="x: three numbers\nout: two")
    assert "x: three numbers" in source and "out: two" in source
    assert forest.arrays()["leaves"][3, 5, 1].hex() in source


@pytest.mark.parametrize("export", [c_source, python_source])
def test_an_empty_forest_is_refused(export):
    forest, _ = grow_forest()
    with pytest.raises(BadInput, match="at least one tree"):
        export(forest[:0])


def test_a_comment_that_would_end_early_is_refused():
    forest, _ = grow_forest()
    with pytest.raises(BadInput, match=r"expected neither /\* nor \*/"):
        c_source(forest, comment="*/ int x;")
