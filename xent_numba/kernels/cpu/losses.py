r"""What one sample costs: the sigmoid, the losses and their gradients.

With the margin :math:`m = ys` for labels -1/+1, which is :math:`(2y - 1)s` for labels 0/1,

.. math::
    g(s) &= 1 / (1 + e^{-s}) \\
    L(m) &= \log(1 + e^{-m}) \\
    dL/ds &= -y \, g(-m)

Errors, in ULP of the result, are at most 1 for g and L and 1.5 for dL/ds, and the same for a
score in any lane of any SIMD width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xent_numba.kernels.cpu.bits import by_precision, exact, fma
from xent_numba.kernels.cpu.coefficients import LOG1P_FLOAT32, LOG1P_FLOAT64
from xent_numba.kernels.cpu.exp import exp_sum
from xent_numba.kernels.cpu.lanes import select
from xent_numba.kernels.cpu.log import log1p_parts, minus_log
from xent_numba.kernels.cpu.summation import two_sum


class LossConstants(NamedTuple):
    """Constants in one precision; literals would turn float32 arithmetic into float64.

    Attributes
    ----------
    zero, half, one : float
        0, 1/2 and 1.
    large : float
        exp(-large) is less than half an ulp of large.
    log1p_tail : tuple of float
        A of log(1 + t) = q + q^3 A(q^2) for 0 <= t <= 1.
    """

    zero: Any
    half: Any
    one: Any
    large: Any
    log1p_tail: Any


_constants = by_precision(
    LossConstants(
        zero=np.float32(0.0),
        half=np.float32(0.5),
        one=np.float32(1.0),
        large=np.float32(64.0),
        log1p_tail=tuple(np.float32(c) for c in LOG1P_FLOAT32),
    ),
    LossConstants(zero=0.0, half=0.5, one=1.0, large=64.0, log1p_tail=LOG1P_FLOAT64),
)


@exact
def sigmoid_from_exp(mirrored: bool, e: float, low: float) -> float:
    """Return h = g(-|s|) = e/(1 + e) from e + low = exp(-|s|), or 1 - h = g(|s|).

    The residual e - h (1 + e) is (e - h) - h e, where the difference is exact (Sterbenz) as h
    lies between e/2 and e; low enters by dh/de = 1/(1 + e)^2, and 1/(1 + e) is 1 - h. That is at
    least 1/2, with an ulp at least twice that of h: it takes over at most half of the error.
    """
    k = _constants(e)
    h = e / (k.one + e)
    rest = k.one - h
    h = fma(fma(low, rest, fma(-h, e, e - h)), rest, h)
    return select(mirrored, k.one - h, h)


@exact
def mirror(margin: float) -> tuple[float, float]:
    """Return (linear, x) with L(m) = linear + log(1 + e^x): max(-m, 0) and -|m|."""
    k = _constants(margin)
    return select(margin < k.zero, -margin, k.zero), -abs(margin)


@exact
def _sum_with_log1p(linear: float, e: float, low: float) -> tuple[float, float, float, float]:
    """Return (total, lost, rest, reciprocal): the sum is total + (lost + rest reciprocal)."""
    k = _constants(e)
    half_e = k.half * e
    reciprocal = k.one / (k.one + half_e)
    q, rest = log1p_parts(e, low, half_e, reciprocal, k.log1p_tail)
    total, lost = two_sum(linear, q)
    return total, lost, rest, reciprocal


@exact
def add_log1p(linear: float, e: float, low: float) -> float:
    """Return linear + log(1 + e + low) for linear = max(-m, 0) and e + low = e^-|m|.

    The leading term of the logarithm is added without error (Knuth's TwoSum, as neither term
    need be the larger), so that the result is rounded once.  From 64 on the logarithm is less
    than half an ulp of the sum, which is linear itself, even infinite, where TwoSum gives NaN.
    """
    total, lost, rest, reciprocal = _sum_with_log1p(linear, e, low)
    k = _constants(e)
    # A choice of linear itself would be a masked store where that was loaded from; see `replaced`.
    return total + select(linear > k.large, k.zero, fma(rest, reciprocal, lost))


@exact
def add_log1p_to_sum(linear: float, linear_low: float, e: float, low: float) -> float:
    """Return linear + linear_low + log(1 + e + low) of float64; see `add_log1p`."""
    total, lost, rest, reciprocal = _sum_with_log1p(linear, e, low)
    lost += linear_low
    return select(linear == np.inf, linear, total + fma(rest, reciprocal, lost))


@exact
def slope_from_exp(linear: float, e: float, low: float) -> float:
    """g(-m) = -dL/dm from `mirror` and e + low = e^x."""
    k = _constants(e)
    return sigmoid_from_exp(linear != k.zero, e, low)


@exact
def sigmoid(s: float) -> float:
    """g(s)."""
    e, low = exp_sum(-abs(s))
    return sigmoid_from_exp(s >= _constants(s).zero, e, low)


@exact
def logistic_loss(margin: float) -> float:
    """L(m) = log(1 + e^-m)."""
    linear, x = mirror(margin)
    e, low = exp_sum(x)
    return add_log1p(linear, e, low)


@exact
def hard_cross_entropy(p: float, positive: bool) -> float:
    """-log p or -log(1 - p), where 1 - p is rounded and its error, exact by Fast2Sum, kept."""
    k = _constants(p)
    other = k.one - p
    error = (k.one - other) - p
    return minus_log(select(positive, p, other), select(positive, k.zero, error))
