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

Pair = tuple[float, float]
"""head + tail."""

Scaled = tuple[Pair, int]
"""A pair and n, for (head + tail) 2^-n."""

_SPLIT = 2.0**27 + 1
_TERMS, _PAIRS = 16, 8


def _pair(value: Fraction) -> Pair:
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
LN2_1 = math.ldexp(int(_LN2 * 2**40), -40)
LN2_2 = math.ldexp(int((_LN2 - Fraction(LN2_1)) * 2**80), -80)
LN2_3 = float(_LN2 - Fraction(LN2_1) - Fraction(LN2_2))
#: From here on exp(-x) is below 2^-110: log1p(e) and e / (1 + e) are e.
_TINY_EXPONENTIAL = 77.0
_TINY = 2.0**-110


@_compile
def _two_sum(a: float, b: float) -> Pair:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@_compile
def _quick_two_sum(a: float, b: float) -> Pair:
    total = a + b
    return total, b - (total - a)


@_compile
def _two_product(a: float, b: float) -> Pair:
    product = a * b
    a_large, b_large = _SPLIT * a, _SPLIT * b
    a_high, b_high = a_large - (a_large - a), b_large - (b_large - b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@_compile
def _add(a: Pair, b: Pair) -> Pair:
    head, tail = _two_sum(a[0], b[0])
    small, smaller = _two_sum(a[1], b[1])
    head, tail = _quick_two_sum(head, tail + small)
    return _quick_two_sum(head, tail + smaller)


@_compile
def _minus(a: Pair) -> Pair:
    return -a[0], -a[1]


@_compile
def _multiply(a: Pair, b: Pair) -> Pair:
    head, tail = _two_product(a[0], b[0])
    return _quick_two_sum(head, tail + (a[0] * b[1] + a[1] * b[0]))


@_compile
def _quotient(a: Pair, b: Pair) -> Pair:
    first = a[0] / b[0]
    rest = _add(a, _minus(_multiply(b, (first, 0.0))))
    return _quick_two_sum(first, (rest[0] + rest[1]) / b[0])


@_compile
def _shifted(a: Pair, exponent: int) -> Pair:
    """A pair times 2^exponent."""
    return math.ldexp(a[0], exponent), math.ldexp(a[1], exponent)


@_compile
def _expm1(r: Pair, halvings: int) -> Pair:
    """exp(r 2^halvings) - 1 for |r| < 0.022, by E(2r) = E(r) (2 + E(r))."""
    # The terms from the ninth on are below u of the first: their own rounding does not matter.
    total = _FACTORIAL_HEADS[_TERMS]
    for k in range(_TERMS - 1, _PAIRS, -1):
        total = total * r[0] + _FACTORIAL_HEADS[k]
    e = total, 0.0
    for k in range(_PAIRS, 0, -1):
        e = _add(_multiply(e, r), (_FACTORIAL_HEADS[k], _FACTORIAL_TAILS[k]))
    e = _multiply(e, r)
    for _ in range(halvings):
        e = _multiply(e, _add(e, (2.0, 0.0)))
    return e


@_compile
def _exp_of_minus(x: float) -> Scaled:
    """exp(-x) = (head + tail) 2^-n."""
    n = math.floor(x / LN2_1 + 0.5)
    r = _add(_two_sum(n * LN2_1, -x), (n * LN2_2, n * LN2_3))
    return _add(_expm1((r[0] / 16, r[1] / 16), 4), (1.0, 0.0)), int(n)


@_compile
def _log1p(z: Pair) -> Pair:
    """log1p(z) for -1/2 <= z <= 1."""
    if abs(z[0]) < _TINY:
        return z
    y = math.log1p(z[0])
    e = _expm1((y / 32, 0.0), 5)
    rest = _add(z, _minus(e))
    delta = (rest[0] + rest[1]) / (1 + e[0])
    return _quick_two_sum(y, delta - 0.5 * delta * delta)


@_compile
def _minus_log(p: float) -> Pair:
    """-log p for 0 < p <= 1."""
    if p > 0.5:
        return _minus(_log1p((p - 1, 0.0)))
    y = -math.log(p)
    e, n = _exp_of_minus(y)
    scaled = math.ldexp(math.ldexp(p, n // 2), n - n // 2)
    delta = ((scaled - e[0]) - e[1]) / e[0]
    return _quick_two_sum(y, 0.5 * delta * delta - delta)


@_compile
def _minus_log1m(p: float) -> Pair:
    """-log(1 - p) for 0 <= p < 1."""
    return _minus_log(1 - p) if p > 0.5 else _minus(_log1p((-p, 0.0)))


@_compile
def _exponential(x: float) -> Scaled:
    """exp(-x) for x >= 0; its exponent is 0 below `_TINY_EXPONENTIAL` and positive beyond."""
    if not x < math.inf:
        return (math.exp(-x), 0.0), 0
    e, n = _exp_of_minus(min(x, 2000.0))
    return (_shifted(e, -n), 0) if x < _TINY_EXPONENTIAL else (e, n)


@_compile
def _log1p_of(e: Pair, n: int) -> Scaled:
    """log1p(e) of what `_exponential` gave."""
    return (e, n) if n else (_log1p(e), 0)


@_compile
def _sigmoids(e: Pair, n: int) -> tuple[Pair, Scaled]:
    """1 / (1 + e) and e / (1 + e) of what `_exponential` gave."""
    if n:
        return (1.0, -max(math.ldexp(e[0], -n), 5e-324)), (e, n)
    plus = _add((1.0, 0.0), e)
    return _quotient((1.0, 0.0), plus), (_quotient(e, plus), 0)


@_compile
def _scaled_product(a: Scaled, b: Pair) -> Scaled:
    """The product of finite values of any size."""
    _, a_exponent = math.frexp(a[0][0])
    _, b_exponent = math.frexp(b[0])
    product = _multiply(_shifted(a[0], -a_exponent), _shifted(b, -b_exponent))
    return product, a[1] - a_exponent - b_exponent


@_compile
def _scaled_sum(a: Scaled, b: Scaled) -> Scaled:
    """The sum of finite values of any size."""
    if a[0][0] == 0:
        return b
    if b[0][0] == 0:
        return a
    _, a_exponent = math.frexp(a[0][0])
    _, b_exponent = math.frexp(b[0][0])
    least = min(a[1] - a_exponent, b[1] - b_exponent)
    return _add(_shifted(a[0], least - a[1]), _shifted(b[0], least - b[1])), least


@_compile
def of_scores(magnitudes: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray) -> None:
    """softplus(x), softplus(-x), g(x) and g(-x) for x >= 0, infinity or NaN, in four rows."""
    exponents[:] = 0
    for i in range(magnitudes.size):
        x = magnitudes[i]
        e, n = _exponential(x)
        tail, exponents[1, i] = _log1p_of(e, n)
        heads[1, i], tails[1, i] = tail
        high, low = _sigmoids(e, n)
        heads[2, i], tails[2, i] = high
        (heads[3, i], tails[3, i]), exponents[3, i] = low
        if x < _TINY_EXPONENTIAL:
            heads[0, i], tails[0, i] = _add((x, 0.0), tail)
        else:
            heads[0, i], tails[0, i] = x, (math.ldexp(e[0], -n) if x < math.inf else 0.0)


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
        else:
            heads[0, i], tails[0, i] = _minus_log1m(p)
            heads[1, i], tails[1, i] = _minus_log(p)


@_compile
def _loss_of_score(s: float, y: float) -> Scaled:
    """log1p(exp(-|s|)) + w |s|, where w is the share of the label on the wrong side of s."""
    wrong = (y, 0.0) if s < 0 else _two_sum(1.0, -y)
    x = abs(s)
    if not x < math.inf:
        return (0.0 if wrong[0] == 0 and x == x else x, 0.0), 0
    tail, n = _log1p_of(*_exponential(x))
    if wrong[0] == 0:
        return tail, n
    if wrong[0] == 1 and wrong[1] == 0 and n == 0:
        return _add((x, 0.0), tail), 0
    return _scaled_sum(_scaled_product((wrong, 0), (x, 0.0)), (tail, n))


@_compile
def _loss_of_probability(p: float, y: float) -> Scaled:
    """The loss y (-log p) + (1 - y) (-log(1 - p))."""
    if p == 0 or p == 1:
        return (0.0 if y == p else math.inf, 0.0), 0
    if y == 0 or y == 1:
        return (_minus_log(p) if y == 1 else _minus_log1m(p)), 0
    one = _scaled_product((_minus_log(p), 0), (y, 0.0))
    return _scaled_sum(one, _scaled_product((_minus_log1m(p), 0), _two_sum(1.0, -y)))


@_compile
def losses_of_scores(
    scores: ndarray, positive: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    """Fill in losses; `positive` is the label as the share of the positive class, in [0, 1]."""
    for i in range(scores.size):
        (heads[i], tails[i]), exponents[i] = _loss_of_score(scores[i], positive[i])


@_compile
def losses_of_probabilities(
    probabilities: ndarray, positive: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    """Fill in losses for labels in [0, 1]."""
    for i in range(probabilities.size):
        (heads[i], tails[i]), exponents[i] = _loss_of_probability(probabilities[i], positive[i])


@_compile
def gradients_of_scores(
    scores: ndarray, positive: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    """(1 - y) g(s) - y g(-s) in the first row, and the sum of the two terms in the second."""
    for i in range(scores.size):
        s, y = scores[i], positive[i]
        high, low = _sigmoids(*_exponential(abs(s)))
        falls, rises = ((high, 0), low) if s < 0 else (low, (high, 0))
        up = _scaled_product(rises, _two_sum(1.0, -y))
        down, m = _scaled_product(falls, (y, 0.0))
        for row, term in enumerate((_minus(down), down)):
            (heads[row, i], tails[row, i]), exponents[row, i] = _scaled_sum(up, (term, m))


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
        value = (heads[i], tails[i]), exponents[i]
        product, n = _scaled_product(value, (factors[i], 0.0))
        heads[i], tails[i] = _quotient(product, (part, 0.0))
        exponents[i] = n + shift
