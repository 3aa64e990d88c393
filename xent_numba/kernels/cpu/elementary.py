r"""exp, log and what is made of them, on the whole line: what `vectormath` gives a user's kernel.

The rooms beside this one know their domains: `exp` is for x <= 1, `log` for u >= 0, and NaN never
comes as far as a logarithm. Here every float has its result.

.. math::
    e^x &= 2^n (1 + E), \quad E = e^r - 1, \quad r = x - n \ln 2 \\
    e^x - 1 &= 2^n - 1 + 2^n E \\
    \log(1 + x) &= \log(u + (1 + x - u)), \quad u = 1 + x \text{ rounded} \\
    g'(x) &= g(x) g(-x), \quad \frac{d}{dx} \log(1 + x) = \frac{1}{1 + x}

Each product whose rounding error is wanted is a `bits.product` or part of an ``fma``, so that
nothing is lost where a compiler fuses what is left, as those for a GPU do.
"""

from __future__ import annotations

from math import ldexp
from typing import Any, NamedTuple

import numpy as np

from xent_numba.kernels.cpu import exp as exponential
from xent_numba.kernels.cpu import losses
from xent_numba.kernels.cpu.bits import (
    by_precision,
    exact,
    fma,
    inline_here,
    low_bits_to_exponent,
)
from xent_numba.kernels.cpu.exp import ExpConstants, exp_reduced, exp_sum
from xent_numba.kernels.cpu.log import log_of_reduced, log_reduced
from xent_numba.kernels.cpu.summation import two_sum


class LineConstants(NamedTuple):
    """Constants in one precision.

    Attributes
    ----------
    zero, half, one, infinity, nan : float
        Literals would turn float32 arithmetic into float64.
    lowest, highest : float
        exp of anything beyond them is 0 to rounding, or infinite.
    round_down, unlift_down : float
        As `ExpConstants.round_to_int` and `ExpConstants.unlift`, for x <= 0.
    round_up, unlift_up : float
        The same for x > 0, where the lift is negative: 2^(n - lift) stays finite.
    minus_one : float
        expm1 of anything below it is -1 to rounding.
    round_halved : float
        Leaves n - 1 + bias in the low bits: 2^(n - 1) is finite where e^x is.
    tiny : float
        expm1(x) and log1p(x) are x to all digits for an |x| below it.
    large : float
        1 + x is x to all digits for an x from it on.
    """

    zero: Any
    half: Any
    one: Any
    infinity: Any
    nan: Any
    lowest: Any
    highest: Any
    round_down: Any
    unlift_down: Any
    round_up: Any
    unlift_up: Any
    minus_one: Any
    round_halved: Any
    tiny: Any
    large: Any


def _of(k: ExpConstants, number: Any, lift: int, highest: float, digits: int) -> LineConstants:
    return LineConstants(
        zero=number(0.0),
        half=number(0.5),
        one=number(1.0),
        infinity=number(np.inf),
        nan=number(np.nan),
        lowest=k.lowest,
        highest=number(highest),
        round_down=k.round_to_int,
        unlift_down=k.unlift,
        round_up=number(k.round_to_int - 2 * lift),
        unlift_up=number(ldexp(1.0, lift)),
        minus_one=number(-50.0),
        round_halved=number(k.round_to_int - lift - 1),
        tiny=number(ldexp(1.0, -digits)),
        large=number(ldexp(1.0, digits)),
    )


_constants = by_precision(
    _of(exponential.FLOAT32, np.float32, 64, 89.0, 40),
    _of(exponential.FLOAT64, float, 512, 710.0, 80),
)


@exact
def exp(x: float) -> float:
    """e^x = 2^n (1 + leading + tail), where the first addition keeps what it rounds off."""
    inline_here()
    k = _constants(x)
    x = k.lowest if x < k.lowest else x
    x = k.highest if x > k.highest else x
    up = x > k.zero
    shifted, leading, tail, _ = exp_reduced(x, k.round_up if up else k.round_down)
    scale = low_bits_to_exponent(shifted)
    one = fma(scale, leading, scale)
    value = one + fma(scale, tail, fma(scale, leading, scale - one))
    return value * (k.unlift_up if up else k.unlift_down)


@exact
def expm1(x: float) -> float:
    """e^x - 1 = 2 (2^(n-1) - 1/2 + 2^(n-1) E), of which both additions keep what they round off."""
    inline_here()
    k = _constants(x)
    bounded = k.minus_one if x < k.minus_one else x
    bounded = k.highest if bounded > k.highest else bounded
    shifted, leading, tail, finer = exp_reduced(bounded, k.round_halved)
    scale = low_bits_to_exponent(shifted)
    reduced = leading + tail
    rest = ((leading - reduced) + tail) + finer
    constant, lost = two_sum(scale, -k.half)
    total, lost_too = two_sum(constant, scale * reduced)
    half = total + (fma(scale, rest, lost) + lost_too)
    return x if abs(x) < k.tiny else half + half


@exact
def log(x: float) -> float:
    """The natural logarithm; NaN for x < 0."""
    inline_here()
    k = _constants(x)
    n, t, _ = log_reduced(x)
    value, rest = log_of_reduced(n, t, k.zero)
    value = value + rest if x < k.infinity else x
    value = -k.infinity if x == k.zero else value
    return k.nan if x < k.zero else value


@exact
def log1p(x: float) -> float:
    """log(1 + x); NaN for x < -1.

    Where 1 + x is in the octave of 1, x is the t of the logarithm; elsewhere 1 + x is rounded, and
    its error kept until it is too small to matter.
    """
    inline_here()
    k = _constants(x)
    u, low = two_sum(k.one, x)
    n, t, scale = log_reduced(u)
    near = n == k.zero
    low = low * scale if x < k.large else k.zero
    value, rest = log_of_reduced(n, x if near else t, k.zero if near else low)
    value = value + rest if x < k.infinity else x
    value = x if abs(x) < k.tiny else value
    value = -k.infinity if u == k.zero else value
    return k.nan if u < k.zero else value


@exact
def log1p_derivative(x: float) -> float:
    """1 / (1 + x), corrected by its residual, which sees what rounding 1 + x lost."""
    inline_here()
    k = _constants(x)
    u, low = two_sum(k.one, x)
    q = k.one / u
    corrected = fma(fma(-q, low, fma(-q, u, k.one)), q, q)
    return corrected if abs(q) < k.infinity and abs(u) < k.infinity else q


@exact
def sigmoid(x: float) -> float:
    """g(x)."""
    inline_here()
    return losses.sigmoid(x)


@exact
def sigmoid_derivative(x: float) -> float:
    """g(x) g(-x) = h (1 - h) with h = e / (1 + e), e = exp(-|x|), each factor with its rest.

    h (1 + e) - e is (h - e) + h e, where the difference is exact (Sterbenz); 1 - h is rounded, and
    what it lost is exact too.
    """
    inline_here()
    k = _constants(x)
    e, low = exp_sum(-abs(x))
    h = e / (k.one + e)
    other = k.one - h
    h_rest = fma(low, other, fma(-h, e, e - h)) * other
    other_rest = ((k.one - other) - h) - h_rest
    return fma(h, other, fma(h, other_rest, h_rest * other))


@exact
def softplus(x: float) -> float:
    """log(1 + e^x)."""
    inline_here()
    return losses.logistic_loss(-x)


@exact
def log_sigmoid(x: float) -> float:
    """-log(1 + e^-x)."""
    inline_here()
    return -losses.logistic_loss(x)
