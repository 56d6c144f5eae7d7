"""The linear transformer in NumPy, as rollouts run it: step after step, with a memory of a fixed size."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.recurrent_settings import LinearTransformerConfig
from wormwood.agents.policies.weights import Shape, check_arrays

__all__ = ["EPSILON", "LinearTransformer", "check_weights", "initial_weights", "normalized"]

EPSILON = 1e-6
"""Keeps the normalisation finite where all features are 0."""
SHARPNESS = 2.0
"""Deviation of the logits of slots at the start."""


def _shapes(config: LinearTransformerConfig, inputs: int) -> dict[str, Shape]:
    units, slots, heads = config.units, config.heads * config.slots, config.heads
    shapes: dict[str, Shape] = {"input_weight": (2 * inputs, units), "input_bias": (units,)}
    for layer in range(config.layers):
        shapes |= {
            f"layer{layer}_key_weight": (units, slots),
            f"layer{layer}_key_bias": (slots,),
            f"layer{layer}_query_weight": (units, slots),
            f"layer{layer}_query_bias": (slots,),
            f"layer{layer}_value_weight": (units, heads * config.width),
            f"layer{layer}_read_weight": (heads * (config.width + 1), units),
            f"layer{layer}_up_weight": (units, 2 * units),
            f"layer{layer}_up_bias": (2 * units,),
            f"layer{layer}_down_weight": (2 * units, units),
        }
    return shapes


def initial_weights(config: LinearTransformerConfig, *, inputs: int, rng: np.random.Generator) -> Arrays:
    """Draw weights, normal with deviation ``1 / sqrt(rows)``, those of slots larger; biases are 0."""
    weights: Arrays = {}
    for name, shape in _shapes(config, inputs).items():
        scale = SHARPNESS if name.endswith(("key_weight", "query_weight")) else 1.0
        drawn = rng.standard_normal(shape) * scale / np.sqrt(shape[0])
        weights[name] = np.zeros(shape) if name.endswith("bias") else drawn
    return weights


def check_weights(weights: Arrays, config: LinearTransformerConfig, inputs: int) -> None:
    """Check that these are the weights of a transformer of this size.

    Raises:
        BadInput: an array is missing, or has another shape, or something else than finite numbers in it.
    """
    check_arrays(weights, _shapes(config, inputs), where="agent linear-transformer")


def normalized(features: Floats) -> Floats:
    """Divide features ``[N, F]`` by the root of their mean square (Zhang and Sennrich 2019, arXiv:1910.07467)."""
    scaled: Floats = features / np.sqrt(np.mean(np.square(features), axis=-1, keepdims=True) + EPSILON)
    return scaled


def _of_layer(weights: Arrays, layer: int) -> Arrays:
    """Return the weights of one layer, under their names within it."""
    prefix = f"layer{layer}_"
    return {name.removeprefix(prefix): values for name, values in weights.items() if name.startswith(prefix)}


class LinearTransformer:
    """A transformer whose attention is linear, and so a memory (Katharopoulos et al. 2020, arXiv:2006.16236).

    For inputs ``x_t`` and each layer, with all heads alike and ``‖·‖`` for ``normalized``::

        u_0 = W_x [x_t, x_{t-1}] + b
        k = softmax(W_k ‖u‖ + b_k)     q = softmax(W_q ‖u‖ + b_q)     v = W_v ‖u‖
        S_t = S_{t-1} + k ⊗ v          n_t = n_{t-1} + k
        u ← u + W_r [q S_t / (1 + q n_t), ln(1 + q n_t)]
        u ← u + W_d tanh(W_u ‖u‖ + b_u)

    Keys are shares of slots, as the addresses of a memory network are, so that a slot holds the sum of what was put
    there and its ``n`` how often: what is read is a posterior mean with the prior that nothing is worth 0, and the
    logarithm says how sure it is. The last input beside this one lets a layer store what followed on what (as Fu et al.
    2023, arXiv:2212.14052, shift theirs). Softmax for keys, counts as features and the prior are this project's.
    """

    def __init__(self, config: LinearTransformerConfig, weights: Arrays) -> None:
        """Take the weights of ``initial_weights``."""
        self._config, self._weights = config, weights
        self._layers = [_of_layer(weights, layer) for layer in range(config.layers)]
        self.features = config.units
        self._inputs = len(weights["input_weight"]) // 2

    def initial_state(self, count: int) -> Arrays:
        """Return what ``count`` trials begin with: the last ``input``, ``sums`` and ``counts`` of slots, all zeros."""
        config = self._config
        slots = (count, config.layers, config.heads, config.slots)
        return {
            "input": np.zeros((count, self._inputs)),
            "sums": np.zeros((*slots, config.width)),
            "counts": np.zeros(slots),
        }

    def step(self, x: Floats, state: Arrays) -> tuple[Floats, Arrays]:
        """Take one step with inputs ``[N, D]``, and return the features ``[N, units]`` and the next state."""
        weights, sums, counts = self._weights, state["sums"].copy(), state["counts"].copy()
        features = np.concatenate([x, state["input"]], axis=1) @ weights["input_weight"] + weights["input_bias"]
        for layer, layer_weights in enumerate(self._layers):
            features = features + self._recalled(normalized(features), layer_weights, sums[:, layer], counts[:, layer])
            inner = np.tanh(normalized(features) @ layer_weights["up_weight"] + layer_weights["up_bias"])
            features = features + inner @ layer_weights["down_weight"]
        return normalized(features), {"input": np.array(x, dtype=np.float64), "sums": sums, "counts": counts}

    def _recalled(self, u: Floats, layer_weights: Arrays, sums: Floats, counts: Floats) -> Floats:
        """Write to the slots of one layer, in place, and return what is read from them ``[N, units]``."""
        shape = (len(u), self._config.heads, self._config.slots)
        key = softmax((u @ layer_weights["key_weight"] + layer_weights["key_bias"]).reshape(shape), axis=2)
        query = softmax((u @ layer_weights["query_weight"] + layer_weights["query_bias"]).reshape(shape), axis=2)
        value = (u @ layer_weights["value_weight"]).reshape(len(u), self._config.heads, self._config.width)
        sums += key[..., None] * value[..., None, :]
        counts += key
        known = np.sum(query * counts, axis=2)
        read = (query[..., None, :] @ sums)[..., 0, :] / (1.0 + known[..., None])
        recalled: Floats = (
            np.concatenate([read.reshape(len(u), -1), np.log1p(known)], axis=1) @ layer_weights["read_weight"]
        )
        return recalled
