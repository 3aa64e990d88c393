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
from xent_numba.kernels.cpu.log import log1p_parts, minus_log


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
    return k.one - h if mirrored else h


@exact
def mirror(margin: float) -> tuple[float, float]:
    """Return (linear, x) with L(m) = linear + log(1 + e^x): max(-m, 0) and -|m|."""
    k = _constants(margin)
    return (-margin if margin < k.zero else k.zero), -abs(margin)


@exact
def add_log1p(linear: float, e: float, low: float) -> float:
    """Return linear + log(1 + e + low) for linear >= 0 and e + low = e^x, x <= 0.

    The leading term of the logarithm is added without error (Knuth's TwoSum, as neither term
    need be the larger), so that the result is rounded once.  From 64 on the logarithm is less
    than half an ulp of the sum, which is linear itself, even infinite, where TwoSum gives NaN.
    """
    k = _constants(e)
    half_e = k.half * e
    reciprocal = k.one / (k.one + half_e)
    q, rest = log1p_parts(e, low, half_e, reciprocal, k.log1p_tail)
    total = linear + q
    added = total - linear
    lost = (linear - (total - added)) + (q - added)
    return linear if linear > k.large else total + fma(rest, reciprocal, lost)


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
def quiet_sigmoid(s: float) -> float:
    """g(s), without the floating-point exception of comparing a NaN, of which NumPy would warn."""
    is_nan = s != s
    g = sigmoid(_constants(s).zero if is_nan else s)
    return s if is_nan else g


@exact
def logistic_loss(margin: float) -> float:
    """L(m) = log(1 + e^-m)."""
    linear, x = mirror(margin)
    e, low = exp_sum(x)
    return add_log1p(linear, e, low)


@exact
def soft_logistic_loss(s: float, y: float) -> float:
    """L = log(1 + e^s) - y s for a label y in [0, 1]; `logistic_loss` where y is 0 or 1.

    With m the margin towards the nearer hard label and w <= 1/2 that label's distance from y,
    L = log(1 + e^-m) + w m = log(1 + e^m) - (1 - w) m. 1 - y is exact for y >= 1/2 (Sterbenz).
    A weight of 0 must add nothing even to an infinite margin. The error is within 1.5 ULP.
    """
    k = _constants(s)
    upper = y >= k.half
    margin = s if upper else -s
    distance = k.one - y if upper else y
    weight = distance - k.one if margin < k.zero else distance
    linear = k.zero if weight == k.zero else weight * margin
    e, low = exp_sum(-abs(margin))
    return add_log1p(linear, e, low)


@exact
def soft_logistic_gradient(s: float, y: float) -> float:
    """g(s) - y, as g(-m) - w away from the nearer label: without cancellation for y of 0 or 1."""
    k = _constants(s)
    upper = y >= k.half
    towards = sigmoid(-s if upper else s)
    return (k.one - y) - towards if upper else towards - y


@exact
def cross_entropy(p: float, y: float) -> float:
    """-[y log p + (1 - y) log(1 - p)], where a term of weight 0 is 0."""
    k = _constants(p)
    positive = y * hard_cross_entropy(p, True) if y > k.zero else k.zero
    negative = (k.one - y) * hard_cross_entropy(p, False) if y < k.one else k.zero
    return positive + negative


@exact
def hard_cross_entropy(p: float, positive: bool) -> float:
    """-log p or -log(1 - p), where 1 - p is rounded and its error, exact by Fast2Sum, kept."""
    k = _constants(p)
    other = k.one - p
    error = (k.one - other) - p
    return minus_log(p if positive else other, k.zero if positive else error)
