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
from numba import njit

from xent_numba.kernels.bits import by_precision, fma
from xent_numba.kernels.coefficients import LOG1P_FLOAT32, LOG1P_FLOAT64
from xent_numba.kernels.exp import exp_sum
from xent_numba.kernels.log import log1p_parts, minus_log


class LossConstants(NamedTuple):
    """Constants in one precision; literals would turn float32 arithmetic into float64.

    Attributes
    ----------
    zero, half, one : float
        0, 1/2 and 1.
    switch : float
        The margin, -7/16, below which the loss is computed from the mirrored margin.
    log1p_tail : tuple of float
        A of log(1 + t) = q + q^3 A(q^2) for 0 <= t <= exp(7/16).
    """

    zero: Any
    half: Any
    one: Any
    switch: Any
    log1p_tail: Any


_constants = by_precision(
    LossConstants(
        zero=np.float32(0.0),
        half=np.float32(0.5),
        one=np.float32(1.0),
        switch=np.float32(-0.4375),
        log1p_tail=tuple(np.float32(c) for c in LOG1P_FLOAT32),
    ),
    LossConstants(zero=0.0, half=0.5, one=1.0, switch=-0.4375, log1p_tail=LOG1P_FLOAT64),
)


@njit
def quotient(numerator: float, e: float, signed_low: float, reciprocal: float) -> float:
    """Return numerator / (1 + e), e >= 0, given 1/(1 + e) within an ulp or two.

    The numerator is 1 or e. The residual numerator - q (1 + e) is (numerator - q) - q e, where
    the difference is exact (Sterbenz) as q lies between half the numerator and all of it.
    e is known to be e + low; d/de of 1/(1 + e) and of e/(1 + e) are -1/(1 + e)^2 and
    +1/(1 + e)^2, so that low enters with the sign of the derivative.
    """
    q = numerator * reciprocal
    residual = fma(-q, e, numerator - q)
    return fma(fma(signed_low, reciprocal, residual), reciprocal, q)


@njit
def sigmoid(s: float) -> float:
    """g(s), from e = exp(-|s|): 1/(1 + e) for s >= 0 and e/(1 + e) for s < 0."""
    k = _constants(s)
    negative = s < k.zero
    e, low = exp_sum(s if negative else -s)
    numerator = e if negative else k.one
    signed_low = low if negative else -low
    return quotient(numerator, e, signed_low, k.one / (k.one + e))


@njit
def logistic_loss(margin: float) -> float:
    """L(m) = log(1 + e^-m), or -m + log(1 + e^m) for m <= -7/16.

    The second form keeps e^-m from overflowing.  It adds two rounded terms; where it begins,
    the sum is just below 1 and log(1 + e^m) just below 1/2, hence rounded to a quarter of the
    sum's ulp, which keeps the whole within 1 ULP.  A switch at 0 would not.
    """
    k = _constants(margin)
    direct = margin > k.switch
    e, low = exp_sum(-margin if direct else margin)
    q, rest = log1p_parts(e, low, k.one / fma(k.half, e, k.one), k.log1p_tail)
    return (k.zero if direct else -margin) + (q + rest)


@njit
def logistic_loss_and_slope(margin: float) -> tuple[float, float]:
    """L(m), and g(-m) = -dL/dm, from one exponential and one division.

    1/(1 + e/2) and 1/(1 + e) come from the reciprocal of their product. They are off by an ulp
    or two more than quotients would be, which the residuals of both uses repair.
    """
    k = _constants(margin)
    direct = margin > k.switch
    e, low = exp_sum(-margin if direct else margin)
    half_way = fma(k.half, e, k.one)
    all_way = k.one + e
    both = k.one / (half_way * all_way)
    q, rest = log1p_parts(e, low, both * all_way, k.log1p_tail)
    loss = (k.zero if direct else -margin) + (q + rest)
    slope = quotient(e if direct else k.one, e, low if direct else -low, both * half_way)
    return loss, slope


@njit
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
    direct = margin > k.switch
    e, low = exp_sum(-margin if direct else margin)
    q, rest = log1p_parts(e, low, k.one / fma(k.half, e, k.one), k.log1p_tail)
    weight = distance if direct else distance - k.one
    return fma(weight, k.zero if weight == k.zero else margin, q + rest)


@njit
def soft_logistic_gradient(s: float, y: float) -> float:
    """g(s) - y, as g(-m) - w away from the nearer label: without cancellation for y of 0 or 1."""
    k = _constants(s)
    upper = y >= k.half
    towards = sigmoid(-s if upper else s)
    return (k.one - y) - towards if upper else towards - y


@njit
def cross_entropy(p: float, y: float) -> float:
    """-[y log p + (1 - y) log(1 - p)], where a term of weight 0 is 0."""
    k = _constants(p)
    positive = y * hard_cross_entropy(p, True) if y > k.zero else k.zero
    negative = (k.one - y) * hard_cross_entropy(p, False) if y < k.one else k.zero
    return positive + negative


@njit
def hard_cross_entropy(p: float, positive: bool) -> float:
    """-log p or -log(1 - p); 1 - p is rounded and its error, exact by Fast2Sum, kept."""
    k = _constants(p)
    other = k.one - p
    low = k.zero if positive else (k.one - other) - p
    return minus_log(p if positive else other, low)
