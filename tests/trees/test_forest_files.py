import json

import numpy as np
import pytest
import safetensors.numpy

from wormwood.errors import BadInput
from wormwood.trees.forest import Forest
from wormwood.trees.forest_files import load_forest, save_forest
from wormwood.trees.tree import Tree


def make_forest(trees=2):
    forest = Forest([1.0, -2.0], features=3, depth=1)
    tree = Tree(
        features=np.array([2], np.int32),
        thresholds=np.array([0.5]),
        categorical=np.array([False]),
        leaves=np.array([[1.0, 2.0], [3.0, -4.0]]),
        covers=np.array([3, 1, 2], np.int32),
    )
    for _ in range(trees):
        forest.append(tree, [0.5, 0.25])
    return forest


@pytest.mark.parametrize("trees", [0, 2])
def test_a_forest_comes_back_as_it_was(tmp_path, trees):
    path = tmp_path / "forest.safetensors"
    save_forest(path, make_forest(trees))
    loaded = load_forest(path)
    for name, values in make_forest(trees).arrays().items():
        np.testing.assert_array_equal(loaded.arrays()[name], values, err_msg=name)
    assert [entry.name for entry in tmp_path.iterdir()] == ["forest.safetensors"]


def test_every_flipped_bit_and_every_truncation_is_found(tmp_path):
    path = tmp_path / "forest.safetensors"
    save_forest(path, make_forest(1))
    data = path.read_bytes()
    for place in range(len(data)):
        for bit in (1, 32, 128):
            path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
            with pytest.raises(BadInput, match=r"forest in .*: expected"):
                load_forest(path)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(BadInput):
            load_forest(path)
    path.write_bytes(data + b"0")
    with pytest.raises(BadInput):
        load_forest(path)
    path.write_bytes(data)
    assert len(load_forest(path)) == 1


def test_saving_again_replaces_and_a_failure_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "forest.safetensors"
    save_forest(path, make_forest(1))
    save_forest(path, make_forest(2))
    assert len(load_forest(path)) == 2

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadInput, match=r"cannot write forest .* got 'No space left on device'"):
        save_forest(path, make_forest(3))
    assert len(load_forest(path)) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_no_forest_of_this_version_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"cannot read forest in .*none: expected a file"):
        load_forest(tmp_path / "none")
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.numpy.save({"weights": np.ones(3)}))
    with pytest.raises(BadInput, match="damaged forest"):
        load_forest(path)
    path.write_bytes(safetensors.numpy.save({"weights": np.ones(3)}, {"format": "wormwood forest 9", "sha256": "0"}))
    with pytest.raises(BadInput, match="expected format 'wormwood forest 1', got 'wormwood forest 9'"):
        load_forest(path)
    path.write_bytes(b"\xff" * 8 + json.dumps({}).encode())
    with pytest.raises(BadInput, match="damaged forest"):
        load_forest(path)
