"""The true values that a sweep holds results against, fast enough for billions of them.

For a score of magnitude x, e = exp(-x) gives all there is to compute on scores with hard labels:

    g(x)  = 1 / (1 + e)         softplus(x)  = x + log1p(e)
    g(-x) = e / (1 + e)         softplus(-x) = log1p(e)

A loss is the softplus of minus the margin, the magnitude of its gradient the sigmoid of it. The
losses on probabilities are -log p and -log1p(-p).

float32 is held against the double nearest to these, with exp, log and log1p of the C library. It
documents them to be within 1 ULP [1]_. No step of the formulas amplifies a relative error, and none
makes more than four roundings of u = 2^-53, so with 2 u for each of at most two functions the error
is below 8 u.

float64 is held against a pair of doubles. Its exponential is a Taylor polynomial in double-double
arithmetic [2]_, for an argument halved four or five times; the logarithm y of z is a double, and
the rest of it log1p((z - expm1(y)) / (1 + expm1(y))). Every operation errs by less than 10 u^2, an
argument is halved at most five times and then doubled, and some thirty operations follow one
another: less than 2^-97. The bound leaves a factor of 100.

Both bounds are checked against mpmath; see `accuracy.certify`. What a bound leaves undecided, on
which side of a rounding boundary a value lies, mpmath decides; see `accuracy.sweep`.

This file imports nothing that it judges, and no library's polynomials but those of the C library.

References
----------
.. [1] The GNU C Library Reference Manual, "Known Maximum Errors in Math Functions".
.. [2] M. Joldes, J.-M. Muller, V. Popescu, "Tight and rigorous error bounds for basic building
   blocks of double-word arithmetic", ACM Trans. Math. Softw. 44 (2017), 15res.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import numpy as np
from numba import njit
from numpy import ndarray

#: Largest relative error of a true value.
BOUND = MappingProxyType({"float32": 2.0**-50, "float64": 2.0**-90})
#: The same in ULP of the format that is judged: a value is below 2^p of its ULPs.
BOUND_ULP = MappingProxyType(
    {name: bound * 2.0 ** (np.finfo(name).nmant + 1) for name, bound in BOUND.items()}
)

# Functions here call functions of this file alone, so that a cached one cannot be out of date.
_compile = njit(cache=True, error_model="numpy")


@dataclass(frozen=True, slots=True)
class Curve:
    """True values of one function, which rises or falls, for ascending inputs that are >= 0.

    Attributes
    ----------
    values : ndarray of float64, shape (n,)
        The true values rounded to double.
    units : ndarray of float64, shape (n,)
        The true values in ULPs.
    rest : ndarray of float64, shape (n,) or (0,)
        What to add to `units`; empty for float32.
    scales : ndarray of float64, shape (2, n) or (2, 0)
        Two powers of 2 whose product turns a result into ULPs; empty for float32, where one is
        found more quickly than it is read.
    """

    values: ndarray
    units: ndarray
    rest: ndarray
    scales: ndarray


@dataclass(frozen=True, slots=True)
class Curves:
    """Every function of a piece of inputs: what `wrong` and `right` are depends on what is asked.

    Attributes
    ----------
    wrong, right : Curve
        Losses on the wrong and on the right side: softplus(x) and softplus(-x).
        Of probabilities, -log1p(-p), the loss of label 0, and -log p, that of label 1.
    high, low : Curve or None
        g(x) and g(-x); none for probabilities.
    """

    wrong: Curve
    right: Curve
    high: Curve | None = None
    low: Curve | None = None


def of_scores(magnitudes: ndarray) -> Curves:
    """Evaluate sigmoid and softplus at +-`magnitudes`, which may be infinite or NaN."""
    return Curves(*_curves(_scores_float32, _scores_float64, 4, magnitudes))


def of_probabilities(probabilities: ndarray) -> Curves:
    """Evaluate -log1p(-p) and -log p."""
    return Curves(*_curves(_probabilities_float32, _probabilities_float64, 2, probabilities))


def _curves(
    single: Callable[..., None], double: Callable[..., None], number: int, inputs: ndarray
) -> Iterator[Curve]:
    shape = (number, inputs.size)
    nothing = np.empty(0)
    if inputs.dtype == np.float32:
        values, units = np.empty(shape), np.empty(shape)
        single(inputs, values)
        for value, unit in zip(values, units, strict=True):
            _in_units(value, unit)
            yield Curve(value, unit, nothing, np.empty((2, 0)))
        return
    heads, tails = np.empty(shape), np.empty(shape)
    exponents = np.empty(shape, np.int64)
    double(inputs, heads, tails, exponents)
    for head, tail, exponent in zip(heads, tails, exponents, strict=True):
        curve = Curve(head, tail, np.empty_like(head), np.empty((2, head.size)))
        _pairs_in_units(head, tail, exponent, curve.rest, curve.scales)
        yield curve


# float32: doubles.


@_compile
def _scores_float32(magnitudes: ndarray, values: ndarray) -> None:
    below_one, below_half = 1 - 2.0**-53, 0.5 - 2.0**-54
    for i in range(magnitudes.size):
        x = np.float64(magnitudes[i])
        e = 0.0 if x > 800 else math.exp(-x)  # the C library is slow where exp underflows
        tail = math.log1p(e)
        high, low = 1 / (1 + e), e / (1 + e)
        if x < math.inf:
            # In which binade a value is, and that it is not zero, survives rounding.
            high = min(high, below_one)
            tail, low = max(tail, 5e-324), max(low, 5e-324)
            if x > 0:
                low = min(low, below_half)
        values[0, i], values[1, i] = x + tail, tail
        values[2, i], values[3, i] = high, low


@_compile
def _probabilities_float32(probabilities: ndarray, values: ndarray) -> None:
    for i in range(probabilities.size):
        p = np.float64(probabilities[i])
        values[0, i] = -math.log1p(-p) if p > 0 else 0.0
        values[1, i] = -math.log(p) if p < 1 else 0.0


@_compile
def _in_units(values: ndarray, units: ndarray) -> None:
    bits = values.view(np.int64)
    for i in range(values.size):
        units[i] = values[i] * _ulps_in_one(bits[i])


@_compile
def _ulps_in_one(bits: int) -> float:
    """2^(23 - k) for a double in [2^k, 2^(k+1)), at most 2^149: the inverse of its float32 ULP."""
    exponent = np.int64(2069) - max(bits >> np.int64(52), np.int64(897))
    return np.int64(exponent << np.int64(52)).view(np.float64)


# float64: pairs of doubles.

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
def _exp_of_minus(x: float) -> tuple[float, float, int]:
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
def _scores_float64(
    magnitudes: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    for i in range(magnitudes.size):
        x = magnitudes[i]
        exponents[:, i] = 0
        if not x < math.inf:
            # exp(-x) of an infinity or a NaN is all there is to know.
            e = math.exp(-x)
            heads[0, i], heads[1, i], heads[2, i], heads[3, i] = x, e, 1 - e, e
            tails[:, i] = 0.0
            continue
        e, e_tail, n = _exp_of_minus(min(x, 2000.0))
        if x < _TINY_EXPONENTIAL:
            e, e_tail = math.ldexp(e, -n), math.ldexp(e_tail, -n)
            tail, tail_tail = _log1p(e, e_tail)
            plus, plus_tail = _add(1.0, 0.0, e, e_tail)
            heads[1, i], tails[1, i] = tail, tail_tail
            heads[0, i], tails[0, i] = _add(x, 0.0, tail, tail_tail)
            heads[2, i], tails[2, i] = _quotient(1.0, 0.0, plus, plus_tail)
            heads[3, i], tails[3, i] = _quotient(e, e_tail, plus, plus_tail)
        else:
            small = math.ldexp(e, -n)
            heads[0, i], tails[0, i] = x, small
            heads[1, i], tails[1, i], exponents[1, i] = e, e_tail, n
            heads[2, i], tails[2, i] = 1.0, -max(small, 5e-324)
            heads[3, i], tails[3, i], exponents[3, i] = e, e_tail, n


@_compile
def _probabilities_float64(
    probabilities: ndarray, heads: ndarray, tails: ndarray, exponents: ndarray
) -> None:
    exponents[:] = 0
    for i in range(probabilities.size):
        p = probabilities[i]
        if p == 0 or p == 1:
            heads[0, i], heads[1, i] = (0.0, math.inf) if p == 0 else (math.inf, 0.0)
            tails[:, i] = 0.0
            continue
        heads[1, i], tails[1, i] = _minus_log(p)
        if p <= 0.5:
            head, tail = _log1p(-p, 0.0)
            heads[0, i], tails[0, i] = -head, -tail
        else:
            heads[0, i], tails[0, i] = _minus_log(1 - p)


@_compile
def _pairs_in_units(
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
