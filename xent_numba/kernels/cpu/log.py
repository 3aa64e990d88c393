r"""Logarithms by one division.

.. math:: \log(1 + t) = 2 \operatorname{artanh}(q/2) = q + q^3 A(q^2), \quad q = t / (1 + t/2)

The leading term q needs no polynomial, and its rounding error can be had exactly; what is left,
q^3 A, is at most 0.06 and its rounding does not matter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xent_numba.kernels.cpu.bits import by_precision, exact, fma, polynomial, product, split_octave
from xent_numba.kernels.cpu.coefficients import (
    LOG1P_FLOAT32,
    LOG1P_FLOAT64,
    LOG_FLOAT32,
    LOG_FLOAT64,
)
from xent_numba.kernels.cpu.lanes import select


class LogConstants(NamedTuple):
    """The constants of the logarithms in one precision.

    Attributes
    ----------
    zero, half, one, infinity : float
        0, 1/2, 1 and infinity in this precision; literals would turn float32 into float64.
    log1p_tail, log_tail : tuple of float
        A for 0 <= t <= 1, and on the range of `minus_log`.
    smallest_normal : float
        Below it a number has no exponent of its own.
    lift : float
        2^p takes a subnormal number to a normal one.
    lift_exponent : float
        p.
    sqrt_half : float
        sqrt(1/2).
    ln2_high, ln2_low : float
        ln 2 as an unevaluated sum; ln2_high has zeros enough at its end for n ln2_high to be exact.
    """

    zero: Any
    half: Any
    one: Any
    infinity: Any
    log1p_tail: Any
    log_tail: Any
    smallest_normal: Any
    lift: Any
    lift_exponent: Any
    sqrt_half: Any
    ln2_high: Any
    ln2_low: Any


# Literals: what is computed at an import is rounded as the caller has it, powers of two too.
_hex = float.fromhex

FLOAT32 = LogConstants(
    zero=np.float32(0.0),
    half=np.float32(0.5),
    one=np.float32(1.0),
    infinity=np.float32(np.inf),
    log1p_tail=tuple(np.float32(c) for c in LOG1P_FLOAT32),
    log_tail=tuple(np.float32(c) for c in LOG_FLOAT32),
    smallest_normal=np.float32(_hex("0x1p-126")),
    lift=np.float32(_hex("0x1p24")),
    lift_exponent=np.float32(24.0),
    sqrt_half=np.float32(_hex("0x1.6a09e6p-1")),
    ln2_high=np.float32(_hex("0x1.62e4p-1")),
    ln2_low=np.float32(_hex("0x1.7f7d1cp-20")),
)
FLOAT64 = LogConstants(
    zero=0.0,
    half=0.5,
    one=1.0,
    infinity=float(np.inf),
    log1p_tail=LOG1P_FLOAT64,
    log_tail=LOG_FLOAT64,
    smallest_normal=_hex("0x1p-1022"),
    lift=_hex("0x1p53"),
    lift_exponent=53.0,
    sqrt_half=_hex("0x1.6a09e667f3bcdp-1"),
    ln2_high=_hex("0x1.62e42fefa38p-1"),
    ln2_low=_hex("0x1.ef35793c7673p-45"),
)


_constants = by_precision(FLOAT32, FLOAT64)


@exact
def log1p_parts(
    t: float, low: float, half_t: float, reciprocal: float, tail: tuple[float, ...]
) -> tuple[float, float]:
    """Return (q, rest) with log(1 + t + low) = q + rest reciprocal.

    ``reciprocal`` is 1/(1 + t/2), within an ulp or two; its error is repaired with the rest.
    The residual t - q (1 + t/2) is (t - q) - q t/2, where t - q is exact because q lies between
    t/2 and 2t (Sterbenz).  ``low`` enters by dq/dt = 1/(1 + t/2)^2; what it adds to q^3 A is
    less than a thirtieth of an ulp.  q^3 A = t q^2 A reciprocal.
    """
    q = product(t, reciprocal)
    square = q * q
    residual = fma(low, reciprocal, fma(-q, half_t, t - q))
    return q, fma(t * square, polynomial(square, tail), residual)


@exact
def log_reduced(u: float) -> tuple[float, float, float]:
    """Return (n, t, 2^-n) with u = 2^n (1 + t), 1 + t from sqrt(1/2) to sqrt(2), for u > 0."""
    k = _constants(u)
    tiny = u < k.smallest_normal
    lifted = select(tiny, u * k.lift, u)
    n, significand, scale = split_octave(lifted, k.sqrt_half)
    n -= select(tiny, k.lift_exponent, k.zero)
    return n, significand - k.one, scale


@exact
def log_of_reduced(n: float, t: float, low: float) -> tuple[float, float]:
    """Return (log, rest) with log(2^n (1 + t + low)) = log + rest.

    n ln 2 and log(1 + t) have opposite signs at worst for n = -1 or 1, where they cancel one bit;
    n ln2_high is exact and is added to q without error (Fast2Sum; for n = 0 it is trivial,
    otherwise |n ln2_high| > |q|).
    """
    k = _constants(t)
    half_t = k.half * t
    reciprocal = k.one / (k.one + half_t)
    q, rest = log1p_parts(t, low, half_t, reciprocal, k.log_tail)
    head = n * k.ln2_high
    total = head + q
    return total, fma(rest, reciprocal, fma(n, k.ln2_low, q - (total - head)))


@exact
def log_sum(u: float, low: float) -> tuple[float, float]:
    """Return (log, rest) with log(u + low) = log + rest, for u >= 0 and |low| <= ulp(u)."""
    k = _constants(u)
    n, t, scale = log_reduced(u)
    total, rest = log_of_reduced(n, t, low * scale)
    return select(u == k.zero, -k.infinity, total), rest


@exact
def minus_log(u: float, low: float) -> float:
    """Return -log(u + low) for 0 <= u <= 1, |low| <= ulp(u); inf at 0.

    The last subtraction is from 0 because the negative of 0 would be -0.
    """
    log, rest = log_sum(u, low)
    return _constants(u).zero - (log + rest)
