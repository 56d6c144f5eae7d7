"""Following gradients: one tree for each minibatch, or one for several."""

import numpy as np
import pytest

from wormwood.agents.learning.boosted.boosting import Boosting
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest

RATES = np.array([0.5, 0.25])


def _features(seed: int = 0, rows: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 3))


def _play(merge: int, minibatches: int, *, rollouts: int = 2) -> tuple[Forest, Boosting]:
    """Pull the outputs towards two functions of the features."""
    forest = Forest([1.0, -1.0], features=3, depth=3)
    boosting = Boosting(forest, TreeConfig(max_depth=3, max_bins=32), merge=merge)
    rng = np.random.default_rng(1)
    for rollout in range(rollouts):
        features = _features(rollout)
        target = np.stack([features[:, 0] > 0, features[:, 1] ** 2], axis=1).astype(float)
        boosting.begin(features)
        for _ in range(minibatches):
            rows = rng.permutation(200)[:64]
            boosting.step(rows, boosting.outputs(rows) - target[rows], RATES)
        boosting.finish()
    return forest, boosting


def test_kept_outputs_are_those_of_the_forest_to_the_bit() -> None:
    forest, boosting = _play(1, 10)
    assert len(forest) == 20
    np.testing.assert_array_equal(boosting.outputs(np.arange(200)), forest.predict(_features(1)))


@pytest.mark.parametrize(("merge", "trees"), [(2, 10), (5, 4), (10, 2), (7, 4), (99, 2)])
def test_merged_minibatches_are_one_tree_with_the_same_outputs(merge: int, trees: int) -> None:
    forest, boosting = _play(merge, 10)
    assert len(forest) == trees
    np.testing.assert_allclose(boosting.outputs(np.arange(200)), forest.predict(_features(1)), rtol=0, atol=1e-14)


def test_merging_descends_as_well() -> None:
    def loss(forest: Forest) -> float:
        features = _features(7)
        target = np.stack([features[:, 0] > 0, features[:, 1] ** 2], axis=1)
        return float(np.mean((forest.predict(features) - target) ** 2))

    start = loss(Forest([1.0, -1.0], features=3, depth=3))
    assert loss(_play(1, 10)[0]) < 0.3 * start
    assert loss(_play(5, 10)[0]) < 0.5 * start


def test_the_first_of_merged_minibatches_decides_the_structure_and_all_move_the_leaves() -> None:
    forest = Forest([0.0], features=1, depth=1)
    boosting = Boosting(forest, TreeConfig(max_depth=1), merge=2)
    boosting.begin(np.array([[0.0], [1.0], [2.0], [3.0]]))
    boosting.step(np.arange(4), np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([0.5]))
    assert boosting.outputs(np.arange(4)).ravel().tolist() == [0.5, 0.5, -0.5, -0.5]
    boosting.step(np.array([0, 3]), np.array([[4.0], [8.0]]), np.array([0.25]))
    assert boosting.outputs(np.arange(4)).ravel().tolist() == [-0.5, -0.5, -2.5, -2.5]
    assert len(forest) == 1
    assert forest.predict([[-9.0], [9.0]]).ravel().tolist() == [-0.5, -2.5]
