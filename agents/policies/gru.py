"""The gated recurrent unit in NumPy, as rollouts run it."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.weights import check_arrays

__all__ = ["GRU", "check_weights", "gated_step", "initial_weights"]


def initial_weights(units: int, *, inputs: int, rng: np.random.Generator) -> Arrays:
    """Draw ``input_weight [D, 3H]``, ``hidden_weight [H, 3H]``, ``input_bias`` and ``hidden_bias [3H]``.

    Of the 3H columns, H each are of the reset gate, the update gate and the candidate. Weights of inputs are normal
    with deviation ``1 / sqrt(D)``; each part of those of the hidden state is orthogonal (Saxe et al. 2014); biases are
    0.
    """
    orthogonal = [np.linalg.qr(rng.standard_normal((units, units)))[0] for _ in range(3)]
    return {
        "input_weight": rng.standard_normal((inputs, 3 * units)) / np.sqrt(inputs),
        "hidden_weight": np.concatenate(orthogonal, axis=1),
        "input_bias": np.zeros(3 * units),
        "hidden_bias": np.zeros(3 * units),
    }


def check_weights(weights: Arrays, *, units: int, inputs: int) -> None:
    """Check that these are the weights of a unit of this size.

    Raises:
        BadInput: an array is missing, or has another shape, or something else than finite numbers in it.
    """
    shapes = {
        "input_weight": (inputs, 3 * units),
        "hidden_weight": (units, 3 * units),
        "input_bias": (3 * units,),
        "hidden_bias": (3 * units,),
    }
    check_arrays(weights, shapes, where="agent gru")


def gated_step(from_input: Floats, from_hidden: Floats, hidden: Floats) -> Floats:
    """Return ``h' = (1 - z) n + z h`` with ``r, z = σ(i + j)`` and ``n = tanh(i + r j)``.

    Cho et al. 2014, in the form that torch computes: the reset gate acts behind the product with ``U``.

    Args:
        from_input: ``i = W x + b [N, 3H]``; of the 3H columns, H each are of r, z and n.
        from_hidden: ``j = U h + c [N, 3H]``.
        hidden: ``h [N, H]``.
    """
    size = hidden.shape[1]
    gates = expit(from_input[:, : 2 * size] + from_hidden[:, : 2 * size])
    reset, update = gates[:, :size], gates[:, size:]
    candidate = np.tanh(from_input[:, 2 * size :] + reset * from_hidden[:, 2 * size :])
    following: Floats = candidate + update * (hidden - candidate)
    return following


class GRU:
    """A layer of gated recurrent units; see ``gated_step``."""

    def __init__(self, weights: Arrays) -> None:
        """Take the weights of ``initial_weights``."""
        self._weights = weights
        self.features = len(weights["hidden_weight"])

    def initial_state(self, count: int) -> Arrays:
        """Return what ``count`` trials begin with: ``hidden [N, H]``, zeros."""
        return {"hidden": np.zeros((count, self.features))}

    def step(self, x: Floats, state: Arrays) -> tuple[Floats, Arrays]:
        """Take one step with inputs ``[N, D]``, and return the features ``[N, H]`` and the next state."""
        weights, hidden = self._weights, state["hidden"]
        from_input = x @ weights["input_weight"] + weights["input_bias"]
        from_hidden = hidden @ weights["hidden_weight"] + weights["hidden_bias"]
        hidden = gated_step(from_input, from_hidden, hidden)
        return hidden, {"hidden": hidden}
