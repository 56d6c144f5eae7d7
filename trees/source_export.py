"""A forest as source, in C or Python, that needs nothing, not even a library, and predicts the same bits."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import numpy as np

from wormwood.errors import bad_input
from wormwood.trees.forest import Forest

__all__ = ["c_source", "python_source"]

_C_SOURCE = """\
/* A boosted forest: {trees} trees of depth {depth}, {features} features, {outputs} outputs.
   Only differences of doubles are computed, in a fixed order: the results are the same bits everywhere.{comment} */

static const double initial[{outputs}] = {{{initial}}};
static const unsigned short features[{nodes}] = {{{node_features}}};
static const double thresholds[{nodes}] = {{{thresholds}}};
static const unsigned char categorical[{nodes}] = {{{categorical}}};
static const double leaves[{numbers}] = {{{leaves}}};

/* x: {features} finite numbers. out: {outputs} numbers, filled. */
void predict_forest(const double *x, double *out)
{{
    for (int output = 0; output < {outputs}; output++)
        out[output] = initial[output];
    for (long tree = 0; tree < {trees}; tree++) {{
        long node = 0;
        while (node < {inner}) {{
            long place = tree * {inner} + node;
            double value = x[features[place]];
            int right = categorical[place] ? value == thresholds[place] : value > thresholds[place];
            node = 2 * node + 1 + right;
        }}
        const double *leaf = leaves + (tree * {leaves_of_tree} + node - {inner}) * {outputs};
        for (int output = 0; output < {outputs}; output++)
            out[output] -= leaf[output];
    }}
}}
"""

_PYTHON_SOURCE = '''\
# A boosted forest: {trees} trees of depth {depth}, {features} features, {outputs} outputs.
# Only differences of floats are computed, in a fixed order: the results are the same bits everywhere.{comment}

from array import array


def _read(kind, read, text):
    return array(kind, map(read, text.replace(",", " ").split()))


initial = _read("d", float.fromhex, """{initial}""")
features = _read("H", int, """{node_features}""")
thresholds = _read("d", float.fromhex, """{thresholds}""")
categorical = _read("B", int, """{categorical}""")
leaves = _read("d", float.fromhex, """{leaves}""")


def predict_forest(x):
    """Return the {outputs} outputs for {features} finite numbers."""
    out = list(initial)
    for tree in range({trees}):
        node = 0
        while node < {inner}:
            place = tree * {inner} + node
            value = x[features[place]]
            right = value == thresholds[place] if categorical[place] else value > thresholds[place]
            node = 2 * node + 1 + right
        leaf = (tree * {leaves_of_tree} + node - {inner}) * {outputs}
        for output in range({outputs}):
            out[output] -= leaves[leaf + output]
    return out
'''


def c_source(forest: Forest, *, comment: str = "") -> str:
    """Return C99 source of a function ``void predict_forest(const double *x, double *out)`` that predicts one row.

    Args:
        forest: at least one tree.
        comment: lines that stand at the top, such as what the features are.

    Raises:
        BadInput: the forest is empty, or the comment ends comments of C.
    """
    if "*/" in comment or "/*" in comment:
        raise bad_input("comment", where="C source", expected="neither /* nor */", got=comment)
    lines = "".join(f"\n   {line}" for line in comment.splitlines())
    return _C_SOURCE.format(comment=lines, **_parts(forest))


def python_source(forest: Forest, *, comment: str = "") -> str:
    """Return the source of a Python module with a function ``predict_forest(x) -> list[float]`` that predicts one row.

    Args:
        forest: at least one tree.
        comment: lines that stand at the top, such as what the features are.

    Raises:
        BadInput: the forest is empty.
    """
    lines = "".join(f"\n# {line}" for line in comment.splitlines())
    return _PYTHON_SOURCE.format(comment=lines, **_parts(forest))


def _parts(forest: Forest) -> dict[str, int | str]:
    """Return the numbers that both languages list alike."""
    if not len(forest):
        raise bad_input("forest", where="source", expected="at least one tree", got=0)
    arrays = forest.arrays()
    inner = 2**forest.depth - 1
    # No finite number is above the largest one, so that a node without a split sends all rows left.
    thresholds = np.minimum(arrays["thresholds"], sys.float_info.max)
    return {
        "trees": len(forest),
        "depth": forest.depth,
        "features": forest.features,
        "outputs": forest.outputs,
        "inner": inner,
        "leaves_of_tree": inner + 1,
        "nodes": len(forest) * inner,
        "numbers": arrays["leaves"].size,
        "initial": _listed(value.hex() for value in arrays["initial"].tolist()),
        "node_features": _listed(str(max(value, 0)) for value in arrays["features"].reshape(-1).tolist()),
        "thresholds": _listed(value.hex() for value in thresholds.reshape(-1).tolist()),
        "categorical": _listed(str(int(value)) for value in arrays["categorical"].reshape(-1).tolist()),
        "leaves": _listed(value.hex() for value in arrays["leaves"].reshape(-1).tolist()),
    }


def _listed(values: Iterable[str]) -> str:
    listed = list(values)
    return ",\n    ".join(", ".join(listed[begin : begin + 8]) for begin in range(0, len(listed), 8))
