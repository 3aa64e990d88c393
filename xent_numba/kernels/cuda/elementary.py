r"""exp, logarithms and quotients for a GPU: within 2 ULP where the CPU's are within 1.

A GPU that streams float32 scores and one-byte labels from memory has about forty instructions for a
sample before arithmetic, not memory, is what it waits for; the formulas of the CPU take twice that.
One ULP of slack pays for the difference: exp and log(1 + t) are rounded where the CPU carries a low
part,

.. math::
    e^x &= 2^n (1 + r (1 + r Q(r))), \quad n = \lfloor x / \ln 2 \rceil, \quad r = x - n \ln 2 \\
    \log(1 + t) &= t + t^2 (t T(t) - 1/2) \quad \text{(float32)} \\
    \log(1 + t) &= q + q^3 A(q^2), \quad q = t / (1 + t/2) \quad \text{(float64)}

A reciprocal is the hardware's approximation, which is off by 1 ULP (PTX ISA, ``rcp.approx``); what
is multiplied by it is corrected by its residual. All else is addition, multiplication and fma, each
as IEEE 754 rounds it, so that the accuracy can be swept on a CPU, and so that all kernels give a
sample the same bits: each product is a `product` or part of an `fma`, and ptxas fuses no other.

Every function runs on both: what a CPU has no instruction for is one of the intrinsics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from xent_numba.kernels.cpu import exp as cpu_exp
from xent_numba.kernels.cpu import log as cpu_log
from xent_numba.kernels.cpu.bits import (
    by_precision,
    exact,
    fma,
    horner,
    low_bits_to_exponent,
    product,
    split_octave,
)
from xent_numba.kernels.cpu.coefficients import LOG1P_DIRECT_FLOAT32, LOG_DIRECT_FLOAT32
from xent_numba.kernels.cpu.summation import rounded_sum
from xent_numba.kernels.cuda.intrinsics import approximate_reciprocal, at_least

# 2^-lift times Q, so that the sum that ends in 1 ends in 2^-lift, with every bit the same.
exp_constants = by_precision(
    *(
        k._replace(tail=tuple(k.unlift * c for c in k.tail))
        for k in (cpu_exp.FLOAT32, cpu_exp.FLOAT64)
    )
)
constants = by_precision(
    cpu_log.FLOAT32._replace(
        log1p_tail=tuple(map(np.float32, LOG1P_DIRECT_FLOAT32)),
        log_tail=tuple(map(np.float32, LOG_DIRECT_FLOAT32)),
    ),
    cpu_log.FLOAT64,
)
"""Those of `log.LogConstants`, with T in the place of A for float32."""


@exact
def exp(x: float) -> float:
    """e^x for x <= 0; NaN stays NaN.

    x - n ln2_high is exact: both are multiples of ulp(ln2_high), and the difference fits into the
    significand. The result is rounded when 1 is added, when r is, and, if subnormal, at the end.

    2^(n + lift) is made from bits of its own and multiplied: bits that are added to a number make
    a finite one of NaN, which on a GPU is 0x7fffffff, and carries.
    """
    k = exp_constants(x)
    x = at_least(k.lowest, x)
    shifted = fma(x, k.inverse_ln2, k.round_to_int)
    n = shifted - k.round_to_int
    r = fma(n, -k.ln2_low, fma(n, -k.ln2_high, x))
    value = fma(r, fma(r, horner(r, k.tail), k.unlift), k.unlift)
    return product(value, low_bits_to_exponent(shifted))


def reciprocal(x: float) -> float:
    """1/x within 1 ULP, for x from 1 to 2."""
    raise NotImplementedError


@overload(reciprocal)
def _reciprocal(x):  # type: ignore[no-untyped-def]
    if x == types.float32:
        return lambda x: approximate_reciprocal(x)

    def refined(x):  # type: ignore[no-untyped-def]
        # Newton: an error d of y becomes d^2, and d^4 after another step.
        one = constants(x).one
        y = approximate_reciprocal(x)
        y = fma(y, fma(-x, y, one), y)
        return fma(y, fma(-x, y, one), y)

    return refined


def log1p_parts(t: float, low: float, tail: Any) -> tuple[float, float]:
    """log(1 + t + low) as a leading term, and the rest; |low| <= ulp(1 + t) / 2."""
    raise NotImplementedError


@overload(log1p_parts)
def _log1p_parts(t, low, tail):  # type: ignore[no-untyped-def]
    if t == types.float32:

        def direct(t, low, tail):  # type: ignore[no-untyped-def]
            half = constants(t).half
            # d/dt log(1 + t) = 1 - t + ..., and of low no more digits are needed.
            return t, fma(product(t, t), fma(t, horner(t, tail), -half), fma(-low, t, low))

        return direct

    def by_division(t, low, tail):  # type: ignore[no-untyped-def]
        k = constants(t)
        half_t = product(k.half, t)
        r = reciprocal(k.one + half_t)
        q = product(t, r)
        square = product(q, q)
        # t - q is exact (Sterbenz), so that what q lacks comes in at its full worth.
        lacking = fma(low, r, fma(-q, half_t, t - q))
        rest = fma(product(t, square), horner(square, tail), lacking)
        return q, product(rest, r)

    return by_division


def log1p(e: float) -> float:
    """log(1 + e) for 0 <= e <= 1."""
    raise NotImplementedError


@overload(log1p)
def _log1p(e):  # type: ignore[no-untyped-def]
    if e == types.float32:

        def rounded_once(e):  # type: ignore[no-untyped-def]
            k = constants(e)
            return fma(product(e, e), fma(e, horner(e, k.log1p_tail), -k.half), e)

        return rounded_once

    def in_parts(e):  # type: ignore[no-untyped-def]
        k = constants(e)
        leading, rest = log1p_parts(e, k.zero, k.log1p_tail)
        return leading + rest

    return in_parts


@exact
def minus_log(u: float, low: float) -> tuple[float, float]:
    """Return -log(u + low) for 0 <= u <= 1, |low| <= ulp(u) / 2, and what rounding it lost.

    It is inf at 0, and what it lost there is finite. u = 2^n (1 + t) with 1 + t from sqrt(1/2) to
    sqrt(2), so that log(1 + t) and n ln 2 cancel one bit at worst, for n = -1. n ln2_high is exact,
    and at least twice the rest where it is not 0: Fast2Sum finds what their sum lost.
    """
    k = constants(u)
    tiny = u < k.smallest_normal
    lifted = product(u, k.lift) if tiny else u
    n, significand, scale = split_octave(lifted, k.sqrt_half)
    n -= k.lift_exponent if tiny else k.zero
    leading, rest = log1p_parts(significand - k.one, product(low, scale), k.log_tail)
    within = -(leading + fma(n, k.ln2_low, rest))
    total = fma(-n, k.ln2_high, within)
    # -(0 + 0) is -0.0, which a loss never is; and what came of u = 0 is finite.
    rounded = at_least(k.infinity if u == k.zero else k.zero, total)
    return rounded, (product(-n, k.ln2_high) - total) + within


@exact
def quotient(numerator: float, e: float) -> float:
    """Numerator / (1 + e) for 0 <= e <= 1, where the numerator is 1 or e.

    The residual numerator - q (1 + e) is (numerator - q) - q e, which does not see that 1 + e is
    rounded; the difference is exact (Sterbenz), as q lies between half the numerator and all of it.
    """
    r = reciprocal(constants(e).one + e)
    q = product(numerator, r)
    return fma(fma(-q, e, numerator - q), r, q)


@exact
def mean_of_sums(value: float, error: float, divisor: float, divisor_error: float) -> float:
    """(value + error) / (divisor + divisor_error) in float64, corrected by its residual.

    As `kernels.cpu.summation.quotient_of_sums`, where no product is anyone's to fuse.
    """
    q = rounded_sum(value, error) / divisor
    if not abs(q) < np.inf:
        return q
    residual = fma(-q, divisor, value) + (error - product(q, divisor_error))
    return q + residual / divisor
