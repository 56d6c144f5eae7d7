"""A forest as C source that needs nothing, not even a library, and predicts the same bits."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

import numpy as np

from wormwood.errors import bad_input
from wormwood.trees.forest import Forest

__all__ = ["c_source"]

_SOURCE = """\
/* A boosted forest: {trees} trees of depth {depth}, {features} features, {outputs} outputs.
   Only differences of doubles are computed, in a fixed order: the results are the same bits everywhere. */

static const double initial[{outputs}] = {{{initial}}};
static const unsigned short features[{nodes}] = {{{node_features}}};
static const double thresholds[{nodes}] = {{{thresholds}}};
static const unsigned char categorical[{nodes}] = {{{categorical}}};
static const double leaves[{numbers}] = {{{leaves}}};

/* x: {features} finite numbers. out: {outputs} numbers, filled. */
void {name}(const double *x, double *out)
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


def c_source(forest: Forest, *, name: str = "predict_forest") -> str:
    """Return C99 source of a function ``void name(const double *x, double *out)`` that predicts one row.

    Args:
        forest: at least one tree.
        name: of the function.

    Raises:
        BadInput: the forest is empty, or the name is no identifier of C.
    """
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
        raise bad_input("name", where="C source", expected="letters, digits and underscores", got=name)
    if not len(forest):
        raise bad_input("forest", where="C source", expected="at least one tree", got=0)
    arrays = forest.arrays()
    inner = 2**forest.depth - 1
    # No finite number is above the largest one, so that a node without a split sends all rows left.
    thresholds = np.minimum(arrays["thresholds"], sys.float_info.max)
    return _SOURCE.format(
        name=name,
        trees=len(forest),
        depth=forest.depth,
        features=forest.features,
        outputs=forest.outputs,
        inner=inner,
        leaves_of_tree=inner + 1,
        nodes=len(forest) * inner,
        numbers=arrays["leaves"].size,
        initial=_listed(value.hex() for value in arrays["initial"].tolist()),
        node_features=_listed(str(max(value, 0)) for value in arrays["features"].reshape(-1).tolist()),
        thresholds=_listed(value.hex() for value in thresholds.reshape(-1).tolist()),
        categorical=_listed(str(int(value)) for value in arrays["categorical"].reshape(-1).tolist()),
        leaves=_listed(value.hex() for value in arrays["leaves"].reshape(-1).tolist()),
    )


def _listed(values: Iterable[str]) -> str:
    listed = list(values)
    return ",\n    ".join(", ".join(listed[begin : begin + 8]) for begin in range(0, len(listed), 8))
