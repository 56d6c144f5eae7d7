"""A boosted forest: what it starts from, less the leaves of its trees."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wormwood.errors import bad_input
from wormwood.trees.binning import check_features
from wormwood.trees.forest_arrays import DEEPEST, Arrays, check_forest_arrays
from wormwood.trees.predicting import PackedTrees, leaf_masks, subtract_trees
from wormwood.trees.tree import Tree
from wormwood.trees.vectors import lanes_of

__all__ = ["Forest", "pack_tree"]

Floats = npt.NDArray[np.float64]


class Forest:
    """``F(x) = F_0 - sum_k lr_k * leaf_k(x)``, of D outputs.

    The product is rounded to float64 when a tree is appended, and the differences are rounded one tree after another.
    So a row's outputs are the same bits in a batch of any size, by whatever steps the forest grew.
    """

    def __init__(self, initial: npt.ArrayLike, *, features: int, depth: int) -> None:
        """Make a forest without trees.

        Args:
            initial: F_0, [D] finite numbers.
            features: numbers F in a row, at most 65,536.
            depth: of its trees, 1 to 10. Shallower ones may be appended and are deepened by nodes without a split.

        Raises:
            BadInput: one of them is not so.
        """
        if not 1 <= depth <= DEEPEST:
            raise bad_input("wrong depth", where="forest", expected=f"1 to {DEEPEST}", got=depth)
        self._initial = np.array(initial, np.float64)
        outputs = self._initial.size
        self._packed = _empty(0, depth, outputs)
        self._count, self._depth, self._columns, self._has_categorical = 0, depth, features, False
        self._masks, self._width = leaf_masks(depth), lanes_of(outputs)
        check_forest_arrays(self.arrays())

    @property
    def initial(self) -> Floats:
        """F_0, [D]. A copy."""
        return self._initial.copy()

    @property
    def features(self) -> int:
        """Numbers F in a row."""
        return self._columns

    @property
    def outputs(self) -> int:
        """Outputs D."""
        return len(self._initial)

    @property
    def depth(self) -> int:
        """Splits between root and leaf."""
        return self._depth

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, trees: slice) -> Forest:
        """Return a forest of the same start and some of the trees, copied.

        Raises:
            TypeError: it is one index, not a slice: a single tree is ``forest[3:4]``.
        """
        if not isinstance(trees, slice):
            raise TypeError(f"a forest is sliced, as in forest[3:4], not indexed by {trees!r}")
        part = Forest(self._initial, features=self._columns, depth=self._depth)
        chosen = {name: values[: self._count][trees] for name, values in self._packed.items()}
        part._write(chosen)
        return part

    def append(self, tree: Tree, learning_rates: npt.ArrayLike) -> None:
        """Subtract another tree, in amortised constant time.

        Args:
            tree: grown on features and outputs like this forest's.
            learning_rates: [D] finite numbers, which multiply the outputs of its leaves.

        Raises:
            BadInput: the tree is deeper or has other features or outputs, or a rate is not finite.
        """
        sizes = (self._columns, self.outputs, self._depth)
        self._write(pack_tree(tree, learning_rates, sizes=sizes))

    def predict(self, features: npt.ArrayLike, *, trees: int | None = None) -> Floats:
        """Return the outputs [N, D] of rows [N, F], from all trees or the first ones only.

        Raises:
            BadInput: another shape, a number that is not finite, or more trees than there are.
        """
        rows = check_features(features, self._columns)
        last = self._count if trees is None else trees
        if not 0 <= last <= self._count:
            raise bad_input("wrong number of trees", where="forest", expected=f"0 to {self._count}", got=trees)
        margins = np.zeros((len(rows), len(self._width)))
        margins[:, : self.outputs] = self._initial
        self.subtract(margins, rows, (0, last))
        return margins[:, : self.outputs].copy()

    def subtract(self, margins: Floats, rows: Floats, trees: tuple[int, int]) -> None:
        """Subtract some trees, from the first to before the last, from margins [N, W] of checked rows [N, F] in place.

        W is D, rounded up to a power of two as ``lanes_of`` gives it: what stands beyond D is not used.
        """
        subtract_trees(margins, rows, self._trees(), trees, self._width)

    def arrays(self, *, start: int = 0) -> dict[str, npt.NDArray[Any]]:
        """Return the trees from ``start`` on as plain arrays, which ``extend`` and ``from_arrays`` take.

        They are ``start``, ``columns`` (F), ``initial`` [D], ``features`` [K, I] with -1 for no split, ``thresholds``
        [K, I], ``categorical`` [K, I], ``leaves`` [K, L, D] with the learning rates multiplied in, and ``covers``
        [K, I + L]. A tree has I inner nodes and L = I + 1 leaves, laid out as in ``Tree``.

        Raises:
            BadInput: there are fewer trees.
        """
        if not 0 <= start <= self._count:
            raise bad_input("wrong start", where="forest", expected=f"0 to {self._count}", got=start)
        packed = {name: values[start : self._count] for name, values in self._packed.items()}
        split = packed["thresholds"] < np.inf
        return {
            "start": np.array(start, np.int64),
            "columns": np.array(self._columns, np.int64),
            "initial": self.initial,
            "features": np.where(split, packed["features"], np.int32(-1)).astype(np.int32),
            "thresholds": packed["thresholds"].copy(),
            "categorical": packed["categorical"].copy(),
            "leaves": np.ascontiguousarray(packed["leaves"][:, :, : self.outputs]),
            "covers": packed["covers"].copy(),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Forest:
        """Make a forest of what ``arrays()`` of another returned, whoever wrote it.

        Raises:
            BadInput: the arrays are no forest, or only the later trees of one.
        """
        _, depth, columns, _ = check_forest_arrays(arrays)
        forest = cls(arrays["initial"], features=columns, depth=depth)
        forest.extend(arrays)
        return forest

    def extend(self, arrays: Arrays) -> None:
        """Append what ``arrays(start=len(self))`` of a forest that has grown further returned.

        Raises:
            BadInput: the arrays are no trees, or do not follow the ones that are here.
        """
        trees, depth, columns, _ = check_forest_arrays(arrays)
        mine = (self._count, self._depth, self._columns, self._initial.tolist())
        theirs = (int(arrays["start"]), depth, columns, arrays["initial"].tolist())
        if mine != theirs:
            expected = "start {}, depth {}, columns {}, initial {}".format(*mine)
            raise bad_input("trees do not follow", where="forest", expected=expected, got=theirs)
        leaves = np.zeros((trees, 2**depth, len(self._width)))
        leaves[:, :, : self.outputs] = arrays["leaves"]
        features = np.maximum(arrays["features"], 0)
        self._write({**{name: arrays[name] for name in self._packed}, "leaves": leaves, "features": features})

    def _trees(self) -> PackedTrees:
        packed = self._packed
        return PackedTrees(
            packed["features"],
            packed["thresholds"],
            packed["categorical"],
            self._has_categorical,
            packed["leaves"],
            self._masks,
        )

    def _write(self, trees: Arrays) -> None:
        """Append checked trees, with as much room again where there is none left."""
        first, past = self._count, self._count + len(trees["features"])
        if past > len(self._packed["features"]):
            larger = _empty(max(past, 2 * first, 16), self._depth, self.outputs)
            for name, values in self._packed.items():
                larger[name][:first] = values[:first]
            self._packed = larger
        for name, values in self._packed.items():
            values[first:past] = trees[name]
        self._has_categorical |= bool(trees["categorical"].any())
        self._count = past


def pack_tree(tree: Tree, learning_rates: npt.ArrayLike, *, sizes: tuple[int, int, int]) -> dict[str, Any]:
    """Return one tree as a forest holds it: arrays whose first axis has length 1.

    Args:
        tree: the tree.
        learning_rates: [D] finite numbers, which multiply the outputs of its leaves.
        sizes: features F and outputs D that it must have, and the depth to which it is deepened.

    Raises:
        BadInput: the tree is deeper or has other features or outputs, or a rate or leaf is not finite.
    """
    columns, outputs, depth = sizes
    if tree.depth > depth or tree.leaves.shape[1] != outputs or tree.features.max() >= columns:
        expected = f"depth up to {depth}, {columns} features, {outputs} outputs"
        got = f"depth {tree.depth}, feature {tree.features.max()}, {tree.leaves.shape[1]} outputs"
        raise bad_input("tree does not fit", where="forest", expected=expected, got=got)
    rates = np.asarray(learning_rates, np.float64)
    if rates.shape != (outputs,) or not np.isfinite(rates).all():
        expected = f"{outputs} finite numbers"
        raise bad_input("wrong learning rates", where="forest", expected=expected, got=rates.tolist())
    whole = tree.deepened(depth)
    leaves = np.zeros((1, len(whole.leaves), len(lanes_of(outputs))))
    with np.errstate(over="ignore", invalid="ignore"):
        leaves[0, :, :outputs] = whole.leaves * rates
    if not np.isfinite(leaves).all():
        raise bad_input("tree does not fit", where="forest", expected="finite leaves", got="some that are not")
    return {
        "features": np.maximum(whole.features, 0)[None],
        "thresholds": whole.thresholds[None],
        "categorical": whole.categorical[None],
        "leaves": leaves,
        "covers": whole.covers[None],
    }


def _empty(trees: int, depth: int, outputs: int) -> dict[str, npt.NDArray[Any]]:
    leaves, width = 2**depth, len(lanes_of(outputs))
    size = trees * leaves * width
    memory = np.empty(size + 8)  # the leaves begin at a multiple of 64 bytes, so that few lie on two cache lines
    begin = -memory.ctypes.data // memory.itemsize % 8
    return {
        "features": np.empty((trees, leaves - 1), np.uint16),
        "thresholds": np.empty((trees, leaves - 1)),
        "categorical": np.empty((trees, leaves - 1), np.bool_),
        "leaves": memory[begin : begin + size].reshape(trees, leaves, width),
        "covers": np.empty((trees, 2 * leaves - 1), np.int32),
    }
