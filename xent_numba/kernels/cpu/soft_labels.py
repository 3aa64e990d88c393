r"""What one sample costs whose label is a share: 0 < y < 1.

With w the share of the label on the other side of the score, 1 - y for s > 0 and y otherwise,

.. math::
    L &= \log(1 + e^{-|s|}) + w |s| \\
    L &= y (-\log p) + (1 - y) (-\log(1 - p)) \\
    dL/ds &= g(s) - y

The terms of a loss have one sign, so nothing cancels: it is as accurate, relative to itself, as
they are. A label is read in its own precision.

* float32 is computed in float64, by the polynomials of the float32 kernels, and rounded once. Their
  relative errors, 2^-26.6 for log(1 + e) and 2^-27.2 for log p, are 0.16 and 0.11 ULP where a ULP
  is largest in proportion, with that of the exponential 0.03: a loss is within 0.70 ULP.
* float64: everything that is added or multiplied is an unevaluated sum of two float64. 1 - y is
  exact with its low part (Fast2Sum), a product with that of fma, and the logarithms have theirs.
  What is left out are products of low parts and the roundings of the low part of the sum, below
  2^-105; so the error is that of the logarithms before they are rounded, and the last rounding.

g(s) - y is a difference of what may be nearly equal. Its error is one rounding, and besides that
an absolute one of g alone, of 2^-52 for float32 and 2^-58 for float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from xent_numba.kernels.cpu.bits import EXACT, fma, inlined, polynomial, split_octave
from xent_numba.kernels.cpu.coefficients import (
    LOG1P_DIRECT_FLOAT32,
    LOG_DIRECT_FLOAT32,
)
from xent_numba.kernels.cpu.exp import (
    FLOAT64,
    exp_for_difference,
    exp_for_float32,
    exp_sum_by_table,
)
from xent_numba.kernels.cpu.lanes import real_of, select, to_float32, to_float64
from xent_numba.kernels.cpu.log import log_sum
from xent_numba.kernels.cpu.losses import add_log1p_to_sum
from xent_numba.kernels.cpu.summation import two_sum

_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
_LIFT, _UNLIFT = float.fromhex("0x1p512"), float.fromhex("0x1p-512")
"""They take every product of a label and a logarithm to where it has a low part, and back."""


@inlined
def log1p_for_float32(t: float) -> float:
    """log(1 + t) in float64 for 0 <= t <= 1, to 2^-26.6: t - t^2/2 + t^3 T(t)."""
    return fma(t * t, fma(t, polynomial(t, LOG1P_DIRECT_FLOAT32), -0.5), t)


@inlined
def log_for_float32(u: float, low: float) -> float:
    """log(u + low) in float64 for 0 < u <= 1, to 2^-27.2; u is normal.

    u + low = 2^n (1 + t) with 1 + t from sqrt(1/2) to sqrt(2).
    """
    n, significand, scale = split_octave(u, _SQRT_HALF)
    t = fma(low, scale, significand - 1.0)
    log = fma(t * t, fma(t, polynomial(t, LOG_DIRECT_FLOAT32), -0.5), t)
    return fma(n, FLOAT64.ln2_high, log)


@inlined
def minus_log_for_float32(u: float, low: float) -> float:
    """-log(u + low), as `log_for_float32` has it; infinite for u = 0."""
    return select(u == 0.0, np.inf, 0.0 - log_for_float32(u, low))


@inlined
def other_share(y: float) -> tuple[float, float]:
    """Return 1 - y for a label in [0, 1], and what rounding took from it."""
    other = 1.0 - y
    return other, (1.0 - other) - y


@inlined
def penalty(s: float, y: float) -> tuple[float, float]:
    """Return w |s| as an unevaluated sum; 0 for w = 0, even of an infinite score."""
    other, other_low = other_share(y)
    w, low = select(s > 0.0, other, y), select(s > 0.0, other_low, 0.0)
    size = abs(s)
    product = w * size
    rest = fma(low, size, fma(w, size, -product))
    return select(w == 0.0, 0.0, product), select(w == 0.0, 0.0, rest)


def _loss_float32(first: Any, label: Any) -> Any:
    s, y = to_float64(first), to_float64(label)
    product, _ = penalty(s, y)
    return to_float32(product + log1p_for_float32(exp_for_float32(-abs(s))))


def _loss_float64(first: Any, label: Any) -> Any:
    s = first
    product, low = penalty(s, to_float64(label))
    e, e_low = exp_sum_by_table(-abs(s))
    return add_log1p_to_sum(product, low, e, e_low)


def _gradient_float32(first: Any, label: Any) -> Any:
    """(1 - y) - h or h - y, where h = g(-|s|); 1 - y is exact, or large."""
    s, y = to_float64(first), to_float64(label)
    e = exp_for_difference(-abs(s))
    h = e / (1.0 + e)
    return to_float32(select(s > 0.0, (1.0 - y) - h, h - y))


def _gradient_float64(first: Any, label: Any) -> Any:
    """As for float32, with h and 1 - y as unevaluated sums; see `sigmoid_from_exp`."""
    s, y = first, to_float64(label)
    e, e_low = exp_sum_by_table(-abs(s))
    h = e / (1.0 + e)
    rest = 1.0 - h
    h_low = fma(e_low, rest, fma(-h, e, e - h)) * rest
    other, other_low = other_share(y)
    positive = s > 0.0
    difference, lost = two_sum(select(positive, other, h), -select(positive, h, y))
    low = select(positive, other_low - h_low, h_low)
    return difference + (lost + low)


def _cross_entropy_float32(first: Any, label: Any) -> Any:
    p, y = to_float64(first), to_float64(label)
    q, q_low = other_share(p)
    positive, negative = y * minus_log_for_float32(p, 0.0), minus_log_for_float32(q, q_low)
    return to_float32(fma(1.0 - y, negative, positive))


@inlined
def _renormalised(high: float, low: float) -> tuple[float, float]:
    """The same sum with high the nearest: of a tiny p, log(1 - p) is all in the low part."""
    total = high + low
    return total, (high - total) + low


def _cross_entropy_float64(first: Any, label: Any) -> Any:
    """Both products, lifted to where their low parts are no subnormal numbers, and their sum."""
    p, y = first, to_float64(label)
    q, q_low = other_share(p)
    log_p, log_p_low = log_sum(p, 0.0)
    log_q, log_q_low = _renormalised(*log_sum(q, q_low))
    z, z_low = other_share(y)
    z, z_low, y = z * _LIFT, z_low * _LIFT, y * _LIFT
    positive, negative = y * log_p, z * log_q
    low = fma(y, log_p, -positive) + y * log_p_low
    low += fma(z, log_q, -negative) + fma(z, log_q_low, z_low * log_q)
    total, lost = two_sum(positive, negative)
    loss = 0.0 - (total + (lost + low)) * _UNLIFT
    return select((p == 0.0) | (q == 0.0), np.inf, loss)


def soft_loss(first: Any, label: Any) -> Any:
    """log(1 + e^s) - ys."""
    raise NotImplementedError


def soft_gradient(first: Any, label: Any) -> Any:
    """g(s) - y."""
    raise NotImplementedError


def soft_cross_entropy(first: Any, label: Any) -> Any:
    """-[y log p + (1 - y) log(1 - p)] for 0 < y < 1."""
    raise NotImplementedError


def _by_precision(function: Any, float32: Any, float64: Any) -> None:
    @overload(function, jit_options=EXACT | {"forceinline": True})
    def choose(first: Any, label: Any) -> Any:
        return float32 if real_of(first) == types.float32 else float64


_by_precision(soft_loss, _loss_float32, _loss_float64)
_by_precision(soft_gradient, _gradient_float32, _gradient_float64)
_by_precision(soft_cross_entropy, _cross_entropy_float32, _cross_entropy_float64)
