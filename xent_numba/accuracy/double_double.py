"""Sigmoid, losses and gradients in pairs of doubles: a value is (head + tail) 2^-exponent.

The exponential is a Taylor polynomial in double-double arithmetic [1]_, for an argument halved four
or five times; the logarithm y of z is a double, and the rest of it
log1p((z - expm1(y)) / (1 + expm1(y))). Every operation errs by less than 10 u^2, u = 2^-53; an
argument is halved at most five times and then doubled, and some thirty operations follow one
another: less than 2^-97. `reference.BOUND` leaves a factor of 100.

With a soft label y a loss is a sum of products that are not negative, which adds some u^2. Products
carry an exponent of their own, so that none overflows or loses digits at the small end.

Loops take and fill contiguous float64 arrays, `exponents` is int64; n samples a row, and a row for
each function where there are several. Functions here call functions of this file alone, so that a
cached one cannot be out of date.

References
----------
.. [1] M. Joldes, J.-M. Muller, V. Popescu, "Tight and rigorous error bounds for basic building
   blocks of double-word arithmetic", ACM Trans. Math. Softw. 44 (2017), 15res.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numba import njit
from numpy import ndarray

_compile = njit(cache=True, error_model="numpy")

_Scaled = tuple[float, float, int]
_SPLIT = 2.0**27 + 1
_TERMS, _PAIRS = 16, 8


def _pair(value: Fraction) -> tuple[float, float]:
    head = float(value)
    return head, float(value - Fraction(head))


_FACTORIAL_HEADS, _FACTORIAL_TAILS = (
    np.array(column)
    for column in zip(
        *(_pair(Fraction(1, math.factorial(k))) for k in range(_TERMS + 1)), strict=True
    )
)
#: ln 2, in three doubles; the first two have 40 bits, so that a product with 11 bits is exact.
_LN2 = Fraction(0xB17217F7D1CF79ABC9E3B39803F2F6AF40F343267, 1 << 164)
_LN2_1 = math.ldexp(int(_LN2 * 2**40), -40)
_LN2_2 = math.ldexp(int((_LN2 - Fraction(_LN2_1)) * 2**80), -80)
_LN2_3 = float(_LN2 - Fraction(_LN2_1) - Fraction(_LN2_2))
#: From here on exp(-x) is below 2^-110: log1p(e) and e / (1 + e) are e.
_TINY_EXPONENTIAL = 77.0
_TINY = 2.0**-110


@_compile
def _two_sum(a: float, b: float) -> tuple[float, float]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@_compile
def _quick_two_sum(a: float, b: float) -> tuple[float, float]:
    total = a + b
    return total, b - (total - a)


@_compile
def _two_product(a: float, b: float) -> tuple[float, float]:
    product = a * b
    a_large, b_large = _SPLIT * a, _SPLIT * b
    a_high, b_high = a_large - (a_large - a), b_large - (b_large - b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@_compile
def _add(a: float, a_tail: float, b: float, b_tail: float) -> tuple[float, float]:
    head, tail = _two_sum(a, b)
    small, smaller = _two_sum(a_tail, b_tail)
    head, tail = _quick_two_sum(head, tail + small)
    return _quick_two_sum(head, tail + smaller)


@_compile
def _multiply(a: float, a_tail: float, b: float, b_tail: float) -> tuple[float, float]:
    head, tail = _two_product(a, b)
    return _quick_two_sum(head, tail + (a * b_tail + a_tail * b))


@_compile
def _quotient(a: float, a_tail: float, b: float, b_tail: float) -> tuple[float, float]:
    first = a / b
    product, product_tail = _multiply(b, b_tail, first, 0.0)
    rest, rest_tail = _add(a, a_tail, -product, -product_tail)
    return _quick_two_sum(first, (rest + rest_tail) / b)


@_compile
def _expm1(r: float, r_tail: float, halvings: int) -> tuple[float, float]:
    """exp(r 2^halvings) - 1 for |r| < 0.022, by E(2r) = E(r) (2 + E(r))."""
    # The terms from the ninth on are below u of the first: their own rounding does not matter.
    total = _FACTORIAL_HEADS[_TERMS]
    for k in range(_TERMS - 1, _PAIRS, -1):
        total = total * r + _FACTORIAL_HEADS[k]
    head, tail = total, 0.0
    for k in range(_PAIRS, 0, -1):
        head, tail = _multiply(head, tail, r, r_tail)
        head, tail = _add(head, tail, _FACTORIAL_HEADS[k], _FACTORIAL_TAILS[k])
    head, tail = _multiply(head, tail, r, r_tail)
    for _ in range(halvings):
        plus, plus_tail = _add(head, tail, 2.0, 0.0)
        head, tail = _multiply(head, tail, plus, plus_tail)
    return head, tail


@_compile
def _exp_of_minus(x: float) -> _Scaled:
    """exp(-x) = (head + tail) 2^-n."""
    n = math.floor(x / _LN2_1 + 0.5)
    r, r_tail = _two_sum(n * _LN2_1, -x)
    r, r_tail = _add(r, r_tail, n * _LN2_2, n * _LN2_3)
    head, tail = _expm1(r / 16, r_tail / 16, 4)
    head, tail = _add(head, tail, 1.0, 0.0)
    return head, tail, int(n)


@_compile
def _log1p(z: float, z_tail: float) -> tuple[float, float]:
    """log1p(z) for -1/2 <= z <= 1."""
    if abs(z) < _TINY:
        return z, z_tail
    y = math.log1p(z)
    e, e_tail = _expm1(y / 32, 0.0, 5)
    rest, rest_tail = _add(z, z_tail, -e, -e_tail)
    delta = (rest + rest_tail) / (1 + e)
    return _quick_two_sum(y, delta - 0.5 * delta * delta)


@_compile
def _minus_log(p: float) -> tuple[float, float]:
    """-log p for 0 < p <= 1."""
    if p > 0.5:
        head, tail = _log1p(p - 1, 0.0)
        return -head, -tail
    y = -math.log(p)
    e, e_tail, n = _exp_of_minus(y)
    scaled = math.ldexp(math.ldexp(p, n // 2), n - n // 2)
    delta = ((scaled - e) - e_tail) / e
    return _quick_two_sum(y, 0.5 * delta * delta - delta)


@_compile
def _exponential(x: float) -> _Scaled:
    """exp(-x) for x >= 0; its exponent is 0 below `_TINY_EXPONENTIAL` and positive beyond."""
    if not x < math.inf:
        return math.exp(-x), 0.0, 0
    e, e_tail, n = _exp_of_minus(min(x, 2000.0))
    if x < _TINY_EXPONENTIAL:
        return math.ldexp(e, -n), math.ldexp(e_tail, -n), 0
    return e, e_tail, n


@_compile
def _log1p_of(e: float, e_tail: float, n: int) -> _Scaled:
    """log1p(e) of what `_exponential` gave."""
    if n:
        return e, e_tail, n
    head, tail = _log1p(e, e_tail)
    return head, tail, 0


@_compile
def _sigmoids(e: float, e_tail: float, n: int) -> tuple[tuple[float, float], _Scaled]:
    """1 / (1 + e) and e / (1 + e) of what `_exponential` gave."""
    if n:
        return (1.0, -max(math.ldexp(e, -n), 5e-324)), (e, e_tail, n)
    plus, plus_tail = _add(1.0, 0.0, e, e_tail)
    low, low_tail = _quotient(e, e_tail, plus, plus_tail)
    return _quotient(1.0, 0.0, plus, plus_tail), (low, low_tail, 0)


@_compile
def of_scores(magnitudes: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray) -> None:
    """softplus(x), softplus(-x), g(x) and g(-x) for x >= 0, infinity or NaN, in four rows."""
    exponents[:] = 0
    for i in range(magnitudes.size):
        x = magnitudes[i]
        e, e_tail, n = _exponential(x)
        tail, tail_tail, exponents[1, i] = _log1p_of(e, e_tail, n)
        heads[1, i], tails[1, i] = tail, tail_tail
        high, low = _sigmoids(e, e_tail, n)
        heads[2, i], tails[2, i] = high
        heads[3, i], tails[3, i], exponents[3, i] = low
        if x < _TINY_EXPONENTIAL:
            heads[0, i], tails[0, i] = _add(x, 0.0, tail, tail_tail)
        else:
            heads[0, i], tails[0, i] = x, (math.ldexp(e, -n) if x < math.inf else 0.0)


@_compile
def _minus_log1m(p: float) -> tuple[float, float]:
    """-log(1 - p) for 0 <= p < 1."""
    if p > 0.5:
        return _minus_log(1 - p)
    head, tail = _log1p(-p, 0.0)
    return -head, -tail


@_compile
def of_probabilities(
    probabilities: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    """-log(1 - p) and -log p for 0 <= p <= 1, in two rows."""
    exponents[:] = 0
    for i in range(probabilities.size):
        p = probabilities[i]
        if p == 0 or p == 1:
            heads[0, i], heads[1, i] = (0.0, math.inf) if p == 0 else (math.inf, 0.0)
            tails[:, i] = 0.0
            continue
        heads[0, i], tails[0, i] = _minus_log1m(p)
        heads[1, i], tails[1, i] = _minus_log(p)


@_compile
def _scaled_product(a: float, a_tail: float, n: int, b: float, b_tail: float) -> _Scaled:
    """(a + a_tail) 2^-n times b + b_tail: finite, of any size."""
    a_part, a_exponent = math.frexp(a)
    b_part, b_exponent = math.frexp(b)
    head, tail = _multiply(
        a_part, math.ldexp(a_tail, -a_exponent), b_part, math.ldexp(b_tail, -b_exponent)
    )
    return head, tail, n - a_exponent - b_exponent


@_compile
def _scaled_sum(a: float, a_tail: float, n: int, b: float, b_tail: float, m: int) -> _Scaled:
    """(a + a_tail) 2^-n plus (b + b_tail) 2^-m: finite, of any size."""
    if a == 0:
        return b, b_tail, m
    if b == 0:
        return a, a_tail, n
    _, a_exponent = math.frexp(a)
    _, b_exponent = math.frexp(b)
    least = min(n - a_exponent, m - b_exponent)
    head, tail = _add(
        math.ldexp(a, least - n),
        math.ldexp(a_tail, least - n),
        math.ldexp(b, least - m),
        math.ldexp(b_tail, least - m),
    )
    return head, tail, least


@_compile
def losses_of_scores(
    scores: ndarray, positive: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    """log1p(exp(-|s|)) + w |s|, where w is the share of the label on the wrong side of s.

    `positive` is the label as the share of the positive class, in [0, 1].
    """
    for i in range(scores.size):
        s, y = scores[i], positive[i]
        wrong, wrong_tail = (y, 0.0) if s < 0 else _two_sum(1.0, -y)
        x = abs(s)
        if not x < math.inf:
            heads[i], tails[i], exponents[i] = (0.0 if wrong == 0 and x == x else x), 0.0, 0
            continue
        tail, tail_tail, n = _log1p_of(*_exponential(x))
        if wrong == 0:
            heads[i], tails[i], exponents[i] = tail, tail_tail, n
            continue
        if wrong == 1 and wrong_tail == 0 and n == 0:
            heads[i], tails[i] = _add(x, 0.0, tail, tail_tail)
            exponents[i] = 0
            continue
        linear, linear_tail, m = _scaled_product(wrong, wrong_tail, 0, x, 0.0)
        heads[i], tails[i], exponents[i] = _scaled_sum(linear, linear_tail, m, tail, tail_tail, n)


@_compile
def losses_of_probabilities(
    probabilities: ndarray, positive: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    """Fill in y (-log p) + (1 - y) (-log(1 - p)) for labels y in [0, 1]."""
    for i in range(probabilities.size):
        p, y = probabilities[i], positive[i]
        if p == 0 or p == 1:
            right = y == p
            heads[i], tails[i], exponents[i] = (0.0 if right else math.inf), 0.0, 0
            continue
        if y == 0 or y == 1:
            heads[i], tails[i] = _minus_log(p) if y == 1 else _minus_log1m(p)
            exponents[i] = 0
            continue
        one, one_tail = _minus_log(p)
        zero, zero_tail = _minus_log1m(p)
        rest, rest_tail = _two_sum(1.0, -y)
        a, a_tail, n = _scaled_product(one, one_tail, 0, y, 0.0)
        b, b_tail, m = _scaled_product(zero, zero_tail, 0, rest, rest_tail)
        heads[i], tails[i], exponents[i] = _scaled_sum(a, a_tail, n, b, b_tail, m)


@_compile
def gradients_of_scores(
    scores: ndarray, positive: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    """(1 - y) g(s) - y g(-s) in the first row, and the sum of the two terms in the second."""
    for i in range(scores.size):
        s, y = scores[i], positive[i]
        (high, high_tail), (low, low_tail, n) = _sigmoids(*_exponential(abs(s)))
        rest, rest_tail = _two_sum(1.0, -y)
        if s < 0:
            up, up_tail, k = _scaled_product(low, low_tail, n, rest, rest_tail)
            down, down_tail, m = _scaled_product(high, high_tail, 0, y, 0.0)
        else:
            up, up_tail, k = _scaled_product(high, high_tail, 0, rest, rest_tail)
            down, down_tail, m = _scaled_product(low, low_tail, n, y, 0.0)
        heads[0, i], tails[0, i], exponents[0, i] = _scaled_sum(
            up, up_tail, k, -down, -down_tail, m
        )
        heads[1, i], tails[1, i], exponents[1, i] = _scaled_sum(up, up_tail, k, down, down_tail, m)


@_compile
def multiply(
    factors: ndarray, divisor: float, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    """Multiply each value by its factor, >= 0 and finite, and divide it by `divisor`, in place."""
    part, shift = math.frexp(divisor)
    for i in range(factors.size):
        if not abs(heads[i]) < math.inf:
            heads[i] *= factors[i] / divisor
            continue
        head, tail, exponents[i] = _scaled_product(
            heads[i], tails[i], exponents[i], factors[i], 0.0
        )
        heads[i], tails[i] = _quotient(head, tail, part, 0.0)
        exponents[i] += shift


@_compile
def in_units(
    heads: ndarray, tails: ndarray, exponents: ndarray, rests: ndarray, scales: ndarray
) -> None:
    """Turn (head + tail) 2^-exponent into the double nearest to it, and its ULPs.

    Overwrites `heads` with values and `tails` with units.
    """
    for i in range(heads.size):
        head, tail, shift = heads[i], tails[i], -exponents[i]
        if head == 0 or not abs(head) < math.inf:
            tails[i], rests[i], scales[0, i], scales[1, i] = head, 0.0, 1.0, 1.0
            continue
        fraction, exponent = math.frexp(head)
        if fraction == 0.5 and tail < 0:
            exponent -= 1  # the pair is in the binade below its head
        ulp = max(exponent + shift - 53, -1074)
        heads[i] = max(math.ldexp(head, shift), 5e-324)
        tails[i], rests[i] = math.ldexp(head, shift - ulp), math.ldexp(tail, shift - ulp)
        half = -ulp // 2
        scales[0, i], scales[1, i] = math.ldexp(1.0, half), math.ldexp(1.0, -ulp - half)
