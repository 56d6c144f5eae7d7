"""Activations of whole layers in float32, written so that the compiler computes many numbers at once.

``math.tanh`` and ``math.exp`` are calls that stop it from doing so, and may round differently on another machine.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wormwood.compilation import inlined, kernel

__all__ = ["ACTIVATIONS", "activate"]

ACTIVATIONS = ("tanh", "relu", "elu", "gelu")
"""By their number in kernels. All are torch's with its defaults."""
TANH, RELU, ELU, GELU = range(4)

_ONE, _HALF = np.float32(1.0), np.float32(0.5)
_ROOT_HALF = np.float32(math.sqrt(0.5))
_DENSITY = np.float32(1.0 / math.sqrt(2.0 * math.pi))
_DENSITY_END = np.float32(12.0)

# f(x) = x P(x²) / Q(x²), by least squares of the relative error with weights that make it even; beyond the end, f is
# the same float32 as at it. With exact arithmetic they are off by 2.1e-8 and 2.5e-8, in float32 by 4 units in the last
# place.
_TANH_END, _ERF_END = np.float32(9.0), np.float32(4.0)
_P = tuple(map(np.float32, (1.0, 0.1338102966547, 0.0034955928567797, 2.06091390282e-05, 1.3354702233e-08)))
_Q = tuple(map(np.float32, (1.0, 0.4671434462070, 0.0258770026266575, 3.2856417237782e-04, 7.77658272e-07)))
_R = tuple(
    map(
        np.float32,
        (
            1.1283791065216,
            0.1935466974973679,
            0.0531018041074276,
            3.883358556777e-03,
            2.845572889782e-04,
            1.986662937e-06,
        ),
    )
)
_S = tuple(
    map(
        np.float32,
        (1.0, 0.5048588514328003, 0.1153505295515060, 1.520730368793e-02, 1.185556873679e-03, 3.7418463762e-05),
    )
)
_P0, _P1, _P2, _P3, _P4 = _P
_Q0, _Q1, _Q2, _Q3, _Q4 = _Q
_R0, _R1, _R2, _R3, _R4, _R5 = _R
_S0, _S1, _S2, _S3, _S4, _S5 = _S


@inlined
def _tanh(x: Any) -> Any:
    x = min(max(x, -_TANH_END), _TANH_END)
    t = x * x
    value = (
        x * ((((_P4 * t + _P3) * t + _P2) * t + _P1) * t + _P0) / ((((_Q4 * t + _Q3) * t + _Q2) * t + _Q1) * t + _Q0)
    )
    return min(max(value, -_ONE), _ONE)


@inlined
def _erf(x: Any) -> Any:
    x = min(max(x, -_ERF_END), _ERF_END)
    t = x * x
    top = ((((_R5 * t + _R4) * t + _R3) * t + _R2) * t + _R1) * t + _R0
    value = x * top / (((((_S5 * t + _S4) * t + _S3) * t + _S2) * t + _S1) * t + _S0)
    return min(max(value, -_ONE), _ONE)


@inlined
def _exp_minus_one(x: Any) -> Any:
    """Return ``exp(x) - 1`` of x <= 0."""
    half = _tanh(_HALF * x)
    return (half + half) / (_ONE - half)


@kernel
def activate(kind: int, values: Any, slopes: Any) -> None:
    """Replace sums by their activations, and fill ``slopes`` with the derivatives there; both are flat."""
    if kind == TANH:
        for i in range(len(values)):
            y = _tanh(values[i])
            values[i], slopes[i] = y, _ONE - y * y
    elif kind == RELU:
        for i in range(len(values)):
            x = values[i]
            values[i], slopes[i] = max(x, np.float32(0.0)), _ONE if x > 0 else np.float32(0.0)
    elif kind == ELU:
        for i in range(len(values)):
            x = values[i]
            below = _exp_minus_one(min(x, np.float32(0.0)))
            values[i], slopes[i] = x if x > 0 else below, _ONE if x > 0 else below + _ONE
    else:
        for i in range(len(values)):
            x = values[i]
            share = _HALF * (_ONE + _erf(x * _ROOT_HALF))
            near = min(max(x, -_DENSITY_END), _DENSITY_END)
            density = _DENSITY * (_exp_minus_one(-_HALF * near * near) + _ONE)
            values[i], slopes[i] = x * share, share + near * density
